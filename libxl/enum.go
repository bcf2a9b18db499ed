package libxl

import "fmt"

// enumTable has the names of an enumeration's values; they are all that its
// methods need.
type enumTable struct {
	goName string
	values []enumValue
}

type enumValue struct {
	value int32
	name  string // as libxl's to_string gives it
}

// name returns a value's name, nothing if it has none.
func (t *enumTable) name(v int32) string {
	for i := range t.values {
		if t.values[i].value == v {
			return t.values[i].name
		}
	}
	return ""
}

func (t *enumTable) format(v int32) string {
	if s := t.name(v); s != "" {
		return s
	}
	return fmt.Sprintf("%s(%d)", t.goName, v)
}

func (t *enumTable) marshal(v int32) ([]byte, error) {
	if s := t.name(v); s != "" {
		return []byte(s), nil
	}
	return nil, fmt.Errorf("libxl: %s is no known value", t.format(v))
}

// parseEnum finds a value by its name as libxl's from_string does.
func parseEnum[T ~int32](t *enumTable, s string) (T, error) {
	for i := range t.values {
		if equalFold(t.values[i].name, s) {
			return T(t.values[i].value), nil
		}
	}
	return 0, fmt.Errorf("libxl: %q is no %s", s, t.goName)
}

// equalFold is C's strcasecmp in the locale C. That of package strings also takes
// letters beyond ASCII for such within: the Kelvin sign for a k.
func equalFold(s, t string) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != lower(t[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func enumValues[T ~int32](t *enumTable) []T {
	values := make([]T, len(t.values))
	for i := range t.values {
		values[i] = T(t.values[i].value)
	}
	return values
}
