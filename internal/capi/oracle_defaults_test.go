package capi

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/abi/abitest"
)

// defaults compares New with what the library's _init and the library's reader
// give.
func (o *oracle) defaults(t *testing.T) {
	arms := 0
	o.named(func(typ abitest.Type) {
		b, err := o.l.newBlock(typ.Struct)
		if err != nil {
			t.Fatal(err)
		}
		defer b.dispose()
		o.call(t, typ.Name+"_init", uintptr(b.p))
		v := typ.New()
		if err := b.get(abitest.Pointer(v)); err != nil {
			t.Fatal(err)
		}
		if !typ.Equal(v, typ.New()) {
			t.Errorf("%s: _init gives\n%+v\nNew\n%+v", typ.Name, v, typ.New())
		}
		if v := o.fromJSON(t, typ, "{}"); !typ.Equal(v, typ.New()) {
			t.Errorf("%s: reading {} gives\n%+v\nNew\n%+v", typ.Name, v, typ.New())
		}
		for i := range typ.Fields {
			if u := typ.Fields[i].Union; u != nil {
				arms += o.armDefaults(t, typ, b, u, typ.Fields[i].Off)
			}
		}
	})
	if arms < 10 {
		t.Errorf("only %d members of unions: the test has become blind", arms)
	}
}

// armDefaults compares New of each member of a union, which is at off in typ,
// with what the library's _init for its key gives.
func (o *oracle) armDefaults(t *testing.T, typ abitest.Type, b *block, u *abi.Union, off uintptr) (n int) {
	for i, arm := range u.Variants {
		if arm.Struct == nil || arm.Since > o.l.Release {
			continue
		}
		n++
		o.call(t, typ.Name+"_init", uintptr(b.p))
		o.call(t, typ.Name+"_init_"+u.Key, uintptr(b.p), uintptr(arm.Value))
		v := typ.New()
		if err := b.get(abitest.Pointer(v)); err != nil {
			t.Fatal(err)
		}
		have, p := u.Get(unsafe.Add(abitest.Pointer(v), off))
		if have != i {
			t.Errorf("%s: with the key %s it holds %d, not %d", typ.Name, arm.Name, have, i)
			continue
		}
		want := abitest.Types[arm.Struct.ID].New()
		if got := reflect.NewAt(reflect.TypeOf(want).Elem(), p).Interface(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: _init for %s gives\n%+v\nNew\n%+v", typ.Name, arm.Name, got, want)
		}
	}
	return n
}
