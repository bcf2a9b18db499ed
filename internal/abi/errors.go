package abi

import "fmt"

// FieldError says what is wrong with one field of a value, before anything of
// it has reached libxl.
type FieldError struct {
	// Path leads to the field in Go's names, for example BInfo.Disks[2].PdevPath.
	Path string
	// Problem says what is wrong.
	Problem string
	// Needs is the first release that has the field or value, where that is the
	// problem.
	Needs Release
}

func (e *FieldError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Unwrap makes errors.Is(err, ErrUnsupported) tell what a newer release has.
func (e *FieldError) Unwrap() error {
	if e.Needs != 0 {
		return ErrUnsupported
	}
	return nil
}

func problem(format string, args ...any) *FieldError {
	return &FieldError{Problem: fmt.Sprintf(format, args...)}
}

func (c *Codec) needs(r Release, what string) *FieldError {
	return &FieldError{Problem: fmt.Sprintf("%s needs Xen %s, this is %s", what, r, c.release), Needs: r}
}

// at puts a field's name, or an index, before the path of an error.
func (e *FieldError) at(name string) *FieldError {
	switch {
	case name == "":
	case e.Path == "":
		e.Path = name
	case e.Path[0] == '[':
		e.Path = name + e.Path
	default:
		e.Path = name + "." + e.Path
	}
	return e
}

// under puts a field's name before the path of an error of any kind.
func under(name string, err error) error {
	if e, ok := err.(*FieldError); ok {
		return e.at(name)
	}
	if name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}
