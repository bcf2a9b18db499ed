// Package leak finds what tests leave behind in their process: goroutines,
// threads that are not Go's, file descriptors, children and C memory.
package leak

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// Process is what a process has at one moment.
type Process struct {
	things  map[string]int // goroutines by who made them, descriptors, children
	threads int            // that are not Go's
}

// Patience is how long what has ended may take to go.
const Patience = 5 * time.Second

// Look takes a picture of the process.
func Look() Process {
	p := Process{things: map[string]int{}}
	for _, s := range slices.Concat(goroutines(), descriptors(), Children()) {
		p.things[s]++
	}
	p.threads = Threads() - pprof.Lookup("threadcreate").Count()
	return p
}

// The kinds of what Process.Count counts.
const (
	Goroutine  = "goroutine"
	Descriptor = "descriptor"
	Child      = "child process"
)

// Count is how many there are of a kind.
func (p Process) Count(kind string) (n int) {
	for what, count := range p.things {
		if strings.HasPrefix(what, kind+" ") {
			n += count
		}
	}
	return n
}

// Foreign is how many threads there are that are not Go's.
func (p Process) Foreign() int { return p.threads }

// Since says what is there that was not there in an earlier picture, once it has
// had time to go.
func (p Process) Since() []string {
	var more []string
	for deadline := time.Now().Add(Patience); ; time.Sleep(10 * time.Millisecond) {
		more = p.More(Look())
		if len(more) == 0 || time.Now().After(deadline) {
			return more
		}
	}
}

// More says what a later picture has that this one has not.
func (p Process) More(now Process) (more []string) {
	for _, s := range slices.Sorted(maps.Keys(now.things)) {
		if n := now.things[s] - p.things[s]; n > 0 {
			more = append(more, fmt.Sprintf("%d more: %s", n, s))
		}
	}
	if n := now.threads - p.threads; n > 0 {
		more = append(more, fmt.Sprintf("%d more threads that are not Go's", n))
	}
	return more
}

// heapNoise is by how many bytes C memory in use may grow: what a library makes
// once, when the tests load it, and above all freed blocks that malloc keeps for
// each thread, which it counts as in use. Tests that repeat something can compare
// more closely.
const heapNoise = 1 << 20

// Main runs a package's tests and demands that they leave nothing behind. It is
// for TestMain, given its *testing.M, and returns the process's exit status. The
// tests that use C say how many bytes of its memory are in use: capi.Heap.
func Main(m interface{ Run() int }, heap ...func() (bytes uint, ok bool)) int {
	// What Go's runtime makes once and keeps.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	before := Look()
	grown := growth(heap)
	code := m.Run()
	for _, s := range append(before.Since(), grown()...) {
		fmt.Println("left behind:", s)
		code = max(code, 1)
	}
	return code
}

// growth returns a function that says which of these have grown, once they have
// had time to shrink.
func growth(heap []func() (uint, bool)) func() []string {
	had := make([]uint, len(heap))
	for i, h := range heap {
		had[i], _ = h()
	}
	return func() (more []string) {
		for i, h := range heap {
			for deadline := time.Now().Add(Patience); ; time.Sleep(10 * time.Millisecond) {
				has, _ := h()
				if has <= had[i]+heapNoise {
					break
				}
				if time.Now().After(deadline) {
					more = append(more, fmt.Sprintf("%d more bytes of C memory", has-had[i]))
					break
				}
			}
		}
		return more
	}
}

// Threads counts the process's threads.
func Threads() int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	return len(tasks)
}

// keeps are goroutines that Go's libraries start once and keep.
var keeps = regexp.MustCompile(`os/signal\.(loop|signal_recv)|testing\.\(\*M\)|runtime/pprof\.profileWriter|runtime\.ensureSigM`)

func goroutines() (all []string) {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for i, stack := range strings.Split(string(buf), "\n\n") {
		if i == 0 || strings.HasPrefix(stack, "goroutine 1 ") || keeps.MatchString(stack) {
			continue // the first is the one that asks
		}
		_, from, _ := strings.Cut(stack, "created by ")
		from, _, _ = strings.Cut(from, " in goroutine")
		all = append(all, Goroutine+" made by "+strings.ReplaceAll(from, "\n\t", " "))
	}
	return all
}

func descriptors() (all []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		// The folder's own descriptor is closed by now.
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			all = append(all, Descriptor+" "+inode.ReplaceAllString(to, ""))
		}
	}
	return all
}

var inode = regexp.MustCompile(`:\[\d+\]$`)

// Children lists the process's children, zombies included.
func Children() (all []string) {
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for pid := range strings.FieldsSeq(string(b)) {
			comm, _ := os.ReadFile("/proc/" + pid + "/comm")
			all = append(all, Child+" "+strings.TrimSpace(string(comm)))
		}
	}
	return all
}
