package abi

import (
	"fmt"
	"unsafe"
)

// A plan is what there is to do to check, encode and decode a struct in one
// release: its members in a row, those of nested structs among them, with
// everything worked out that the release decides.
type plan struct {
	check, encode []run
	decode        []step
}

// run is some steps that can be passed over when the Go values that they are
// about, and all bytes between them, are those of a new struct: such values need
// no check, and libxl's own defaults stand for them in C.
type run struct {
	g     uint32 // offset in Go
	fresh string // the bytes of a new struct there
	steps []step
}

// done reports whether there is nothing to do for the Go struct at v.
func (r *run) done(v unsafe.Pointer) bool {
	return unsafe.String((*byte)(unsafe.Add(v, r.g)), len(r.fresh)) == r.fresh
}

// maxRun is the most bytes of Go that a run is about. Half as many or twice as
// many take longer for a usual guest.
const maxRun = 96

// step is the work on one member.
type step struct {
	kind   Kind   // the member's, or one of those below
	index  uint16 // of f in s
	g, c   uint32 // offsets of the value in Go and in C
	gs, cs uint32 // offsets of the struct that has the member
	s      *Struct
	f      *Field
	m      *Member
	elem   *plan  // of an array's elements
	path   string // Go name of f, with those of the nested structs before it
}

// Kinds of steps only. They follow the others, which makes a switch a jump.
const (
	// kindConverted is a number whose default another release has changed.
	kindConverted Kind = KindUnion + 1 + iota
	// kindLater is a member that the release does not have.
	kindLater
)

// makePlans makes the plans of all structs.
func (c *Codec) makePlans(structs []*Struct) {
	c.plans = make([]plan, len(structs))
	for _, s := range structs {
		var w work
		for i := range s.Fields {
			w.add(c, s, i, 0, 0, "")
		}
		c.plans[s.ID] = w.plan(freshStruct(s))
	}
}

// work is a plan in the making.
type work struct {
	check, encode, decode []step
}

func (w *work) plan(fresh string) plan {
	return plan{runs(w.check, fresh), runs(w.encode, fresh), w.decode}
}

// runs divides steps on a struct whose bytes are fresh when it is new.
func runs(steps []step, fresh string) (list []run) {
	for len(steps) > 0 {
		n := 0
		var from, to uint32
		for ; n < len(steps); n++ {
			f, t := steps[n].extent()
			if n > 0 {
				f, t = min(f, from), max(t, to)
				if t-f > maxRun {
					break
				}
			}
			from, to = f, t
		}
		list = append(list, run{g: from, fresh: fresh[from:to], steps: steps[:n]})
		steps = steps[n:]
	}
	return list
}

// extent is where in the Go struct the values lie that a step is about.
func (st *step) extent() (from, to uint32) {
	from, to = st.g, st.g+uint32(goSize(st.f))
	if u := st.f.Union; u != nil {
		key := st.gs + uint32(u.KeyOff)
		from, to = min(from, key), max(to, key+4)
	}
	return from, to
}

// freshStruct is the bytes of a new Go struct.
func freshStruct(s *Struct) string {
	words := make([]uint64, s.Size/8+1)
	p := unsafe.Pointer(&words[0])
	setDefaults(s, p)
	return unsafe.String((*byte)(p), s.Size)
}

// add adds the work on field i of a struct that lies at g in Go and at cs in C.
func (w *work) add(c *Codec, s *Struct, i int, g, cs uint32, prefix string) {
	f, m := &s.Fields[i], &c.layouts[s.ID].Members[i]
	if f.Go == "" {
		return
	}
	st := step{kind: f.Kind, index: uint16(i), gs: g, cs: cs, g: g + uint32(f.Off), c: cs + m.Off,
		s: s, f: f, m: m, path: prefix + f.Go}
	switch {
	case m.Off == Absent:
		st.kind = kindLater
		w.check = append(w.check, st)
		w.decode = append(w.decode, st)
		return
	case f.Kind == KindStruct:
		for i := range f.Struct.Fields {
			w.add(c, f.Struct, i, st.g, st.c, st.path+".")
		}
		return
	case f.Kind == KindArray:
		st.elem = c.elemPlan(&f.Array.Elem)
	}
	w.addStep(c, st)
}

func (w *work) addStep(c *Codec, st step) {
	if canFail(st.kind) {
		w.check = append(w.check, st)
	}
	if len(st.f.Init) > 0 && !equal(st.kind, st.f.in(c.release), st.f.latest()) {
		st.kind = kindConverted
	}
	w.encode = append(w.encode, st)
	w.decode = append(w.decode, st)
}

// elemPlan is the plan of an array's element.
func (c *Codec) elemPlan(f *Field) *plan {
	if f.Kind == KindStruct {
		return &c.plans[f.Struct.ID]
	}
	var w work
	w.addStep(c, step{kind: f.Kind, f: f})
	p := w.plan(string(make([]byte, goSize(f))))
	return &p
}

// canFail reports whether Go has values of a kind that C has not.
func canFail(k Kind) bool {
	switch k {
	case KindBool, KindUint8, KindUint16, KindUint32, KindUint64, KindDevid,
		KindUUID, KindMAC, KindHwcap, KindGenID:
		return false
	}
	return true
}

// goSize is the size of a field's value in Go.
func goSize(f *Field) uintptr {
	switch f.Kind {
	case KindBool, KindUint8, KindDefbool:
		return 1
	case KindUint16:
		return 2
	case KindUint32, KindDevid, KindEnum:
		return 4
	case KindUint64, KindInt, KindKeyValueList:
		return 8
	case KindMAC:
		return 6
	case KindUUID, KindGenID, KindString, KindUnion:
		return 16
	case KindBitmap, KindStringList, KindCpuidPolicy, KindArray:
		return 24
	case KindHwcap:
		return 32
	case KindStruct:
		return f.Struct.Size
	}
	panic(fmt.Sprintf("abi: kind %d has no size", f.Kind))
}
