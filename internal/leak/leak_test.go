package leak

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// planting names what the process of a test leaves behind.
const planting = "XENLIGHT_TEST_PLANT"

func TestMain(m *testing.M) {
	what := os.Getenv(planting)
	if what == "" {
		os.Exit(Main(m))
	}
	memory := uint(0)
	heap := func() (uint, bool) { return memory, true }
	os.Exit(Main(tests(func() {
		switch what {
		case "goroutine":
			go func() { select {} }()
		case "descriptor":
			syscall.Open(os.DevNull, syscall.O_RDONLY, 0) // no finalizer closes it
		case "child":
			exec.Command("sleep", "20").Start()
		case "C memory":
			memory += heapNoise + 1
		}
	}), heap))
}

// tests are a package's that all pass.
type tests func()

func (t tests) Run() int {
	t()
	return 0
}

// The leak of a thread that is not Go's needs C: the tests of package xenlight
// plant it, and one of C memory.
func TestMainFailsForWhateverIsLeftBehind(t *testing.T) {
	var group sync.WaitGroup
	for what, want := range map[string]string{
		"nothing": "", "goroutine": "goroutine made by", "descriptor": "1 more: descriptor /dev/null",
		"child": "child process sleep", "C memory": "bytes of C memory",
	} {
		group.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), planting+"="+what)
			out, err := cmd.CombinedOutput()
			if (err == nil) != (want == "") || !strings.Contains(string(out), want) {
				t.Errorf("%s is left behind: %v, %q", what, err, out)
			}
		})
	}
	group.Wait()
}

func TestPlantedLeaksAreFound(t *testing.T) {
	stop := make(chan struct{})
	for what, plant := range map[string]func() func(){
		"TestPlantedLeaksAreFound": func() func() {
			go func() { <-stop }()
			return func() { close(stop) }
		},
		"descriptor /dev/null": func() func() {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			return func() { f.Close() }
		},
		"child process sleep": func() func() {
			cmd := exec.Command("sleep", "1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return func() {
				cmd.Process.Kill()
				cmd.Wait()
			}
		},
	} {
		before := Look()
		remove := plant()
		more := before.More(Look())
		if !slices.ContainsFunc(more, func(s string) bool { return strings.Contains(s, what) }) {
			t.Errorf("planted %q, found %q", what, more)
		}
		remove()
		if more := before.Since(); len(more) > 0 {
			t.Errorf("after removing %q: %q", what, more)
		}
	}
}
