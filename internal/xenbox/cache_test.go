//go:build linux

package xenbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeBuild replaces the builder for one test and counts its calls.
func fakeBuild(t *testing.T, err error) *atomic.Int32 {
	var calls atomic.Int32
	old := buildFunc
	t.Cleanup(func() { buildFunc = old })
	buildFunc = func(_ context.Context, _ target, dir string, _ *progress) error {
		calls.Add(1)
		for _, n := range artefactNames {
			if err := os.WriteFile(filepath.Join(dir, n), append(make([]byte, 1<<17), n...), 0o644); err != nil {
				return err
			}
		}
		return err
	}
	t.Setenv("XENBOX_CACHE", t.TempDir())
	return &calls
}

func quietProgress() *progress { return newProgress(io.Discard, false, true, false) }

func TestImageIsBuiltOnce(t *testing.T) {
	calls := fakeBuild(t, nil)
	var wg sync.WaitGroup
	for range 8 { // at once: the lock lets one of them build
		wg.Go(func() {
			if _, err := openImage(t.Context(), targets[0], quietProgress(), false, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
	if _, err := openImage(t.Context(), targets[0], quietProgress(), true, false); err != nil || calls.Load() != 2 {
		t.Errorf("-force: %v, built %d times", err, calls.Load())
	}
	if _, err := openImage(t.Context(), targets[1], quietProgress(), false, false); err != nil || calls.Load() != 3 {
		t.Errorf("another suite: %v, built %d times", err, calls.Load())
	}
}

func TestBrokenCacheHealsItself(t *testing.T) {
	damage := map[string]func(dir string) error{
		"artefact gone":      func(d string) error { return os.Remove(filepath.Join(d, fileRoot)) },
		"artefact cut":       func(d string) error { return os.Truncate(filepath.Join(d, fileKernel), 5) },
		"artefact grown":     func(d string) error { return os.Truncate(filepath.Join(d, fileKernel), 1<<20) },
		"content changed":    func(d string) error { return overwrite(filepath.Join(d, fileInitrd), 1<<17) },
		"hole filled":        func(d string) error { return overwrite(filepath.Join(d, fileRoot), 77) },
		"manifest gone":      func(d string) error { return os.Remove(filepath.Join(d, manifestName)) },
		"manifest cut":       func(d string) error { return os.Truncate(filepath.Join(d, manifestName), 9) },
		"manifest empty":     func(d string) error { return os.Truncate(filepath.Join(d, manifestName), 0) },
		"manifest not ours":  func(d string) error { return os.WriteFile(filepath.Join(d, manifestName), []byte("{}"), 0o644) },
		"folder gone":        func(d string) error { return os.RemoveAll(d) },
		"artefact is folder": func(d string) error { p := filepath.Join(d, fileXen); os.Remove(p); return os.Mkdir(p, 0o755) },
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			calls := fakeBuild(t, nil)
			img, err := openImage(t.Context(), targets[0], quietProgress(), false, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := do(img.dir); err != nil {
				t.Fatal(err)
			}
			img, err = openImage(t.Context(), targets[0], quietProgress(), false, false)
			if err != nil {
				t.Fatal(err)
			}
			if calls.Load() != 2 {
				t.Errorf("built %d times, want 2", calls.Load())
			}
			if err := checkImage(img.dir, imageKey(targets[0]), true); err != nil {
				t.Errorf("still broken: %v", err)
			}
		})
	}
}

// overwrite changes one byte without changing the size.
func overwrite(name string, at int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{0xff}, at)
	return errors.Join(err, f.Close(), os.Chtimes(name, time.Time{}, time.Now().Add(time.Hour)))
}

func TestTouchedButEqualArtefactIsGood(t *testing.T) {
	calls := fakeBuild(t, nil)
	img, err := openImage(t.Context(), targets[0], quietProgress(), false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(img.path(fileRoot), time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := openImage(t.Context(), targets[0], quietProgress(), false, false); err != nil || calls.Load() != 1 {
		t.Errorf("%v, built %d times", err, calls.Load())
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	boom := errors.New("boom")
	fakeBuild(t, boom)
	if _, err := openImage(t.Context(), targets[0], quietProgress(), false, false); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	cache := os.Getenv("XENBOX_CACHE")
	for _, dir := range []string{"tmp", "images"} {
		if left, _ := os.ReadDir(filepath.Join(cache, dir)); len(left) != 0 {
			t.Errorf("%s: left %v", dir, left)
		}
	}
}

func TestStaleBuildFoldersGo(t *testing.T) {
	fakeBuild(t, nil)
	stale := filepath.Join(os.Getenv("XENBOX_CACHE"), "tmp", targets[0].String()+"-123")
	if err := os.MkdirAll(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := openImage(t.Context(), targets[0], quietProgress(), false, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

func TestPruneRemovesWhatNobodyUses(t *testing.T) {
	images := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{"keep": 2 * keepUnused, "old": 2 * keepUnused, "used": time.Hour} {
		dir := filepath.Join(images, name)
		m := filepath.Join(dir, manifestName)
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(m, nil, 0o644), os.Chtimes(m, now, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	prune(images, filepath.Join(images, "keep"), now)
	for name, want := range map[string]bool{"keep": true, "old": false, "used": true} {
		if _, err := os.Stat(filepath.Join(images, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyNamesTheContent(t *testing.T) {
	seen := make(map[string]target)
	for _, tg := range targets {
		k := imageKey(tg)
		if k != imageKey(tg) {
			t.Errorf("%s: the key is not stable", tg)
		}
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s have the same key", tg, other)
		}
		seen[k] = tg
	}
	old := initScript
	defer func() { initScript = old }()
	initScript = append([]byte("# changed\n"), old...)
	if _, ok := seen[imageKey(targets[0])]; ok {
		t.Error("a changed init has the old key")
	}
}

func TestLockIsExclusiveAndCancellable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "locks", "x")
	unlock, err := lockFile(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := &InterruptError{Signal: 2}
	_, err = lockFile(ctx, name, func() { cancel(interrupted) })
	if !errors.Is(err, interrupted) {
		t.Errorf("got %v, want the interrupt", err)
	}
	unlock()
	again, err := lockFile(t.Context(), name, func() { t.Error("had to wait for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	again()
}
