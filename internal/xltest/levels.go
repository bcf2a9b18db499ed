package xltest

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/internal/leak"
)

// memory is what is measured of it, in KB.
type memory struct {
	heap     int // C's heap, 0 if libc does not tell
	resident int
	free     int // of the host
	threads  int // of the process, Go's too
}

func look(h *xenlight.Host) (m memory, err error) {
	debug.FreeOSMemory() // what Go has not collected yet is no leak
	if bytes, ok := capi.Heap(); ok {
		m.heap = int(bytes >> 10)
	}
	var pages int
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return m, err
	}
	if _, err := fmt.Sscan(string(statm), new(int), &pages); err != nil {
		return m, err
	}
	m.resident = pages * os.Getpagesize() >> 10
	m.threads = leak.Threads()
	info, err := h.GetPhysinfo()
	const page = 4 // KB, Xen's
	m.free = int(info.FreePages) * page
	return m, err
}

// level is a figure that must not grow.
type level struct {
	name, unit string
	slack      int // how much it may grow all the same
	of         func(*snapshot) int
}

// levels are the figures. What is counted must be as before. What is measured has
// some slack, as it goes up and down by itself: malloc keeps freed blocks for each
// thread, Go's runtime keeps memory for later and threads that it has needed once (at
// most 10 for each of two Hosts), and Xen has caches. The build of a big guest takes
// 8 MB at once, after which malloc keeps up to 16 MB for each arena: what of C's
// memory is in use is the figure that tells of small leaks. A guest takes more than
// 4 MB of the host's memory, so that one that is left shows.
var levels = []level{
	{"domains", "", 0, func(s *snapshot) int { return len(s.domains) }},
	{"xenstore keys", "", 0, func(s *snapshot) int { return len(s.xenstore) }},
	{"processes in dom0", "", 0, func(s *snapshot) int { return len(s.programs) }},
	{"loop devices", "", 0, func(s *snapshot) int { return len(s.loops) }},
	{"children", "", 0, func(s *snapshot) int { return s.process.Count(leak.Child) }},
	{"descriptors", "", 0, func(s *snapshot) int { return s.process.Count(leak.Descriptor) }},
	{"goroutines", "", 0, func(s *snapshot) int { return s.process.Count(leak.Goroutine) }},
	{"threads not Go's", "", 0, func(s *snapshot) int { return s.process.Foreign() }},
	{"threads", "", 20, func(s *snapshot) int { return s.memory.threads }},
	{"C heap", "KB", 128, func(s *snapshot) int { return s.memory.heap }},
	{"resident memory", "KB", 32 << 10, func(s *snapshot) int { return s.memory.resident }},
	{"Xen memory not free", "KB", 1 << 10, func(s *snapshot) int { return -s.memory.free }},
}

// grown says which figures have grown since an earlier snapshot, and what is there
// that was not.
func (s *snapshot) grown(now snapshot) (faults []string) {
	for _, l := range levels {
		if n := l.of(&now) - l.of(s); n > l.slack {
			faults = append(faults, strings.TrimSpace(fmt.Sprintf("%s: %d more %s", l.name, n, l.unit)))
		}
	}
	if len(faults) > 0 {
		faults = append(faults, s.more(now)...)
	}
	return faults
}

// patience is how long what ends asynchronously gets: the last pages of a domain,
// a daemon's keys, a thread.
const patience = 30 * time.Second

// nothingLeft demands that what there is has not grown since a snapshot, and
// returns what there is now.
func (t *T) nothingLeft(was snapshot) snapshot {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		now, err := takeSnapshot(t.Host)
		t.ok(err, "looking at the host")
		faults := was.grown(now)
		if len(faults) == 0 {
			return now
		}
		if time.Now().After(deadline) || t.ctx.Err() != nil {
			for _, f := range faults {
				t.Errorf("left behind: %s", f)
			}
			return now
		}
	}
}

// look at the host, before something that is to leave nothing behind.
func (t *T) snapshot() snapshot {
	s, err := takeSnapshot(t.Host)
	t.ok(err, "looking at the host")
	if s.xenstore == nil {
		t.Logf("xenstore-ls is not there: xenstore was not compared")
	}
	return s
}

// difference tells of all figures, before and after.
func (s *snapshot) difference(now snapshot) string {
	var b strings.Builder
	for _, l := range levels {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %+d%s", l.name, l.of(&now)-l.of(s), l.unit)
	}
	return b.String()
}
