package libxl

import (
	"fmt"
	"strconv"
)

// JSONError says which part of a JSON text, or of a value that was to become
// one, is wrong. The JSON is libxl's own: what "xl list -l" prints and what
// libxl stores of a running domain.
//
// A member that has its default, as New gives it, is left out when writing; what
// is left out when reading gets its default. Reading takes everything of the
// newest release; what it does not know, or of which it wants another type, is
// an error, where libxl itself would pass over it. So is what JSON or C could
// not hold: text that is not UTF-8, text with NUL, numbers outside the range of
// the C type.
//
// A struct within a struct is always written, even if it is empty, but for those
// of Xen 4.21 and later (arm_sci, xenstore_quota).
//
// Two things are written less than completely, for libxl's form has no room for
// them: of Hwcap the first four words, and a KeyValueList cannot tell a null from
// an empty value. A member that libxl leaves out for good (Features of a PV
// guest) must be empty.
type JSONError struct {
	// Path leads to the member in JSON's names, for example disks[2].pdev_path.
	Path string
	// Problem says what is wrong.
	Problem string
}

// Error is the problem, with the path if there is one.
func (e *JSONError) Error() string {
	if e.Path == "" {
		return "libxl: JSON: " + e.Problem
	}
	return "libxl: " + e.Path + ": " + e.Problem
}

func jsonProblem(format string, args ...any) *JSONError {
	return &JSONError{Problem: fmt.Sprintf(format, args...)}
}

// under puts a member's name, or an index, before the path.
func (e *JSONError) under(name string) *JSONError {
	switch {
	case e.Path == "":
		e.Path = name
	case e.Path[0] == '[':
		e.Path = name + e.Path
	default:
		e.Path = name + "." + e.Path
	}
	return e
}

func jsonIndex(i int) string { return "[" + strconv.Itoa(i) + "]" }
