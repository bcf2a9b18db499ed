package idl

import (
	"slices"
	"strings"
	"testing"
)

// prelude begins the texts below; it is one line long.
const prelude = `namespace("libxl_"); e = Enumeration("e", [(0, "a"), (1, "B")]); domid = Builtin("domid"); blob = Builtin("blob")` + "\n"

func eval(t *testing.T, rel, text string) *Schema {
	t.Helper()
	r, err := ParseRelease(rel)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Eval(rel+".idl", []byte(prelude+text), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestErrorsTellWhereAndWhatWasExpected(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"syntax", "x = = 1", "x.idl:2:5: got '=', want primary expression"},
		{"undefined name", "x = Struct('x', [('a', uint31)])", "x.idl:2:24: undefined: uint31"},
		{"wrong number of arguments", "x = Struct('x')", "x.idl:2:11: Struct: expected 2 arguments, got 1"},
		{"unknown option", "x = Struct('x', [], colour='red')", "x.idl:2:11: Struct: unknown option colour, expected one of"},
		{"fields are no list", "x = Struct('x', ('a', uint8))", `x.idl:2:17: Struct: expected a list, got ("a", uint8)`},
		{"field is no tuple", "x = Struct('x', [('a', uint8),\n  'b'])", `x.idl:3:3: expected ("name", type) or ("name", type, {options}), got "b"`},
		{"field without a name", "x = Struct('x', [\n   (None, uint8)])", `x.idl:3:4: expected the member's name, got None`},
		{"field without a type", "x = Struct('x', [\n\n   ('a', 'uint8')])", `x.idl:4:4: a: expected a type, got "uint8"`},
		{"field twice", "x = Struct('x', [('a', uint8),\n ('a', uint8)])", "x.idl:3:2: member a is there twice"},
		{"field option", "x = Struct('x', [\n ('a', uint8, {'initval': '1'})])", `x.idl:3:2: a: expected init_val, deprecated_by (strings) or const (True), got "initval"`},
		{"default of an unknown macro", "x = Struct('x', [\n ('a', uint8, {'init_val': 'LIBXL_NEW'})])",
			"x.idl:3:2: expected a number, a constant of an enumeration or a known macro as default, got LIBXL_NEW"},
		{"default of an anonymous struct's field", "x = Struct('x', [('s', Struct(None, [\n  ('a', uint8, {'init_val': '1x'})]))])",
			"x.idl:3:3: expected a number"},
		{"default of what is no number", "x = Struct('x', [\n ('a', string, {'init_val': '1'})])", "x.idl:3:2: a: a default of a member that is no number"},
		{"direction", "x = Struct('x', [], dir=7)", "x.idl:2:11: x: expected dir to be DIR_NONE, DIR_IN, DIR_OUT or DIR_BOTH, got 7"},
		{"dispose function", "x = Struct('x', [], dispose_fn='f')", `x.idl:2:11: x: expected dispose_fn to be None, got "f"`},
		{"enumeration's value", "x = Enumeration('x', [(1, 'a'),\n  ('b', 2)])", `x.idl:3:3: x: expected (number, "name"), got ("b", 2)`},
		{"enumeration's number is too large", "x = Enumeration('x', [\n(0x80000000, 'a')])", `x.idl:3:1: x: expected (number, "name")`},
		{"enumeration's value twice", "x = Enumeration('x', [(1, 'a'),\n  (2, 'A')])", "x.idl:3:3: x: value A (2) is there twice"},
		{"enumeration's number twice", "x = Enumeration('x', [(1, 'a'),\n  (1, 'b')])", "x.idl:3:3: x: value b (1) is there twice"},
		{"width", "x = UInt(24)", "x.idl:2:10: UInt: expected a width of 8, 16, 32 or 64, got 24"},
		{"alias without a name", "x = Struct('x', [('a', UInt(8))])", "x.idl:2:28: uint is assigned to no variable"},
		{"type twice", "x = Struct('x', [])\ny = Struct('x', [])", "x.idl:3:11: type x is declared twice"},
		{"array of an anonymous type", "x = Struct('x', [('a', Array(Struct(None, []), 'num_a'))])", "x.idl:2:30: Array: expected a type with a name"},
		{"union's key", "x = Struct('x', [('u', KeyedUnion(None, uint8, 'k', []))])", "x.idl:2:41: KeyedUnion: expected an Enumeration as the key's type, got uint8"},
		{"union's member", "x = Struct('x', [('u', KeyedUnion(None, e, 'k', [('a', None),\n ('c', None)]))])",
			`x.idl:3:2: KeyedUnion: expected a value of enumeration e, got "c"`},
		{"union's member twice", "x = Struct('x', [('u', KeyedUnion(None, e, 'k', [('a', None),\n ('A', None)]))])",
			"x.idl:3:2: KeyedUnion: member A is there twice"},
		{"union's member with a name", "x = Struct('x', [('u', KeyedUnion(None, e, 'k', [\n ('b', uint8)]))])",
			"x.idl:3:2: b: expected Struct(None, ...) or None, got uint8"},
		{"expression", "x = 1 // 0", "x.idl:2:5: expected a name, a number, a string, a list, a dictionary or a constructor's call"},
		{"comprehension", "x = [y for y in [1]]", "x.idl:2:5: expected a name, a number"},
		{"call of what is no constructor", "x = range(1)", "x.idl:2:5: expected a call of Array, Builtin, Enumeration, KeyedUnion, Struct, UInt, namespace, got range"},
		{"call of a method", "x = 'a'.join([])", "x.idl:2:5: expected a call of Array"},
		{"spread arguments", "x = Struct(*[1])", "x.idl:2:12: expected a name, a number"},
		{"statement", "def f():\n  pass", "x.idl:2:1: expected an assignment to a name or a call"},
		{"assignment to two", "x, y = 1, 2", "x.idl:2:1: expected an assignment to a name or a call"},
		{"unhashable key", "x = {[]: 1}", "x.idl:2:8: unhashable"},
		{"type without a name twice", "s = Struct(None, [])\nx = Struct('x', [('a', s),\n ('b', s)])",
			"x.idl:4:2: expected a type of its own, this anonymous Struct has a place already"},
		{"union without a name twice", "s = Struct(None, [])\nx = Struct('x', [('u', KeyedUnion(None, e, 'k', [('a', s),\n ('b', s)]))])",
			"x.idl:4:2: expected a type of its own"},
		{"too long a value", "a = ['aaaaaaaaaaaaaaaaaaaaaaaaa']\nb = [a, a, a, a, a, a, a, a]\nx = Struct('x', [\n (None, b)])",
			"x.idl:5:2: expected the member's name, got None"},
		{"too long a value", "a = ['aaaaaaaaaaaaaaaaaaaaaaaaa']\nb = [a, a, a, a, a, a, a, a]\nx = Struct('x', [\n b])", "...]"},
		{"too long a file", strings.Repeat("#", 1<<20), "x.idl:1:1: expected at most 262144 bytes, got 10"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Eval("x.idl", []byte(prelude+test.text), Release{1, 0})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestTypesKeepTheOrderOfTheirDeclaration(t *testing.T) {
	s := eval(t, "1.0", "z = Struct('z', [])\nb = Struct('b', [])\na = Struct('a', [('b', b)])\nlibxl_alias = UInt(16)")
	var names []string
	for _, typ := range s.Types {
		names = append(names, typ.Name)
	}
	if want := []string{"e", "domid", "blob", "z", "b", "a", "alias"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestConstantsHaveTheNamesThatCHas(t *testing.T) {
	s := eval(t, "1.0", "x = Enumeration('my_err', [(1, 'low'), (2, '128')], value_namespace='')")
	x, e := s.Lookup("my_err"), s.Lookup("e")
	for got, want := range map[string]string{
		x.constant(x.Values[0]): "MY_ERR_LOW",
		x.constant(x.Values[1]): "MY_ERR_128",
		e.constant(e.Values[0]): "LIBXL_E_A",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDefaultsAreConvertedAsCDoes(t *testing.T) {
	tests := []struct{ typ, expr, want string }{
		{"uint8", "1", "1"},
		{"uint32", "0x20", "32"},
		{"uint32", "~0U", "4294967295"},
		{"uint32", "-1", "4294967295"},
		{"uint64", "~0ULL", "18446744073709551615"},
		{"uint64", "~0U", "4294967295"},
		{"uint64", "~0", "18446744073709551615"},
		{"integer", "~0", "-1"},
		{"integer", "LIBXL_MAX_GRANT_DEFAULT", "-1"},
		{"uint32", "LIBXL_MAX_GRANT_DEFAULT", "4294967295"},
		{"uint64", "LIBXL_MAX_GRANT_DEFAULT", "4294967295"},
		{"uint64", "LIBXL_INVALID_GFN", "18446744073709551615"},
		{"uint64", "LIBXL_ALTP2M_COUNT_DEFAULT", "4294967295"},
		{"e", "LIBXL_E_B", "1"},
		{"e", "LIBXL_TIMER_MODE_DEFAULT", "-1"},
		{"domid", "~0U", "4294967295"},
	}
	for _, test := range tests {
		s := eval(t, "1.0", "x = Struct('x', [('f', "+test.typ+", {'init_val': '"+test.expr+"'})])")
		if got := s.Lookup("x").Fields[0].Init[0].Value.String(); got != test.want {
			t.Errorf("%s as %s is %s, want %s", test.expr, test.typ, got, test.want)
		}
	}
}

func TestGoNamesAreThoseOfXensOwnBinding(t *testing.T) {
	for c, want := range map[string]string{
		"altp2m": "Altp2M", "device_p9": "DeviceP9", "p9s": "P9S", "hw_cap": "HwCap", "e820_host": "E820Host",
		"xen_9pfsd": "Xen9Pfsd", "QEMU_XEN_TRADITIONAL": "QemuXenTraditional", "S3RESUME": "S3Resume",
		"sve_type": "SveType", "ms_vm_genid": "MsVmGenid", "colo_sock_redirector0_id": "ColoSockRedirector0Id",
	} {
		if got := goName(c); got != want {
			t.Errorf("%s is %s, want %s", c, got, want)
		}
	}
}
