// Package idl compiles libxl's interface description: it evaluates the
// libxl_types.idl of each Xen release, merges the releases into one schema that
// knows since when everything exists, and generates the Go types, the layout
// tables and the raw calls from it.
package idl

import (
	"fmt"
	"strconv"
	"strings"

	"go.starlark.net/syntax"
)

// Format names the layout of idl/libxl.json; it changes when an older xlidl
// could misread the file.
const Format = "xenlight-idl-1"

// Release is a Xen release series such as 4.17.
type Release struct{ Major, Minor int }

// ParseRelease reads a release written as "4.17".
func ParseRelease(s string) (Release, error) {
	major, minor, ok := strings.Cut(s, ".")
	if ok {
		a, err1 := strconv.ParseUint(major, 10, 8)
		b, err2 := strconv.ParseUint(minor, 10, 8)
		if err1 == nil && err2 == nil {
			return Release{int(a), int(b)}, nil
		}
	}
	return Release{}, fmt.Errorf("%q is not a release such as 4.17", s)
}

func (r Release) String() string { return fmt.Sprintf("%d.%d", r.Major, r.Minor) }

// Compare orders releases by age, the oldest first.
func (r Release) Compare(s Release) int {
	if r.Major != s.Major {
		return r.Major - s.Major
	}
	return r.Minor - s.Minor
}

// MarshalText implements encoding.TextMarshaler.
func (r Release) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Release) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRelease(string(b))
	return err
}

// Schema is the interface of one release, or of several merged ones. What
// has no Since exists since the first of Releases.
type Schema struct {
	Format    string    `json:"format"`
	Releases  []Release `json:"releases"`
	Namespace string    `json:"namespace"` // prefix of the C names
	Types     []*Type   `json:"types"`

	file string // the one .idl file this comes from
}

// The kinds of types.
const (
	KindBuiltin = "builtin" // hand-written C, hence hand-written Go
	KindUInt    = "uint"    // another name for uint8 ... uint64
	KindEnum    = "enum"
	KindStruct  = "struct"
)

// The directions in which libxl uses a struct. None means both.
const (
	DirNone = "none"
	DirIn   = "in"
	DirOut  = "out"
	DirBoth = ""
)

// Type is one named type.
type Type struct {
	Name      string   `json:"name"` // without the namespace
	Kind      string   `json:"kind"`
	Since     Release  `json:"since,omitzero"`
	Width     int      `json:"width,omitempty"`      // of a uint, in bits
	Signed    bool     `json:"signed,omitempty"`     // a builtin that is a signed number
	Private   bool     `json:"private,omitempty"`    // libxl's own business
	Dir       string   `json:"dir,omitempty"`        // of a struct
	NoDispose bool     `json:"no_dispose,omitempty"` // a struct without _dispose
	Prefix    string   `json:"prefix,omitempty"`     // of an enum's constants
	Init      Inits    `json:"init,omitempty"`
	Values    []*Value `json:"values,omitempty"`
	Fields    []*Field `json:"fields,omitempty"`

	pos      syntax.Position
	initExpr string // as written, until resolved
}

// Value is one value of an enumeration.
type Value struct {
	Name  string  `json:"name"` // as written in the IDL
	Value int32   `json:"value"`
	Since Release `json:"since,omitzero"`

	pos syntax.Position
}

// Field is one member of a struct or of a union. Exactly one of Type, Array,
// Struct and Union is set; a union's member without data has none.
type Field struct {
	Name         string  `json:"name"`
	Since        Release `json:"since,omitzero"`
	Type         string  `json:"type,omitempty"`
	Const        bool    `json:"const,omitempty"` // never initialised nor freed by libxl
	DeprecatedBy string  `json:"deprecated_by,omitempty"`
	Init         Inits   `json:"init,omitempty"`
	Array        *Array  `json:"array,omitempty"`
	Struct       *Struct `json:"struct,omitempty"`
	Union        *Union  `json:"union,omitempty"`

	pos      syntax.Position
	initExpr string
	ref      *Type // what Type, Array.Of or Union.Enum names, until named
}

// Array is a counted array; the member with its length precedes it.
type Array struct {
	Of  string `json:"of"`
	Len string `json:"len"`
}

// Struct is a struct without a name of its own.
type Struct struct {
	Fields []*Field `json:"fields"`
}

// Union is a union whose active member is told by an enumeration, the key,
// that precedes it.
type Union struct {
	Key     string   `json:"key"`
	Enum    string   `json:"enum"`
	Init    Inits    `json:"init,omitempty"` // of the key, before its type's own
	Members []*Field `json:"members"`

	initExpr string
}

// Init is a default that libxl's _init sets.
type Init struct {
	Since  Release `json:"since,omitzero"`
	Symbol string  `json:"symbol,omitempty"` // as the IDL says it, if not a plain number
	Value  Number  `json:"value"`
	None   bool    `json:"none,omitempty"` // no longer set
}

// Inits is the history of a default, the oldest first.
type Inits []Init

// Number is an integer of any of C's types: negative ones as int64.
type Number struct {
	Bits     uint64
	Negative bool
}

func (n Number) String() string {
	if n.Negative {
		return strconv.FormatInt(int64(n.Bits), 10)
	}
	return strconv.FormatUint(n.Bits, 10)
}

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(b []byte) error {
	if i, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*n = Number{uint64(i), i < 0}
		return nil
	}
	u, err := strconv.ParseUint(string(b), 10, 64)
	*n = Number{Bits: u}
	return err
}

// Lookup finds a type by its name.
func (s *Schema) Lookup(name string) *Type {
	for _, t := range s.Types {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// First is the oldest release.
func (s *Schema) First() Release { return s.Releases[0] }

// Newest is the newest release.
func (s *Schema) Newest() Release { return s.Releases[len(s.Releases)-1] }

// since resolves an omitted Since.
func (s *Schema) since(r Release) Release {
	if r == (Release{}) {
		return s.First()
	}
	return r
}

// constant is the C name of an enumeration's value.
func (t *Type) constant(v *Value) string { return t.Prefix + strings.ToUpper(v.Name) }

// value finds an enumeration's value as a union's member names it.
func (t *Type) value(name string) *Value {
	for _, v := range t.Values {
		if strings.EqualFold(v.Name, name) {
			return v
		}
	}
	return nil
}

// walk visits all fields below a list of fields, outermost first. The path is
// the C path within the struct.
func walk(fields []*Field, path string, visit func(path string, f *Field)) {
	for _, f := range fields {
		p := path + f.Name
		visit(p, f)
		switch {
		case f.Struct != nil:
			walk(f.Struct.Fields, p+".", visit)
		case f.Union != nil:
			walk(f.Union.Members, p+".", visit)
		}
	}
}
