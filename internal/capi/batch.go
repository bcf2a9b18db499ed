package capi

import (
	"slices"
	"sync"
	"unsafe"
)

// call is a call of a C function that takes one word and gives one: malloc,
// free, a dispose function. None of them may call Go.
type call struct{ fn, arg, result uintptr }

// run makes calls one after the other in a single crossing from Go to C, which
// is what costs: an encoding is many calls of malloc and little else.
func run(calls []call) { cgocall(runCalls, unsafe.Pointer(&calls)) }

// runCalls is the address of a C function written in assembly; it takes the
// address of a []call.
var runCalls uintptr

// cgocall calls a C function with one pointer on a system stack. The runtime keeps
// it as it is for purego: go.dev/issue/67401.
//
//go:linkname cgocall runtime.cgocall
//go:noescape
func cgocall(fn uintptr, arg unsafe.Pointer) int32

// batchSize is how many calls a crossing makes; more take several.
const batchSize = 16

// lateString is a string of a struct that has no C memory yet.
type lateString struct {
	d   unsafe.Pointer // the char *
	s   string
	own bool // no dispose function frees it
}

// latePool has the lists of strings between two encodings.
var latePool = sync.Pool{New: func() any { return new([]lateString) }}

// String is part of abi.Memory.
func (b *block) String(d unsafe.Pointer, s string, own bool) error {
	*b.late = append(*b.late, lateString{d, s, own})
	return nil
}

// storeStrings gives memory to the strings that have none. After an error the
// struct is fit for disposal.
func (b *block) storeStrings() error {
	var calls [batchSize]call
	for list := range slices.Chunk(*b.late, batchSize) {
		for i := range list {
			calls[i] = call{fn: b.lib.malloc, arg: uintptr(len(list[i].s)) + 1}
		}
		b.run(calls[:len(list)])
		for i := range list {
			if calls[i].result == 0 {
				return b.noMemory(calls[:len(list)])
			}
		}
		for i := range list {
			l := &list[i]
			p := ptr(calls[i].result)
			c := unsafe.Slice((*byte)(p), len(l.s)+1)
			c[copy(c, l.s)] = 0
			*(*uintptr)(l.d) = uintptr(p)
			if l.own {
				b.kept = append(b.kept, p)
			}
		}
	}
	return nil
}

// noMemory frees what a batch of malloc has got, so that no list of strings goes
// on after a gap.
func (b *block) noMemory(calls []call) error {
	for i := range calls {
		calls[i] = call{fn: b.lib.free, arg: calls[i].result}
	}
	b.run(calls)
	return ErrNoMemory
}
