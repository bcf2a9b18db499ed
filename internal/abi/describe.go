package abi

import "fmt"

// CType is a type of libxl as C sees it.
type CType struct {
	Name    string // in C
	Size    uint32
	Members []CMember // of a struct, in the order of declaration
}

// CMember is a member of a struct. Structs and unions without a name of their
// own are followed by their members, with dotted paths; structs that have a
// name are not, they are types themselves.
type CMember struct {
	Path string
	Type string // as C spells it; empty for what has no name
	Off  uint32 // in the outermost struct
	Size uint32
	// Scalar is a number, a pointer or an enumeration. Of a Union the members
	// below share its place.
	Scalar, Union bool
}

// builtins are the types of the IDL that are neither structs nor enumerations.
// MemKB is not there, since C says uint64_t for it.
var builtins = []struct {
	name string
	kind Kind
}{
	{"defbool", KindDefbool},
	{"domid", KindUint32},
	{"devid", KindDevid},
	{"uuid", KindUUID},
	{"mac", KindMAC},
	{"bitmap", KindBitmap},
	{"cpuid_policy_list", KindCpuidPolicy},
	{"string_list", KindStringList},
	{"key_value_list", KindKeyValueList},
	{"hwcap", KindHwcap},
	{"ms_vm_genid", KindGenID},
	{"ev_user", KindUint64},
	{"ev_link", KindEvLink},
}

// Describe lists all types of a release with their layouts on an architecture:
// first builtins and enumerations, then structs, children before parents.
func Describe(r Release, a Arch) ([]CType, error) {
	if !Known(r) {
		return nil, fmt.Errorf("layouts of Xen %s are not known, only %s to %s", r, Releases[0], Releases[len(Releases)-1])
	}
	if a != AMD64 && a != ARM64 {
		return nil, fmt.Errorf("layouts are not known for %s", a)
	}
	var types []CType
	for _, b := range builtins {
		size, _ := (&computer{}).sizeof(&Field{Kind: b.kind}, nil)
		types = append(types, CType{Name: "libxl_" + b.name, Size: size})
	}
	for _, e := range Enums {
		if e.Since <= r {
			types = append(types, CType{Name: "libxl_" + e.Name, Size: sizeofInt})
		}
	}
	return append(types, DescribeStructs(Structs, r)...), nil
}

// DescribeStructs lists those of the structs that have a name of their own.
// The argument is all structs, in the order of their IDs.
func DescribeStructs(structs []*Struct, r Release) []CType {
	d := describer{r, layouts(structs, r)}
	var types []CType
	for _, s := range structs {
		if s.Named && s.Since <= r {
			types = append(types, CType{"libxl_" + s.Name, d.layouts[s.ID].Size, d.members(nil, s, "", 0)})
		}
	}
	return types
}

type describer struct {
	release Release
	layouts []Layout
}

// members appends the members of a struct that lies at an offset.
func (d *describer) members(list []CMember, s *Struct, path string, base uint32) []CMember {
	l := &d.layouts[s.ID]
	for i := range s.Fields {
		f, m := &s.Fields[i], &l.Members[i]
		if f.Since > d.release {
			continue
		}
		own := CMember{path + f.Name, f.cType(), base + m.Off, m.Size, f.scalar(), f.Kind == KindUnion}
		switch f.Kind {
		case KindArray:
			own.Type, own.Size = pointerTo(f.Array.Elem.cType()), sizeofPointer
			list = append(list, CMember{Path: path + f.Array.Len, Type: "int", Off: base + m.Aux, Size: sizeofInt, Scalar: true}, own)
		case KindUnion:
			key := CMember{Path: path + f.Union.Key, Type: "libxl_" + f.Union.KeyEnum.Name, Off: base + m.Aux, Size: sizeofInt, Scalar: true}
			list = append(list, key, own)
			for j, v := range f.Union.Variants {
				if v.Since > d.release || v.Struct == nil {
					continue
				}
				arm := CMember{Path: own.Path + "." + v.Name, Off: own.Off, Size: m.variants[j]}
				list = d.members(append(list, arm), v.Struct, arm.Path+".", arm.Off)
			}
		case KindStruct:
			list = append(list, own)
			if !f.Struct.Named {
				list = d.members(list, f.Struct, own.Path+".", own.Off)
			}
		default:
			list = append(list, own)
		}
	}
	return list
}

// cTypes are the kinds that are always one C type.
var cTypes = map[Kind]string{
	KindBool: "bool", KindInt: "int", KindUint8: "uint8_t", KindUint16: "uint16_t", KindUint32: "uint32_t",
	KindUint64: "uint64_t", KindDevid: "libxl_devid", KindDefbool: "libxl_defbool", KindUUID: "libxl_uuid",
	KindMAC: "libxl_mac", KindHwcap: "libxl_hwcap", KindGenID: "libxl_ms_vm_genid", KindString: "char *",
	KindBitmap: "libxl_bitmap", KindStringList: "libxl_string_list", KindKeyValueList: "libxl_key_value_list",
	KindCpuidPolicy: "libxl_cpuid_policy_list", KindEvLink: "libxl_ev_link",
}

func (f *Field) scalar() bool {
	switch f.Kind {
	case KindStruct, KindUnion, KindUUID, KindMAC, KindHwcap, KindGenID, KindBitmap, KindDefbool, KindEvLink:
		return false
	}
	return true
}

// cType is how C spells the type of a value.
func (f *Field) cType() string {
	switch {
	case f.Kind == KindEnum:
		return "libxl_" + f.Enum.Name
	case f.Kind == KindStruct && f.Struct.Named:
		return "libxl_" + f.Struct.Name
	case f.Const:
		return "const " + cTypes[f.Kind]
	}
	return cTypes[f.Kind]
}

func pointerTo(c string) string {
	if c[len(c)-1] == '*' {
		return c + "*"
	}
	return c + " *"
}
