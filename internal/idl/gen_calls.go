package idl

import (
	"fmt"
	"slices"
	"strings"
)

// callsFile writes the raw calls of package capi.
func (m *model) callsFile(w *writer) {
	w.printf("package capi\n\nimport (\n%s", iff(m.anyRaw(), "\"syscall\"\n"))
	w.printf(`	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// Fn numbers the functions of libxl that the binding calls.
type Fn int

// The functions.
const (
`)
	for i, f := range m.functions {
		w.printf("%s", f.constant())
		if i == 0 {
			w.printf(" Fn = iota")
		}
		w.printf("\n")
	}
	w.printf(`numFns
)

// fnInfo is what idl/functions.idl says of a function.
type fnInfo struct {
	name    string
	method  string // in Go
	since   abi.Release
	arch    string // x86 or arm, if only that has it
	section string
	library string
}

var fnTable = [numFns]fnInfo{
`)
	for _, f := range m.functions {
		w.printf("%s: {name: %q, method: %q, since: abi.%s, ", f.constant(), f.Name, f.GoName(), rel(f.Since))
		if f.Arch != "" {
			w.printf("arch: %q, ", f.Arch)
		}
		w.printf("section: %q, library: %q},\n", f.Section, f.Library)
	}
	w.printf("}\n")
	m.structFns(w)
	if m.anyArg(func(a *Arg) bool { return a.Go == "bool" }) {
		w.printf("\nfunc boolWord(b bool) uintptr {\nif b {\nreturn 1\n}\nreturn 0\n}\n")
	}
	for _, f := range m.functions {
		m.rawCall(w, f)
	}
}

func (f *Function) constant() string { return "Fn" + f.GoName() }

// anyRaw says whether a function sets errno.
func (m *model) anyRaw() bool {
	return slices.ContainsFunc(m.functions, func(f *Function) bool { return f.Returns.Convention == ReturnRaw })
}

func (m *model) anyArg(is func(*Arg) bool) bool {
	return slices.ContainsFunc(m.functions, func(f *Function) bool { return slices.ContainsFunc(f.Args, is) })
}

// structFns writes the table of the helpers that libxl has for each struct.
func (m *model) structFns(w *writer) {
	w.printf(`
// structFn names the helpers of a struct, empty where there is none: those
// that initialise it, that dispose of what it holds, and that set the key of
// its union and initialise the member.
type structFn struct {
	init, dispose, unionInit string
	since                    abi.Release
}

// structFns has the helpers by the struct's ID in package abi.
var structFns = [...]structFn{
`)
	for _, st := range m.structs {
		if st.typ == nil {
			continue
		}
		c := "libxl_" + st.name
		w.printf("%d: {init: %q", st.id, c+"_init")
		if !st.typ.NoDispose {
			w.printf(", dispose: %q", c+"_dispose")
		}
		for _, f := range st.fields {
			if f.union != nil {
				w.printf(", unionInit: %q", c+"_init_"+f.union.keyName)
			}
		}
		w.printf(", since: abi.%s},\n", rel(st.since))
	}
	w.printf("}\n")
}

// rawCall writes the method that calls one function.
func (m *model) rawCall(w *writer, f *Function) {
	w.printf("\n// %s calls\n//\n//\t%s\n", f.GoName(), f.Prototype())
	var notes []string
	if f.Blocks != "" {
		notes = append(notes, "It may block: "+f.Blocks+".")
	}
	if f.Since != m.releases[0] {
		notes = append(notes, fmt.Sprintf("It needs Xen %s.", f.Since))
	}
	if f.Arch != "" {
		notes = append(notes, fmt.Sprintf("Only %s has it.", f.Arch))
	}
	for _, a := range f.Args {
		if a.Since != (Release{}) {
			// In a register, or above what it reads on the stack, an argument too many is nothing to C.
			notes = append(notes, fmt.Sprintf("Xen before %s ignores %s.", a.Since, a.Name))
		}
	}
	if len(notes) > 0 {
		w.printf("//\n")
		w.comment(strings.Join(notes, " "))
	}
	params := mapped(f.Args, func(a *Arg) string { return goParam(a.Name) + " " + a.Go })
	result, convert := f.Returns.goResult()
	call := fmt.Sprintf("purego.SyscallN(%s)", strings.Join(append([]string{"l.fn[" + f.constant() + "]"}, f.words()...), ", "))
	head := fmt.Sprintf("func (l *Lib) %s(%s) %%s {\nl.called(%s)\n", f.GoName(), strings.Join(params, ", "), f.constant())
	succeeded := iff(f.success() != "", iff(f.success() != "true", "if "+f.success()+" {\n")+
		"l.Succeeded("+f.constant()+")\n"+iff(f.success() != "true", "}\n"))
	switch {
	case f.Returns.Convention == ReturnRaw:
		w.printf(head, "("+result+", syscall.Errno)")
		w.printf("r, errno := %s\n%sreturn %s, errno\n", strings.Replace(call, "purego.SyscallN", "l.withErrno", 1), succeeded, convert)
	case result != "":
		w.printf(head, result)
		w.printf("r, _, _ := %s\n%sreturn %s\n", call, succeeded, convert)
	default:
		w.printf(head, "")
		w.printf("%s\n%s", call, succeeded)
	}
	w.printf("}\n")
}

// success is the condition under which a function has done what it is for;
// empty if that is known only when the operation ends, or if one that has would not
// return.
func (f *Function) success() string {
	if slices.ContainsFunc(f.Args, func(a *Arg) bool { return a.base == "ao_how" }) && f.Name != "libxl_ao_abort" {
		return ""
	}
	switch f.Returns.Convention {
	case ReturnValue:
		return "int32(r) >= 0"
	case ReturnStatus, ReturnErrno, ReturnCode: // libxl_domain_setmaxmem fails with 1
		return "int32(r) == 0"
	case ReturnNever:
		return ""
	case ReturnRaw:
		return "errno == 0"
	case ReturnOwned, ReturnGiven, ReturnList:
		return "r != 0"
	}
	return "true"
}

// goResult is the Go type of a result and the expression that makes one of
// the word r.
func (r *Returns) goResult() (typ, convert string) {
	switch {
	case r.Convention == ReturnVoid:
		return "", ""
	case r.Go == "bool" && r.C == "bool":
		return "bool", "r&0xff != 0"
	case r.Go == "bool":
		return "bool", "int32(r) != 0"
	case r.Go == pointer:
		return pointer, "ptr(r)"
	}
	return r.Go, r.Go + "(r)"
}

// words are the arguments of the call as machine words.
func (f *Function) words() []string {
	var words []string
	for _, a := range f.Args {
		name := goParam(a.Name)
		switch {
		case a.Go == "Timeval":
			words = append(words, "uintptr("+name+".Sec)", "uintptr("+name+".Usec)")
		case a.Go == "[2]uintptr":
			words = append(words, name+"[0]", name+"[1]")
		case a.Go == "bool":
			words = append(words, "boolWord("+name+")")
		case a.Go != pointer && strings.HasPrefix(a.Go, "*"):
			words = append(words, "uintptr(unsafe.Pointer("+name+"))")
		default:
			words = append(words, "uintptr("+name+")")
		}
	}
	return words
}

// goParam is a parameter's name in Go; it must be no keyword and hide nothing
// that the method uses.
func goParam(c string) string {
	name := lowerFirst(goName(c))
	switch name {
	case "type", "func", "range", "map", "select", "interface", "package", "l", "r", "ptr", "string", "int32":
		return name + "_"
	}
	return name
}
