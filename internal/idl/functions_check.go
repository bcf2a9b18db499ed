package idl

import "slices"

// check checks what can only be checked when all functions are known.
func (e *functionEvaluator) check() error {
	byName := make(map[string]*Function)
	for _, f := range e.Functions {
		if byName[f.Name] != nil {
			return errorAt(f.pos, "%s is there twice", f.Name)
		}
		byName[f.Name] = f
		if f.Section == "" {
			return errorAt(f.pos, "%s is in no section", f.Name)
		}
		if err := f.checkRegisters(); err != nil {
			return err
		}
	}
	for _, f := range e.Functions {
		r := f.Returns
		if r.Convention != ReturnList {
			continue
		}
		if !slices.ContainsFunc(f.Args, func(a *Arg) bool { return a.Name == r.Len && a.Dir == PointerOut }) {
			return errorAt(f.pos, "%s: no parameter %q gets the length of the list", f.Name, r.Len)
		}
		if r.Free == "" {
			continue
		}
		free := byName[r.Free]
		if free == nil {
			return errorAt(f.pos, "%s: its list is freed by %s, which is not described", f.Name, r.Free)
		}
		if free.Since.Compare(f.Since) > 0 {
			return errorAt(f.pos, "%s: its list is freed by %s, which is newer: leave free out", f.Name, r.Free)
		}
		if free.Internal == "" {
			free.Internal = "frees what " + f.Name + " returns"
		}
	}
	if err := e.checkExcluded(byName); err != nil {
		return err
	}
	return e.checkMethods(byName)
}

// checkMethods sees to it that it is clear what becomes of each function.
func (e *functionEvaluator) checkMethods(byName map[string]*Function) error {
	for _, f := range e.Functions {
		n := 0
		for _, is := range []bool{f.Doc != "", f.Hand, f.Internal != ""} {
			if is {
				n++
			}
		}
		if n != 1 {
			return errorAt(f.pos, "%s: expected one of doc, hand and internal", f.Name)
		}
		switch {
		case f.Go != "" && !f.Hand:
			return errorAt(f.pos, "%s: only what is written by hand can have a name of its own in Go", f.Name)
		case f.Go == "" && f.Internal == "":
			f.Go = "Host." + f.GoName()
		}
		for _, a := range f.Args {
			if a.Bits != "" && byName[a.Bits] == nil {
				return errorAt(f.pos, "%s: %s has as many bits as %s says, which is not described", f.Name, a.Name, a.Bits)
			}
		}
	}
	return nil
}

// checkRegisters refuses a struct by value that would lie partly in registers
// and partly on the stack if its words were simply passed one after the other:
// C puts such a struct on the stack as a whole.
func (f *Function) checkRegisters() error {
	for arch, registers := range map[string]int{"amd64": 6, "arm64": 8} {
		word := 0
		for _, a := range f.Args {
			if word < registers && word+a.Words > registers {
				return errorAt(f.pos, "%s: %s straddles the last register of %s", f.Name, a.Name, arch)
			}
			word += a.Words
		}
	}
	return nil
}
