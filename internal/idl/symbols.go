package idl

import (
	"math"
	"strconv"
	"strings"

	"go.starlark.net/syntax"
)

// symbols are the values of the macros that the IDL uses as defaults. Their
// definitions are in C headers, two of them in libxl's internal one.
var symbols = map[string]Number{
	"LIBXL_MEMKB_DEFAULT":                     {Bits: math.MaxUint64},
	"LIBXL_INVALID_GFN":                       {Bits: math.MaxUint64}, // libxl_internal.h
	"LIBXL_ALTP2M_COUNT_DEFAULT":              {Bits: math.MaxUint32}, // libxl_internal.h
	"LIBXL_NR_SPIS_DEFAULT":                   {Bits: math.MaxUint32},
	"LIBXL_MAX_GRANT_DEFAULT":                 {Bits: math.MaxUint32},
	"LIBXL_TIMER_MODE_DEFAULT":                minusOne,
	"LIBXL_SCHED_PARAM_VCPU_INDEX_DEFAULT":    minusOne,
	"LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT": minusOne,
	"LIBXL_DOMAIN_SCHED_PARAM_CAP_DEFAULT":    minusOne,
	"LIBXL_DOMAIN_SCHED_PARAM_PERIOD_DEFAULT": minusOne,
	"LIBXL_DOMAIN_SCHED_PARAM_BUDGET_DEFAULT": minusOne,
	"LIBXL_DOMAIN_SCHED_PARAM_SLICE_DEFAULT":  minusOne,

	"LIBXL_DOMAIN_SCHED_PARAM_EXTRATIME_DEFAULT": minusOne,
	"LIBXL_DOMAIN_SCHED_PARAM_LATENCY_DEFAULT":   minusOne,
}

var minusOne = Number{Bits: math.MaxUint64, Negative: true}

// resolveInits turns the defaults of a freshly evaluated schema to numbers.
func resolveInits(s *Schema) error {
	constants := make(map[string]Number)
	for _, t := range s.Types {
		for _, v := range t.Values {
			constants[t.constant(v)] = Number{uint64(int64(v.Value)), v.Value < 0}
		}
	}
	resolve := func(expr string, bits int, signed bool, pos syntax.Position) (Inits, error) {
		if expr == "" {
			return nil, nil
		}
		n, plain, ok := number(expr, constants)
		if !ok {
			return nil, errorAt(pos, "expected a number, a constant of an enumeration or a known macro as default, got %s", expr)
		}
		init := Init{Value: n.as(bits, signed)}
		if !plain {
			init.Symbol = expr
		}
		return Inits{init}, nil
	}
	for _, t := range s.Types {
		var err error
		bits, signed := s.number(t.Name)
		if t.initExpr != "" && bits == 0 {
			return errorAt(t.pos, "%s: a default of a type that is no number", t.Name)
		}
		if t.Init, err = resolve(t.initExpr, bits, signed, t.pos); err != nil {
			return err
		}
		walk(t.Fields, "", func(path string, f *Field) {
			if err != nil {
				return
			}
			bits, signed := s.number(f.Type)
			if f.initExpr != "" && bits == 0 {
				err = errorAt(f.pos, "%s: a default of a member that is no number", path)
				return
			}
			if f.Init, err = resolve(f.initExpr, bits, signed, f.pos); err == nil && f.Union != nil {
				f.Union.Init, err = resolve(f.Union.initExpr, 32, true, f.pos)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// number returns the width in bits of a numeric type, 0 for any other.
func (s *Schema) number(name string) (bits int, signed bool) {
	switch name {
	case "integer":
		return 32, true
	case "uint8":
		return 8, false
	case "uint16":
		return 16, false
	case "uint32", "domid":
		return 32, false
	case "uint64":
		return 64, false
	}
	if t := s.Lookup(name); t != nil {
		switch {
		case t.Kind == KindUInt:
			return t.Width, false
		case t.Kind == KindEnum, t.Kind == KindBuiltin && t.Signed:
			return 32, true
		}
	}
	return 0, false
}

// number evaluates a default: a literal such as 1, -1, 0x20 or ~0U, a macro or
// an enumeration's constant.
func number(expr string, constants map[string]Number) (n Number, plain, ok bool) {
	if n, ok := constants[expr]; ok {
		return n, false, true
	}
	if n, ok := symbols[expr]; ok {
		return n, false, true
	}
	if i, err := strconv.ParseInt(expr, 0, 64); err == nil {
		return Number{uint64(i), i < 0}, true, true
	}
	digits, invert := strings.CutPrefix(expr, "~")
	value := strings.TrimRight(digits, "UL")
	u, err := strconv.ParseUint(value, 0, 64)
	if err != nil {
		return Number{}, false, false
	}
	long := strings.Contains(digits[len(value):], "L")
	unsigned := strings.Contains(digits[len(value):], "U")
	switch {
	case invert && long:
		u = ^u
	case invert:
		u = uint64(^uint32(u))
	}
	n = Number{Bits: u}
	if invert && !unsigned {
		n = n.as(map[bool]int{false: 32, true: 64}[long], true)
	}
	return n, false, true
}

// as converts a number to a C type as an assignment does.
func (n Number) as(bits int, signed bool) Number {
	shift := 64 - bits
	if signed {
		i := int64(n.Bits<<shift) >> shift
		return Number{uint64(i), i < 0}
	}
	return Number{Bits: n.Bits << shift >> shift}
}
