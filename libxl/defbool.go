package libxl

import "errors"

// Defbool is libxl_defbool: true, false, or libxl's own choice.
type Defbool int8

// The values of Defbool.
const (
	DefboolDefault Defbool = 0
	DefboolTrue    Defbool = 1
	DefboolFalse   Defbool = -1
)

// DefboolOf returns the Defbool that says what b says.
func DefboolOf(b bool) Defbool {
	if b {
		return DefboolTrue
	}
	return DefboolFalse
}

// Set makes it true or false.
func (d *Defbool) Set(b bool) { *d = DefboolOf(b) }

// SetDefault makes it true or false if it is neither yet.
func (d *Defbool) SetDefault(b bool) {
	if d.IsDefault() {
		d.Set(b)
	}
}

// Unset leaves the choice to libxl.
func (d *Defbool) Unset() { *d = DefboolDefault }

// IsDefault says whether the choice is libxl's.
func (d Defbool) IsDefault() bool { return d == DefboolDefault }

// Val returns what it says; that the choice is libxl's is an error.
func (d Defbool) Val() (bool, error) {
	if d.IsDefault() {
		return false, errors.New("libxl: defbool is default, neither true nor false")
	}
	return d > 0, nil
}

// String returns <default>, True or False, as libxl does.
func (d Defbool) String() string {
	switch {
	case d > 0:
		return "True"
	case d < 0:
		return "False"
	}
	return "<default>"
}
