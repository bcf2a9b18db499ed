//go:build linux

package xenbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dom0Folders are where a path means dom0's program even if this machine has
// one of the same name.
var dom0Folders = []string{"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/lib/"}

// programTransfer decides whether a program is the host's and must be sent;
// nil says that it is dom0's. It may change argv[0] to an absolute path.
func programTransfer(o *options, argv []string, dir string) (*transfer, error) {
	name := argv[0]
	if o.inDom0 || !strings.Contains(name, "/") {
		return nil, nil
	}
	abs := absIn(dir, name)
	if slices.ContainsFunc(dom0Folders, func(d string) bool { return strings.HasPrefix(abs, d) }) {
		return nil, nil
	}
	st, err := os.Stat(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist) && filepath.IsAbs(name):
		return nil, nil
	case err != nil:
		return nil, usageErrorf("program: %v", err)
	case !st.Mode().IsRegular():
		return nil, usageErrorf("program %s is not a file", name)
	case st.Mode()&0o111 == 0:
		return nil, usageErrorf("program %s is not executable", name)
	}
	if err := checkELF(abs, o.target); err != nil {
		return nil, usageErrorf("program: %v", err)
	}
	argv[0] = abs
	return &transfer{Host: abs, Guest: abs}, nil
}

// planJob turns the options into the job for the agent, the files to send and
// the files to fetch; job.Fetch and the fetches match one to one.
func planJob(o *options) (*job, []transfer, []transfer, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, nil, nil, err
	}
	j := &job{Argv: slices.Clone(o.argv), Dir: cwd}
	if o.dir != "" {
		j.Dir = absIn("/", o.dir)
	}
	j.Env = append(j.Env, "XENBOX=1", "XENBOX_SUITE="+o.target.Suite, "XENBOX_ARCH="+o.target.Arch, "XENBOX_XEN="+o.xen.Xen)
	var sends, fetches []transfer
	if len(j.Argv) > 0 {
		t, err := programTransfer(o, j.Argv, cwd)
		if err != nil {
			return nil, nil, nil, err
		}
		if t != nil {
			sends = append(sends, *t)
		}
	}
	if o.isTest() {
		plan := planTest(j.Argv[1:], cwd)
		j.Mkdirs = append(j.Mkdirs, plan.mkdirs...)
		fetches = append(fetches, plan.fetches...)
		if o.timeout == 0 && plan.timeout > 0 {
			o.timeout = plan.timeout + testGrace
		}
		if root := sourceRoot(cwd); root != "" && o.dir == "" {
			sends = append(sends, transfer{Host: root, Guest: root, Sources: true})
		} else if data := filepath.Join(cwd, "testdata"); isDir(data) {
			sends = append(sends, transfer{Host: data, Guest: filepath.Join(j.Dir, "testdata")})
		}
		for _, kv := range os.Environ() {
			name, _, _ := strings.Cut(kv, "=")
			if slices.Contains(testEnv, name) || strings.HasPrefix(name, testEnvPrefix) {
				j.Env = append(j.Env, kv)
			}
		}
	}
	j.Env = append(j.Env, o.env...)
	for _, s := range o.sends {
		if strings.HasSuffix(s.Guest, "/") {
			s.Guest += filepath.Base(s.Host)
		}
		sends = append(sends, transfer{Host: s.Host, Guest: absIn(j.Dir, s.Guest)})
	}
	for _, f := range o.fetches {
		host := f.Host
		if strings.HasSuffix(host, "/") || isDir(host) {
			host = filepath.Join(host, filepath.Base(f.Guest))
		}
		fetches = append(fetches, transfer{Host: absIn(cwd, host), Guest: absIn(j.Dir, f.Guest)})
	}
	for _, f := range fetches {
		j.Fetch = append(j.Fetch, f.Guest)
	}
	return j, sends, fetches, nil
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}
