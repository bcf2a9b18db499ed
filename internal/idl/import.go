package idl

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

var releaseInName = regexp.MustCompile(`[0-9]+\.[0-9]+`)

// Import evaluates and merges the .idl files that the arguments name; of a
// folder it takes all. A file's name tells its release, as in 4.17.idl or
// libxl_types-4.17.0.idl. A .json file is a schema made before, to which newer
// releases are added.
func Import(args ...string) (*Schema, error) {
	var schemas []*Schema
	for _, arg := range args {
		files := []string{arg}
		if info, err := os.Stat(arg); err != nil {
			return nil, err
		} else if info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(arg, "*.idl")); err != nil {
				return nil, err
			}
			if len(files) == 0 {
				return nil, fmt.Errorf("%s: no .idl file in this folder", arg)
			}
		}
		for _, file := range files {
			if filepath.Ext(file) == ".json" {
				s, err := Load(file)
				if err != nil {
					return nil, err
				}
				schemas = append(schemas, s)
				continue
			}
			rel, err := ParseRelease(releaseInName.FindString(filepath.Base(file)))
			if err != nil {
				return nil, fmt.Errorf("%s: expected the release in the file's name, as in 4.17.idl", file)
			}
			s, err := EvalFile(file, rel)
			if err != nil {
				return nil, err
			}
			schemas = append(schemas, s)
		}
	}
	return Merge(schemas...)
}
