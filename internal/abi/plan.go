package abi

// A plan is what there is to do to check, encode and decode a struct in one
// release: its members in a row, those of nested structs among them, with
// everything worked out that the release decides.
type plan struct {
	check, encode, decode []step
}

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
		for i := range s.Fields {
			c.plans[s.ID].add(c, s, i, 0, 0, "")
		}
	}
}

// add adds the work on field i of a struct that lies at g in Go and at cs in C.
func (p *plan) add(c *Codec, s *Struct, i int, g, cs uint32, prefix string) {
	f, m := &s.Fields[i], &c.layouts[s.ID].Members[i]
	if f.Go == "" {
		return
	}
	st := step{kind: f.Kind, index: uint16(i), gs: g, cs: cs, g: g + uint32(f.Off), c: cs + m.Off,
		s: s, f: f, m: m, path: prefix + f.Go}
	switch {
	case m.Off == Absent:
		st.kind = kindLater
		p.check = append(p.check, st)
		p.decode = append(p.decode, st)
		return
	case f.Kind == KindStruct:
		for i := range f.Struct.Fields {
			p.add(c, f.Struct, i, st.g, st.c, st.path+".")
		}
		return
	case f.Kind == KindArray:
		st.elem = c.elemPlan(&f.Array.Elem)
	}
	p.addStep(c, st)
}

func (p *plan) addStep(c *Codec, st step) {
	if canFail(st.kind) {
		p.check = append(p.check, st)
	}
	if len(st.f.Init) > 0 && !equal(st.kind, st.f.in(c.release), st.f.latest()) {
		st.kind = kindConverted
	}
	p.encode = append(p.encode, st)
	p.decode = append(p.decode, st)
}

// elemPlan is the plan of an array's element.
func (c *Codec) elemPlan(f *Field) *plan {
	if f.Kind == KindStruct {
		return &c.plans[f.Struct.ID]
	}
	p := new(plan)
	p.addStep(c, step{kind: f.Kind, f: f})
	return p
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
