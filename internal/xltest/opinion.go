package xltest

import (
	"os"
	"os/exec"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

// Second opinions: what others than package xenlight say about the host.

// xl runs Xen's own tool and returns what it prints, in words by line. ok is
// false where the tool is not installed.
func (t *T) xl(args ...string) (lines [][]string, ok bool) { return t.tool("xl", args...) }

func (t *T) tool(name string, args ...string) (lines [][]string, ok bool) {
	if _, err := exec.LookPath(name); err != nil {
		t.Logf("%s is not there: it was not asked for its opinion", name)
		return nil, false
	}
	out, err := exec.Command(name, args...).Output()
	t.ok(err, name+" "+strings.Join(args, " "))
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Fields(line))
	}
	return lines, true
}

// debugKey presses a key on the hypervisor's console, and returns what the
// hypervisor has written about it.
func (t *T) debugKey(key string) string {
	t.ok(t.Host.SendDebugKeys(key), "SendDebugKeys")
	text, err := t.Host.XenConsoleRead(false)
	t.ok(err, "XenConsoleRead")
	i := strings.LastIndex(text, "'"+key+"' pressed")
	if i < 0 {
		t.Fatalf("the hypervisor has not written that %q was pressed: %q", key, text[max(0, len(text)-500):])
	}
	return text[i:]
}

// throwAway tells whether the host is one that nobody else uses.
func throwAway() bool { return os.Getenv("XENBOX") != "" }

// still makes a paused guest with two vCPUs, which does nothing once it runs.
func (t *T) still() *guest {
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	kind := libxl.DomainTypePv
	if info.CapHvm {
		kind = libxl.DomainTypePvh
	}
	c := t.tiny(kind, "")
	c.BInfo.MaxVcpus, c.BInfo.AvailVcpus = 2, libxl.BitmapOf(0, 1)
	c.BInfo.NumaPlacement.Set(false) // else libxl chooses an affinity
	return t.create(c)
}
