package abi

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unsafe"
)

// Check reports what in the Go value at v cannot be given to the release's
// libxl: a *FieldError, which wraps ErrUnsupported where a newer release could.
func (c *Codec) Check(s *Struct, v unsafe.Pointer) error {
	if err := c.check(s, v); err != nil {
		return err
	}
	return nil
}

func (c *Codec) check(s *Struct, v unsafe.Pointer) *FieldError {
	return c.checkRuns(c.plans[s.ID].check, v)
}

func (c *Codec) checkRuns(runs []run, v unsafe.Pointer) *FieldError {
	for i := range runs {
		if r := &runs[i]; !r.done(v) {
			if err := c.checkSteps(r.steps, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Codec) checkSteps(steps []step, v unsafe.Pointer) *FieldError {
	for i := range steps {
		st := &steps[i]
		p := unsafe.Add(v, st.g)
		var err *FieldError
		switch st.kind {
		case KindEnum:
			// A new struct may have 0 where the enumeration has no such value.
			if v := *(*int32)(p); v != int32(st.f.latest()) || st.f.Go == "" {
				err = c.checkEnum(st.f.Enum, v)
			}
		case KindDefbool:
			if n := *(*int8)(p); n < -1 || n > 1 {
				err = problem("%d is not a value of Defbool", n)
			}
		case KindString:
			if s := *(*string)(p); s != "" {
				err = checkString(s)
			}
		case kindLater:
			if !isDefault(st.f, unsafe.Add(v, st.gs)) {
				err = c.needs(st.f.Since, "the field")
			}
		case KindUnion:
			value := unsafe.Add(v, st.gs)
			key := *(*int32)(unsafe.Add(value, st.f.Union.KeyOff))
			if err := c.checkKey(st.f.Union, p, key); err != nil {
				return err.at(st.path[:len(st.path)-len(st.f.Go)] + st.f.Union.KeyGo)
			}
			err = c.checkUnion(st.f.Union, p, key)
		case KindArray:
			if n := len(*(*[]struct{})(p)); n > 0 {
				err = c.checkArray(st, n, p)
			}
		case KindInt:
			if n := *(*int)(p); n < math.MinInt32 || n > math.MaxInt32 {
				err = problem("%d does not fit a C int", n)
			}
		case KindBitmap, KindStringList, KindCpuidPolicy:
			if len(*(*[]struct{})(p)) > 0 {
				err = c.checkRef(st.f, p)
			}
		default:
			err = c.checkRef(st.f, p)
		}
		if err != nil {
			return err.at(st.path)
		}
	}
	return nil
}

// checkRef checks a value that is a pointer in C, or has one.
func (c *Codec) checkRef(f *Field, p unsafe.Pointer) *FieldError {
	switch f.Kind {
	case KindBitmap:
		if n := len(*(*[]byte)(p)); n > maxBytes {
			return problem("%d bytes are too many", n)
		}
		if f.Enum != nil {
			return c.checkBits(f.Enum, *(*[]byte)(p))
		}
	case KindStringList, KindCpuidPolicy:
		for i, s := range *(*[]string)(p) {
			err := checkString(s)
			if err == nil && f.Kind == KindCpuidPolicy && strings.IndexByte(s, '=') < 1 {
				err = problem("%q is not of the form key=value", s)
			}
			if err != nil {
				return err.at(index(i))
			}
		}
	case KindKeyValueList:
		for k, s := range *(*map[string]string)(p) {
			if err := checkString(k); err != nil {
				return err.at(fmt.Sprintf("[%q]", k))
			}
			if err := checkString(s); err != nil {
				return err.at(fmt.Sprintf("[%q]", k))
			}
		}
	}
	return nil
}

func index(i int) string { return fmt.Sprintf("[%d]", i) }

func checkString(s string) *FieldError {
	if strings.IndexByte(s, 0) >= 0 {
		return problem("contains NUL")
	}
	if len(s) > maxBytes {
		return problem("%d bytes are too many", len(s))
	}
	return nil
}

// checkBits checks a bitmap whose bits are values of an enumeration; libxl passes
// over those that it does not know. Where all bits are set that mean nothing, it
// says what is not wanted: xl writes "all" so, and "all" without some.
func (c *Codec) checkBits(e *Enum, set []byte) *FieldError {
	if allBut(e, set) {
		return nil
	}
	for i, x := range set {
		for ; x != 0; x &= x - 1 {
			if err := c.checkEnum(e, int32(8*i+bits.TrailingZeros8(x))); err != nil {
				return err
			}
		}
	}
	return nil
}

// allBut reports whether all bits after the last value are set.
func allBut(e *Enum, set []byte) bool {
	last := 0
	for i := range e.Values {
		last = max(last, int(e.Values[i].Value))
	}
	for bit := last + 1; bit < 8*len(set); bit++ {
		if set[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return last+1 < 8*len(set)
}

func (c *Codec) checkEnum(e *Enum, v int32) *FieldError {
	for i := range e.Values {
		if e.Values[i].Value != v {
			continue
		}
		if e.Values[i].Since > c.release {
			return c.needs(e.Values[i].Since, fmt.Sprintf("%s %q", e.Go, e.Values[i].Name))
		}
		return nil
	}
	return problem("%d is not a value of %s", v, e.Go)
}

func (c *Codec) checkArray(st *step, n int, p unsafe.Pointer) *FieldError {
	if int64(n)*int64(st.m.Size) > maxBytes {
		return problem("%d elements are too many", n)
	}
	if len(st.elem.check) == 0 {
		return nil
	}
	first := loadPointer(p)
	for i := range n {
		if err := c.checkRuns(st.elem.check, unsafe.Add(first, i*int(st.f.Array.Size))); err != nil {
			return err.at(index(i))
		}
	}
	return nil
}

// checkKey checks the key of a union without a value, whose interface is at p.
func (c *Codec) checkKey(u *Union, p unsafe.Pointer, key int32) *FieldError {
	if i, _ := u.Get(p); i >= 0 || key == u.KeyInit {
		return nil
	}
	return c.checkEnum(u.KeyEnum, key)
}

// checkUnion checks the union whose interface value is at p. The value decides
// which member it is; the key may say the same or be unset.
func (c *Codec) checkUnion(u *Union, p unsafe.Pointer, key int32) *FieldError {
	i, value := u.Get(p)
	if i < 0 {
		for _, v := range u.Variants {
			if v.Value == key && v.Struct != nil && key != u.KeyInit {
				return problem("nil, but %s is %q: want a *%s", u.KeyGo, v.Name, v.Go)
			}
		}
		return nil
	}
	v := &u.Variants[i]
	switch {
	case value == nil:
		return problem("nil *%s", v.Go)
	case key != v.Value && key != u.KeyInit && key != 0:
		return problem("*%s, but %s is %d, not %q", v.Go, u.KeyGo, key, v.Name)
	case v.Since > c.release:
		return c.needs(v.Since, fmt.Sprintf("%s %q", u.KeyEnum.Go, v.Name))
	}
	return c.check(v.Struct, value)
}

// isDefault reports whether a field of the struct at s has the value that a new
// one has, so that a release without the field loses nothing.
func isDefault(f *Field, s unsafe.Pointer) bool {
	p := unsafe.Add(s, f.Off)
	switch f.Kind {
	case KindBool:
		return !*(*bool)(p)
	case KindUint8:
		return *(*uint8)(p) == uint8(f.latest())
	case KindUint16:
		return *(*uint16)(p) == uint16(f.latest())
	case KindUint32, KindDevid, KindEnum:
		return *(*uint32)(p) == uint32(f.latest())
	case KindUint64:
		return *(*uint64)(p) == f.latest()
	case KindInt:
		return *(*int)(p) == int(int32(f.latest()))
	case KindDefbool:
		return *(*int8)(p) == 0
	case KindUUID, KindGenID:
		return *(*[16]byte)(p) == [16]byte{}
	case KindMAC:
		return *(*[6]byte)(p) == [6]byte{}
	case KindHwcap:
		return *(*[8]uint32)(p) == [8]uint32{}
	case KindString:
		return *(*string)(p) == ""
	case KindBitmap:
		return strings.Trim(string(*(*[]byte)(p)), "\x00") == ""
	case KindStringList, KindCpuidPolicy, KindArray:
		return len(*(*[]struct{})(p)) == 0
	case KindKeyValueList:
		return len(*(*map[string]string)(p)) == 0
	case KindUnion:
		i, _ := f.Union.Get(p)
		return i < 0 && *(*int32)(unsafe.Add(s, f.Union.KeyOff)) == f.Union.KeyInit
	case KindStruct:
		for i := range f.Struct.Fields {
			if g := &f.Struct.Fields[i]; g.Go != "" && !isDefault(g, p) {
				return false
			}
		}
		return true
	}
	return false
}
