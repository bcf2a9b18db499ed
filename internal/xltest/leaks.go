package xltest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/leak"
	"github.com/go-xenlight/xenlight/libxl"
)

// snapshot is what must be the same after all checks.
type snapshot struct {
	domains  map[libxl.Uuid]libxl.Domid
	pools    []string
	xenstore []string // nil if it cannot be listed
	loops    []string
	programs []string // nil on a host that others use too
	process  leak.Process
	memory   memory
}

func takeSnapshot(h *xenlight.Host) (snapshot, error) {
	s := snapshot{domains: map[libxl.Uuid]libxl.Domid{}}
	domains, err := h.ListDomain()
	if err != nil {
		return s, err
	}
	for _, d := range domains {
		s.domains[d.Uuid] = d.Domid
	}
	pools, err := h.ListCpupool()
	if err != nil {
		return s, err
	}
	for _, p := range pools {
		s.pools = append(s.pools, fmt.Sprint(p.Poolid, p.PoolName, p.Sched, p.Cpumap))
	}
	s.xenstore = listXenstore()
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		s.loops = append(s.loops, f+" "+strings.TrimSpace(string(b)))
	}
	if throwAway() {
		s.programs = programs()
	}
	s.process = leak.Look()
	s.memory, err = look(h)
	return s, err
}

// programs lists the processes of this system, in brackets those that have no
// program: zombies. Kernel threads and udev's workers come and go.
func programs() []string {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	var all []string
	for _, f := range files {
		b, _ := os.ReadFile(f)
		_, rest, _ := strings.Cut(string(b), "(")
		end := strings.LastIndex(rest, ")")
		if end < 0 {
			continue // it has ended
		}
		name, fields := rest[:end], strings.Fields(rest[end+1:])
		const parent, kthreadd = 1, "2"
		if len(fields) > parent && fields[parent] != kthreadd && !strings.Contains(name, "udev") {
			if fields[0] == "Z" {
				name = "[" + name + "]"
			}
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// childPipe is what the first child makes libxl open, which the Host keeps. That a
// closed Host keeps nothing is a check of its own.
const childPipe = "2 more: descriptor pipe"

// unchanged demands that the host is as it was. What ends asynchronously gets
// until the check's deadline.
func (t *T) unchanged(was snapshot) {
	var differences []string
	t.Cleanup(func() {
		for _, d := range differences {
			t.Errorf("%s", d)
		}
	})
	if was.xenstore == nil {
		t.Logf("xenstore-ls is not there: xenstore was not compared")
	}
	t.until("the host to be as it was", func() bool {
		now, err := takeSnapshot(t.Host)
		t.ok(err, "looking at the host")
		differences = nil
		for uuid, domid := range now.domains {
			if _, ok := was.domains[uuid]; !ok {
				differences = append(differences, fmt.Sprintf("domain %d (%s) is new", domid, uuid))
			}
		}
		for _, d := range slices.Sorted(maps.Values(was.domains)) {
			if !slices.Contains(slices.Collect(maps.Values(now.domains)), d) {
				differences = append(differences, fmt.Sprintf("domain %d is gone", d))
			}
		}
		differences = append(differences, was.more(now)...)
		return len(differences) == 0
	})
}

// more says how a later snapshot differs, domains and memory apart.
func (s *snapshot) more(now snapshot) (differences []string) {
	for what, lists := range map[string][2][]string{
		"CPU pool": {s.pools, now.pools}, "xenstore": {s.xenstore, now.xenstore}, "loop device": {s.loops, now.loops},
		"process": {s.programs, now.programs},
	} {
		differences = append(differences, slices.DeleteFunc(differ(what, lists[0], lists[1]), func(d string) bool {
			return what == "process" && strings.Contains(d, " gone: ")
		})...)
	}
	return append(differences, slices.DeleteFunc(s.process.More(now.process), func(d string) bool { return d == childPipe })...)
}

// differ compares two sorted lists that may have equal elements.
func differ(what string, was, now []string) (out []string) {
	count := map[string]int{}
	for _, s := range was {
		count[s]--
	}
	for _, s := range now {
		count[s]++
	}
	for _, s := range slices.Sorted(maps.Keys(count)) {
		switch n := count[s]; {
		case n > 0:
			out = append(out, fmt.Sprintf("%s: %d new: %s", what, n, s))
		case n < 0:
			out = append(out, fmt.Sprintf("%s: %d gone: %s", what, -n, s))
		}
	}
	return out
}

// listXenstore lists all keys; nil if the tool for it is not installed.
func listXenstore() []string {
	out, err := exec.Command("xenstore-ls", "-f").Output()
	if err != nil {
		return nil
	}
	var keys []string
	for line := range strings.Lines(string(out)) {
		key, _, _ := strings.Cut(line, " = ")
		if key = strings.TrimSpace(key); !kept.MatchString(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// kept matches what libxl makes when it is needed first and keeps: folders (4.14
// has neither /local/pool at first nor /libxl/pci, but /libxl/pciback), where it
// looks for the drivers of PCI devices, and what it knows of dom0's memory.
var kept = regexp.MustCompile(`^(/vm|/libxl|/local/pool|/libxl/pci(back)?(/[-0-9a-f]+)?|/local/domain/0/(device-model|libxl)|/local/domain/0/memory(/(target|static-max|freemem-slack))?)$`)

// xenstoreKeys is listXenstore for checks that compare.
func xenstoreKeys(t *T) []string {
	keys := listXenstore()
	if keys == nil {
		t.Logf("xenstore-ls is not there: xenstore was not compared")
	}
	return keys
}

func (t *T) sameKeys(before []string) {
	if before == nil {
		return
	}
	var extra []string
	t.Cleanup(func() {
		for _, e := range extra {
			t.Errorf("left behind: %s", e)
		}
	})
	t.until("xenstore to be as before", func() bool {
		extra = slices.DeleteFunc(differ("xenstore", before, listXenstore()), func(s string) bool {
			// What the check's own helpers have made goes with them.
			return strings.Contains(s, " gone: ")
		})
		extra = slices.DeleteFunc(extra, t.ownKey)
		return len(extra) == 0
	})
}

// ownKey tells whether a line is about a domain that still lives.
func (t *T) ownKey(line string) bool {
	domains, err := t.Host.ListDomain()
	t.ok(err, "ListDomain")
	return slices.ContainsFunc(domains, func(d libxl.Dominfo) bool {
		for _, path := range []string{"/local/domain/%d", "/libxl/%d", "/local/domain/0/backend/console/%d"} {
			p := fmt.Sprintf(path, d.Domid)
			if d.Domid != 0 && (strings.HasSuffix(line, p) || strings.Contains(line, p+"/")) {
				return true
			}
		}
		return d.Domid != 0 && strings.Contains(line, "/vm/"+d.Uuid.String())
	})
}

// noDomain demands that the domain with a UUID goes.
func (t *T) noDomain(uuid libxl.Uuid) {
	t.until(fmt.Sprintf("domain %s to be gone", uuid), func() bool {
		domains, err := t.Host.ListDomain()
		t.ok(err, "ListDomain")
		i := slices.IndexFunc(domains, func(d libxl.Dominfo) bool { return d.Uuid == uuid })
		if i >= 0 && !domains[i].Dying {
			t.Fatalf("domain %d is left behind", domains[i].Domid)
		}
		return i < 0
	})
}

func contains(text string) func(xenlight.LogLine) bool {
	return func(l xenlight.LogLine) bool { return strings.Contains(l.Text, text) }
}
