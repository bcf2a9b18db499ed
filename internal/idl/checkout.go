package idl

import (
	"errors"
	"fmt"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

// oldest is the first release that xenlight knows. The interface of those
// before it is of no use here.
var oldest = Release{4, 14}

// checkout is a clone of Xen's repository, bare or not.
type checkout string

// git runs git in the clone and returns its output.
func (c checkout) git(args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", string(c)}, args...)...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

var releaseTag = regexp.MustCompile(`^RELEASE-([0-9]+\.[0-9]+)\.0$`)

// releases lists the releases that have a tag, the oldest first.
func (c checkout) releases() ([]Release, error) {
	tags, err := c.git("tag", "--list", "RELEASE-*.0")
	if err != nil {
		return nil, fmt.Errorf("%s: expected .idl files or a clone of Xen's repository: %w", c, err)
	}
	var list []Release
	for tag := range strings.Lines(tags) {
		if m := releaseTag.FindStringSubmatch(strings.TrimSpace(tag)); m != nil {
			rel, err := ParseRelease(m[1])
			if err == nil && rel.Compare(oldest) >= 0 {
				list = append(list, rel)
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: expected tags such as RELEASE-%s.0, from %s on: git fetch --tags gets them", c, oldest, oldest)
	}
	slices.SortFunc(list, Release.Compare)
	return list, nil
}

// eval evaluates the interface of a release, wherever it lies in the tree.
func (c checkout) eval(rel Release) (*Schema, error) {
	tag := fmt.Sprintf("RELEASE-%s.0", rel)
	names, err := c.git("ls-tree", "-r", "--name-only", tag, "tools/")
	if err != nil {
		return nil, err
	}
	var found []string
	for name := range strings.Lines(names) {
		if name = strings.TrimSpace(name); path.Base(name) == "libxl_types.idl" {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s: expected one libxl_types.idl in %s, found %q", c, tag, found)
	}
	name := tag + ":" + found[0]
	text, err := c.git("show", name)
	if err != nil {
		return nil, err
	}
	return Eval(name, []byte(text), rel)
}

// schemas evaluates all releases but those that are there already.
func (c checkout) schemas(have []Release) ([]*Schema, error) {
	releases, err := c.releases()
	if err != nil {
		return nil, err
	}
	var list []*Schema
	for _, rel := range releases {
		if slices.Contains(have, rel) {
			continue
		}
		s, err := c.eval(rel)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}
