//go:build linux

package xenbox

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress tells a person what is being waited for: one line that is
// rewritten on a terminal, plain lines in a log.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	quiet    bool // stages are not shown
	verbose  bool
	begin    time.Time
	stageAt  time.Time
	current  string
	stop     chan struct{}
	times    []stageTime
}

// A stageTime is how long one stage took.
type stageTime struct {
	stage string
	took  time.Duration
}

func newProgress(w io.Writer, terminal, quiet, verbose bool) *progress {
	return &progress{w: w, terminal: terminal, quiet: quiet && !verbose, verbose: verbose, begin: time.Now()}
}

// stage begins the next stage.
func (p *progress) stage(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endStage()
	p.current, p.stageAt = name, time.Now()
	switch {
	case p.quiet:
	case p.terminal:
		p.draw()
		if p.stop == nil {
			p.stop = make(chan struct{})
			go p.tick(p.stop)
		}
	default:
		fmt.Fprintf(p.w, "xenbox: %5.1fs %s\n", time.Since(p.begin).Seconds(), name)
	}
}

// endStage notes the time of the current stage. The lock is held.
func (p *progress) endStage() {
	if p.current != "" {
		p.times = append(p.times, stageTime{p.current, time.Since(p.stageAt)})
	}
	p.current = ""
}

// finish ends the last stage and leaves the terminal's line clean.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endStage()
	if p.stop != nil {
		close(p.stop)
		p.stop = nil
		io.WriteString(p.w, "\r\x1b[K")
	}
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		io.WriteString(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "xenbox: "+format+"\n", args...)
}

// debug prints a line if the user asked for all of them.
func (p *progress) debug(line string) {
	if p.verbose {
		p.say("%s", line)
	}
}

// draw rewrites the terminal's line. The lock is held.
func (p *progress) draw() {
	fmt.Fprintf(p.w, "\r\x1b[Kxenbox: %s (%.0fs)", p.current, time.Since(p.begin).Seconds())
}

func (p *progress) tick(stop chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			p.mu.Lock()
			if p.stop == stop && p.current != "" {
				p.draw()
			}
			p.mu.Unlock()
		}
	}
}
