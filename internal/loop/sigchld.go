package loop

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// The process's SIGCHLD, told to every open loop. libxl then reaps its own
// children and no others, so os/exec goes on working.
var sigchld struct {
	sync.Mutex
	loops  map[*Loop]struct{}
	signal chan os.Signal
}

func subscribe(l *Loop) {
	sigchld.Lock()
	defer sigchld.Unlock()
	if sigchld.loops == nil {
		sigchld.loops = map[*Loop]struct{}{}
	}
	sigchld.loops[l] = struct{}{}
	if sigchld.signal == nil {
		// A signal that finds the channel full adds nothing to the one in it.
		sigchld.signal = make(chan os.Signal, 1)
		signal.Notify(sigchld.signal, unix.SIGCHLD)
		go forward(sigchld.signal)
	}
}

func unsubscribe(l *Loop) {
	sigchld.Lock()
	defer sigchld.Unlock()
	delete(sigchld.loops, l)
	if len(sigchld.loops) == 0 {
		signal.Stop(sigchld.signal)
		close(sigchld.signal)
		sigchld.signal = nil
	}
}

func forward(signals <-chan os.Signal) {
	for range signals {
		sigchld.Lock()
		for l := range sigchld.loops {
			l.childDied.Store(true)
			l.wake()
		}
		sigchld.Unlock()
	}
}
