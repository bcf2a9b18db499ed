package idl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Interface is all that a module's folder idl says.
type Interface struct {
	Schema *Schema
	*Catalog
	docs docs
}

// LoadInterface reads the folder idl of a module.
func LoadInterface(dir string) (*Interface, error) {
	schema, err := Load(SchemaFile(dir))
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "idl")
	d, err := loadDocs(filepath.Join(dir, "docs.json"))
	if err != nil {
		return nil, err
	}
	catalog, err := EvalFunctionsFile(filepath.Join(dir, "functions.idl"), schema)
	if err != nil {
		return nil, err
	}
	return &Interface{schema, catalog, d}, nil
}

// FindModule finds the module that a folder is in.
func FindModule(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		_, err := os.Stat(SchemaFile(at))
		if err == nil {
			return at, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("neither %s nor a folder around it has idl/libxl.json: name the module's folder with -C", dir)
		}
	}
}

// SchemaFile is the name of a module's schema.
func SchemaFile(module string) string { return filepath.Join(module, "idl", "libxl.json") }
