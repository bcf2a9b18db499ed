package abi

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// site leads from the value of a root type to a struct in it.
type site struct {
	path  string
	since []newness // of what the way goes through, the outermost first
	enter func(root unsafe.Pointer) unsafe.Pointer
}

// newness is since when there is what lies at a path.
type newness struct {
	path  string
	since Release
	item  string // what it is in the tables
}

// change makes one field of a value other than its default.
type change struct {
	newness
	name  string // what an error says
	apply func(root unsafe.Pointer)
	since []newness
	same  bool // it is the default
}

// changes lists all that can be changed in a root type, one thing at a time.
func changes(s *Struct, at site, visit func(*Struct), add func(change)) {
	visit(s)
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Go == "" {
			continue
		}
		path := strings.TrimPrefix(at.path+"."+f.Go, ".")
		since := append(at.since[:len(at.since):len(at.since)], newness{path, f.Since, s.Name + "." + f.Name})
		field := func(root unsafe.Pointer) unsafe.Pointer { return unsafe.Add(at.enter(root), f.Off) }
		item := change{newness: since[len(since)-1], name: f.Go, since: since}
		switch f.Kind {
		case KindStruct:
			changes(f.Struct, site{path, since, field}, visit, add)
		case KindArray:
			elem := func(root unsafe.Pointer) unsafe.Pointer { return f.Array.Make(field(root), 1) }
			item.apply = func(root unsafe.Pointer) {
				switch p, e := elem(root), &f.Array.Elem; e.Kind {
				case KindStruct:
					setDefaults(e.Struct, p)
				default:
					nonDefault(e, p)
				}
			}
			add(item)
			switch e := &f.Array.Elem; e.Kind {
			case KindStruct:
				changes(e.Struct, site{path + "[0]", since, func(root unsafe.Pointer) unsafe.Pointer {
					p := elem(root)
					setDefaults(e.Struct, p)
					return p
				}}, visit, add)
			case KindEnum:
				enumChanges(e, path+"[0]", since, elem, add)
			}
		case KindUnion:
			unionChanges(f, at, since, path, visit, add)
		case KindEnum:
			item.apply = func(root unsafe.Pointer) { nonDefault(f, field(root)) }
			add(item)
			enumChanges(f, path, since, field, add)
		default:
			item.apply = func(root unsafe.Pointer) { nonDefault(f, field(root)) }
			add(item)
			if f.Enum != nil {
				bitChanges(f, path, since, field, add)
			}
		}
	}
}

// bitChanges sets each bit of a bitmap that is a value of an enumeration.
func bitChanges(f *Field, path string, since []newness, field func(unsafe.Pointer) unsafe.Pointer, add func(change)) {
	for _, v := range f.Enum.Values {
		n := newness{path, v.Since, f.Enum.Name + "." + v.Name}
		add(change{n, v.Name, func(root unsafe.Pointer) {
			b := make([]byte, v.Value/8+1)
			b[v.Value/8] |= 1 << (v.Value % 8)
			*(*[]byte)(field(root)) = b
		}, append(since[:len(since):len(since)], n), false})
	}
}

func enumChanges(f *Field, path string, since []newness, field func(unsafe.Pointer) unsafe.Pointer, add func(change)) {
	for _, v := range f.Enum.Values {
		n := newness{path, v.Since, f.Enum.Name + "." + v.Name}
		add(change{n, v.Name, func(root unsafe.Pointer) { *(*int32)(field(root)) = v.Value },
			append(since[:len(since):len(since)], n), v.Value == int32(f.latest())})
	}
}

func unionChanges(f *Field, at site, since []newness, path string, visit func(*Struct), add func(change)) {
	u := f.Union
	keyPath := strings.TrimPrefix(at.path+"."+u.KeyGo, ".")
	for i := range u.Variants {
		v := &u.Variants[i]
		if v.Struct == nil {
			n := newness{keyPath, v.Since, u.KeyEnum.Name + "." + v.Name}
			add(change{n, v.Name, func(root unsafe.Pointer) {
				*(*int32)(unsafe.Add(at.enter(root), u.KeyOff)) = v.Value
			}, append(since[:len(since):len(since)], n), v.Value == u.KeyInit})
			continue
		}
		n := newness{path, v.Since, u.KeyEnum.Name + "." + v.Name}
		since := append(since[:len(since):len(since)], n)
		enter := func(root unsafe.Pointer) unsafe.Pointer {
			s := at.enter(root)
			*(*int32)(unsafe.Add(s, u.KeyOff)) = v.Value
			p := u.Set(unsafe.Add(s, f.Off), i)
			setDefaults(v.Struct, p)
			return p
		}
		add(change{n, v.Name, func(root unsafe.Pointer) { enter(root) }, since, false})
		changes(v.Struct, site{path, since, enter}, visit, add)
	}
}

// nonDefault stores what is not the field's default but valid since its release.
func nonDefault(f *Field, p unsafe.Pointer) {
	switch f.Kind {
	case KindBool:
		*(*bool)(p) = true
	case KindUint8:
		*(*uint8)(p) = uint8(f.latest()) ^ 1
	case KindUint16:
		*(*uint16)(p) = uint16(f.latest()) ^ 1
	case KindUint32, KindDevid:
		*(*uint32)(p) = uint32(f.latest()) ^ 1
	case KindUint64:
		*(*uint64)(p) = f.latest() ^ 1
	case KindInt:
		*(*int)(p) = int(int32(f.latest())) ^ 1
	case KindEnum:
		for _, v := range f.Enum.Values {
			if v.Value != int32(f.latest()) && v.Since <= f.Since {
				*(*int32)(p) = v.Value
				return
			}
		}
		panic("no other value of " + f.Enum.Name)
	case KindDefbool:
		*(*int8)(p) = -1
	case KindUUID, KindMAC, KindGenID:
		*(*byte)(p) = 1
	case KindHwcap:
		*(*uint32)(p) = 1
	case KindString:
		*(*string)(p) = "x"
	case KindBitmap:
		*(*[]byte)(p) = []byte{1}
	case KindStringList, KindCpuidPolicy:
		*(*[]string)(p) = []string{"k=v"}
	case KindKeyValueList:
		*(*map[string]string)(p) = map[string]string{"k": "v"}
	default:
		panic(fmt.Sprintf("no value for kind %d", f.Kind))
	}
}

// The heart of wall 5: whatever a release lacks is refused by name, all that it
// has is taken, and what is left alone is never in the way.
func TestWhatAReleaseLacksIsRefusedByNameEverywhere(t *testing.T) {
	seen := map[*Struct]bool{}
	lacked := map[string]bool{} // items
	newer, refused, taken := 0, 0, 0
	codecs := map[Release]*Codec{}
	for _, release := range Releases {
		codecs[release] = codec(t, release)
	}
	for root, newValue := range goValues {
		visit := func(s *Struct) { seen[s] = true }
		here := site{enter: func(p unsafe.Pointer) unsafe.Pointer { return p }}
		changes(root, here, visit, func(ch change) {
			lacking := false
			for _, release := range Releases {
				if root.Since > release {
					continue
				}
				c := codecs[release]
				value, got := newValue(), newValue()
				v := value.UnsafePointer()
				setDefaults(root, v)
				ch.apply(v)
				err := c.Check(root, v)
				var missing *newness
				for i := range ch.since {
					if ch.since[i].since > release {
						missing = &ch.since[i]
						break
					}
				}
				if missing == nil {
					taken++
					if err != nil {
						t.Errorf("%s.%s (%s) on %s: %v", root.Go, ch.path, ch.name, release, err)
						continue
					}
					// No step may be passed over that has work.
					m := &goMemory{codec: c, left: -1}
					err := c.Decode(root, got.UnsafePointer(), encode(t, c, m, root, v))
					lost := !reflect.DeepEqual(got.Interface(), value.Interface())
					if ch.name == "Cpuid" { // opaque in C
						lost = m.policies != 1
					}
					if err != nil || lost {
						t.Errorf("%s.%s (%s) on %s is lost: %v%s", root.Go, ch.path, ch.name, release, err, difference(got.Elem(), value.Elem()))
					}
					continue
				}
				for _, n := range ch.since {
					lacked[n.item] = lacked[n.item] || n.since > release
				}
				if err == nil && ch.same && strings.HasPrefix(ch.path, missing.path) {
					continue
				}
				lacking, refused = true, refused+1
				var field *FieldError
				switch {
				case !errors.As(err, &field) || !errors.Is(err, ErrUnsupported):
					t.Errorf("%s.%s (%s) on %s: got %v, want an error that is ErrUnsupported", root.Go, ch.path, ch.name, release, err)
				case field.Path != missing.path || field.Needs != missing.since:
					t.Errorf("%s.%s (%s) on %s: got %v (needs %s), want %s to need %s",
						root.Go, ch.path, ch.name, release, err, field.Needs, missing.path, missing.since)
				case missing == &ch.since[len(ch.since)-1] && !strings.Contains(err.Error(), ch.name):
					t.Errorf("%s.%s on %s: %v: does not name %s", root.Go, ch.path, release, err, ch.name)
				}
			}
			if lacking {
				newer++
			}
		})
	}
	for _, s := range Structs {
		if s.Named && !seen[s] {
			t.Errorf("libxl_%s is not tested", s.Name)
		}
	}
	for _, item := range newItems() {
		if !lacked[item] {
			t.Errorf("%s is newer than %s, and was not tried without", item, Releases[0])
		}
	}
	t.Logf("%d items of the schema are newer than 4.14; at %d places: %d refusals, %d acceptances", len(newItems()), newer, refused, taken)
	if newer < 100 || refused < 300 || taken < 5000 {
		t.Error("that is too few: the test has become blind")
	}
}

// newItems are all fields and values that the oldest release lacks.
func newItems() (list []string) {
	for _, s := range Structs {
		for _, f := range s.Fields {
			if f.Since > Releases[0] && f.Go != "" {
				list = append(list, s.Name+"."+f.Name)
			}
		}
	}
	for _, e := range Enums {
		for _, v := range e.Values {
			if v.Since > Releases[0] {
				list = append(list, e.Name+"."+v.Name)
			}
		}
	}
	return list
}
