package leak

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// The leak of a thread that is not Go's needs C: the tests of package xenlight
// plant it, and one of C memory.
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
