package layout

import (
	"fmt"
	"io"
	"strings"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// Assertions writes a C file that compiles only against headers of libxl in
// which all types and values are as given: the size of every type, offset, size
// and type of every member, and the value of every constant; and in which there
// are no members and values beside them, not even in what looks like padding.
func Assertions(w io.Writer, types []abi.CType, enums []*abi.Enum, r abi.Release) error {
	a := asserter{w: w}
	a.printf("/* What xenlight takes libxl of Xen %s to be. C11 with GNU extensions. */\n%s", r, preamble)
	for _, t := range types {
		a.typ(t)
	}
	for _, e := range enums {
		if e.Since <= r {
			a.enum(e, r)
		}
	}
	// The codec knows these two from inside.
	a.printf("\nPLACE(libxl_bitmap, size, 0, 4);\nTYPE(libxl_bitmap, size, uint32_t);\n" +
		"PLACE(libxl_bitmap, map, 8, 8);\nTYPE(libxl_bitmap, map, uint8_t *);\n" +
		"PLACE(libxl_defbool, val, 0, 4);\nTYPE(libxl_defbool, val, int);\n")
	return a.err
}

const preamble = `#include <stddef.h>
#include <libxl.h>
#define MEMBER(t, m) (((t *)0)->m)
#define SIZE(t, n) _Static_assert(sizeof(t) == (n), "size of " #t)
#define PLACE(t, m, off, n) \
	_Static_assert(offsetof(t, m) == (off), "offset of " #t "." #m); \
	_Static_assert(sizeof(MEMBER(t, m)) == (n), "size of " #t "." #m)
#define TYPE(t, m, c) \
	_Static_assert(__builtin_types_compatible_p(__typeof__(MEMBER(t, m)), c), "type of " #t "." #m)
#define VALUE(c, n) _Static_assert((c) == (n), "value of " #c)

/* COMPLETE and VALUES object to a member or a value that is missing in them. */
#pragma GCC diagnostic error "-Wmissing-field-initializers"
#pragma GCC diagnostic error "-Wswitch"
#define NAME_(counter) complete_##counter
#define NAME(counter) NAME_(counter)
#define COMPLETE(t, ...) static const __typeof__(t) NAME(__COUNTER__) = {__VA_ARGS__}
#define VALUES(t, cases) static void NAME(__COUNTER__)(t v) { switch (v) { cases } }
`

// asserter keeps the first error.
type asserter struct {
	w   io.Writer
	err error
}

func (a *asserter) printf(format string, args ...any) {
	if a.err == nil {
		_, a.err = fmt.Fprintf(a.w, format, args...)
	}
}

// typ writes what holds for a type.
func (a *asserter) typ(t abi.CType) {
	a.printf("\nSIZE(%s, %d);\n", t.Name, t.Size)
	for _, m := range t.Members {
		a.printf("PLACE(%s, %s, %d, %d);\n", t.Name, m.Path, m.Off, m.Size)
		if m.Type != "" {
			a.printf("TYPE(%s, %s, %s);\n", t.Name, m.Path, m.Type)
		}
	}
	a.complete(t)
}

// enum writes what holds for an enumeration.
func (a *asserter) enum(e *abi.Enum, r abi.Release) {
	a.printf("\n")
	cases := ""
	for _, v := range e.Values {
		if v.Since <= r {
			a.printf("VALUE(%s, %d);\n", constant(e, v), v.Value)
			cases += fmt.Sprintf(" case %d:", v.Value)
		}
	}
	a.printf("VALUES(libxl_%s,%s;)\n", e.Name, cases)
}

// complete writes an initialiser for each struct in a type, with a value for
// each member: the compiler objects if there are more.
func (a *asserter) complete(t abi.CType) {
	if len(t.Members) == 0 {
		return
	}
	values := map[string][]string{"": nil} // by the path of the struct
	unions := make(map[string]bool)
	order := []string{""}
	for _, m := range t.Members {
		parent := ""
		if dot := strings.LastIndexByte(m.Path, '.'); dot >= 0 {
			parent = m.Path[:dot]
		}
		zero := "{}"
		if m.Scalar {
			zero = "0"
		}
		values[parent] = append(values[parent], zero)
		unions[m.Path] = m.Union
		if m.Type == "" {
			order = append(order, m.Path)
		}
	}
	for _, path := range order {
		if unions[path] {
			continue
		}
		typ := t.Name
		if path != "" {
			typ = fmt.Sprintf("MEMBER(%s, %s)", t.Name, path)
		}
		a.printf("COMPLETE(%s, %s);\n", typ, strings.Join(values[path], ", "))
	}
}

// constant is the C name of a value. The error codes are without the prefix.
func constant(e *abi.Enum, v abi.EnumValue) string {
	c := strings.ToUpper(e.Name + "_" + v.Name)
	if e.Name == "error" {
		return c
	}
	return "LIBXL_" + c
}
