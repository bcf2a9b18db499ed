package capi

import (
	"sync"

	"github.com/ebitengine/purego"
)

// mallinfo2 is glibc's struct of that name.
type mallinfo2 struct {
	Arena, Ordblks, Smblks, Hblks, Hblkhd, Usmblks, Fsmblks, Uordblks, Fordblks, Keepcost uint
}

var heapInfo = sync.OnceValues(func() (trim func(uint) int32, info func() mallinfo2) {
	if p, err := purego.Dlsym(purego.RTLD_DEFAULT, "malloc_trim"); err == nil {
		purego.RegisterFunc(&trim, p)
	}
	if p, err := purego.Dlsym(purego.RTLD_DEFAULT, "mallinfo2"); err == nil && trim != nil {
		purego.RegisterFunc(&info, p)
	}
	return trim, info
})

// Heap is how many bytes of C memory are in use in the process, with what malloc
// keeps for each thread; what is free goes back to the kernel first. ok is false
// where libc does not tell: only glibc does, from 2.33 on.
func Heap() (bytes uint, ok bool) {
	trim, mallinfo := heapInfo()
	if mallinfo == nil {
		return 0, false
	}
	trim(0)
	info := mallinfo()
	return info.Uordblks + info.Hblkhd, true
}
