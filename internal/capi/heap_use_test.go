package capi

import (
	"testing"

	"github.com/ebitengine/purego"
)

func TestHeapTellsOfWhatIsInUse(t *testing.T) {
	before, ok := Heap()
	if !ok {
		t.Skip("this libc does not tell")
	}
	l := Lib{}
	r := resolver{handle: purego.RTLD_DEFAULT}
	l.calloc, l.free = r.symbol("calloc"), r.symbol("free")
	const slack = 4 << 10                             // what other threads give back meanwhile
	for _, size := range []uint{64 << 10, 16 << 20} { // in the heap, and mapped
		p, err := l.Alloc(uintptr(size))
		if err != nil {
			t.Fatal(err)
		}
		if now, _ := Heap(); now+slack < before+size {
			t.Errorf("%d bytes were taken, %d more are in use", size, now-before)
		}
		l.Free(p)
		if now, _ := Heap(); now >= before+size {
			t.Errorf("%d bytes were given back, %d more are in use", size, now-before)
		}
	}
}
