package idl

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

var releaseInName = regexp.MustCompile(`[0-9]+\.[0-9]+`)

// Import evaluates and merges the releases that the arguments name. An argument
// is one of
//   - an .idl file, whose name tells its release, as in 4.17.idl or
//     libxl_types-4.17.0.idl
//   - a folder of such files
//   - a clone of Xen's repository, of which all tagged releases are taken
//   - a .json file, a schema made before, to which newer releases are added
func Import(args ...string) (*Schema, error) {
	var schemas []*Schema
	var have []Release
	var clones []checkout
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		files := []string{arg}
		if info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(arg, "*.idl")); err != nil {
				return nil, err
			}
			if len(files) == 0 {
				clones = append(clones, checkout(arg))
			}
		}
		for _, file := range files {
			s, err := importFile(file)
			if err != nil {
				return nil, err
			}
			schemas = append(schemas, s)
			have = append(have, s.Releases...)
		}
	}
	for _, c := range clones {
		more, err := c.schemas(have)
		if err != nil {
			return nil, err
		}
		schemas = append(schemas, more...)
	}
	return Merge(schemas...)
}

func importFile(name string) (*Schema, error) {
	if filepath.Ext(name) == ".json" {
		return Load(name)
	}
	rel, err := ParseRelease(releaseInName.FindString(filepath.Base(name)))
	if err != nil {
		return nil, fmt.Errorf("%s: expected the release in the file's name, as in 4.17.idl", name)
	}
	return EvalFile(name, rel)
}
