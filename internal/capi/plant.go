package capi

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// For those who find out whether they would notice a leak.

// Waste takes C memory until it is told to give it back.
func (l *Lib) Waste(size int) (giveBack func(), err error) {
	p, err := l.Alloc(uintptr(size))
	return func() { l.Free(p) }, err
}

// Linger starts a thread in C, which does nothing until it is told to end.
func (l *Lib) Linger() (end func(), err error) {
	var (
		start     func(thread *uintptr, attributes uintptr, f, argument uintptr) int32
		join      func(thread uintptr, result uintptr) int32
		semaphore func(s Ptr, shared int32, value uint32) int32
		post      func(s Ptr) int32
	)
	for name, f := range map[string]any{"pthread_create": &start, "pthread_join": &join, "sem_init": &semaphore, "sem_post": &post} {
		p, err := purego.Dlsym(purego.RTLD_DEFAULT, name)
		if err != nil {
			return nil, err
		}
		purego.RegisterFunc(f, p)
	}
	wait, err := purego.Dlsym(purego.RTLD_DEFAULT, "sem_wait")
	if err != nil {
		return nil, err
	}
	const room = 64 // more than a sem_t
	s, err := l.Alloc(room)
	if err != nil {
		return nil, err
	}
	semaphore(s, 0, 0)
	var thread uintptr
	if code := start(&thread, 0, wait, uintptr(s)); code != 0 {
		l.Free(s)
		return nil, fmt.Errorf("pthread_create: error %d", code)
	}
	return func() {
		post(s)
		join(thread, 0)
		l.Free(s)
	}, nil
}
