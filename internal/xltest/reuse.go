package xltest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// Watches of domains that change behind the watcher's back.
var reuseChecks = []check{
	{loopSection, "a domain that was destroyed before anybody watched it is not waited for", checkUnseen},
	{loopSection, "a watch is of one domain, not of the next one with its number", checkNumberAgain},
	{loopSection, "a watch goes on through a soft reset, and so does all else on the Host", checkSoftResetWatch},
}

func checkUnseen(t *T) {
	all := t.Host.Events(t.ctx)
	other := t.open()
	for name, destroyer := range map[string]*xenlight.Host{"this Host": t.Host, "another Host": other} {
		g := t.create(t.tiny(t.plain(), ""))
		t.ok(destroyer.DomainDestroy(t.ctx, g.Domid), "DomainDestroy")
		t.noDomain(g.Config.CInfo.Uuid)
		_, err := t.Host.WaitShutdown(t.ctx, g.Domid)
		wantCode(t, "WaitShutdown of what "+name+" has destroyed", err, libxl.ErrorDomainNotfound)
		n := 0
		for _, err := range t.Host.DomainEvents(t.ctx, g.Domid) {
			wantCode(t, "DomainEvents of what "+name+" has destroyed", err, libxl.ErrorDomainNotfound)
			n++
		}
		equal(t, "how often DomainEvents of what "+name+" has destroyed says so", n, 1)
	}
	// One that others have made, too: nothing tells of it.
	c := t.tiny(t.plain(), "")
	domid, err := other.DomainCreateNew(t.ctx, c)
	t.ok(err, "DomainCreateNew")
	g := t.adopt(c, domid)
	t.until("it to be known", func() bool { return g.exists() })
	one := t.record("DomainEvents", t.Host.DomainEvents(t.ctx, domid), c.CInfo.Uuid)
	t.ok(other.DomainDestroy(t.ctx, domid), "DomainDestroy")
	equal(t, "the events of a domain that others have made and destroyed", one(), "death")
	equal(t, "what a watch of all tells of it", t.record("Events", all, c.CInfo.Uuid)(), "death")
}

// told collects what a watch of one domain tells, of whatever domain that is.
func told(events iter.Seq2[xenlight.Event, error], names map[libxl.Uuid]string) string {
	var all []string
	for ev, err := range events {
		what := inAWord(ev)
		if err != nil {
			what = err.Error()
		}
		all = append(all, names[ev.Uuid]+": "+what)
	}
	return strings.Join(all, ", ")
}

func checkNumberAgain(t *T) {
	if !throwAway() {
		t.Cannot("it would let others on this host meet a domain's number again")
	}
	all := t.Host.Events(t.ctx)
	first, second := t.tiny(t.plain(), ""), t.tiny(t.plain(), "")
	names := map[libxl.Uuid]string{first.CInfo.Uuid: "first", second.CInfo.Uuid: "second"}
	g := t.create(first)
	domid := g.Domid
	read, unread := t.Host.DomainEvents(t.ctx, domid), t.Host.DomainEvents(t.ctx, domid)
	reading := make(chan string, 1)
	go func() { reading <- told(read, names) }()
	g.destroy()
	t.noDomain(first.CInfo.Uuid)
	t.ok(t.Host.ClearDomidHistory(), "ClearDomidHistory")
	second.CInfo.Domid = domid
	g = t.create(second)
	equal(t, "the number of the second domain", g.Domid, domid)
	watch := t.Host.DomainEvents(t.ctx, domid)
	g.start()
	g.say("poweroff")
	reason, err := t.Host.WaitShutdown(t.ctx, domid)
	t.ok(err, "WaitShutdown")
	equal(t, "the reason", reason, libxl.ShutdownReasonPoweroff)
	g.destroy()
	equal(t, "what a watch of the first domain tells", <-reading, "first: death")
	equal(t, "what a watch of the first domain tells that is read only now", told(unread, names), "first: death")
	equal(t, "what a watch of the second domain tells", told(watch, names), "second: poweroff, second: death")
	journal, err := keep(all, second.CInfo.Uuid)
	t.ok(err, "Events")
	equal(t, "what a watch of all tells of the first", strings.Join(journal[first.CInfo.Uuid], ", "), "death")
	equal(t, "what a watch of all tells of the second", strings.Join(journal[second.CInfo.Uuid], ", "), "poweroff, death")
}

func checkSoftResetWatch(t *T) {
	all := t.Host.Events(t.ctx)
	g := t.startTiny(libxl.DomainTypeHvm, "")
	uuid := g.Config.CInfo.Uuid
	watches := []iter.Seq2[xenlight.Event, error]{t.Host.DomainEvents(t.ctx, g.Domid), all}
	other := t.create(t.tiny(t.plain(), ""))
	g.say("soft-reset")
	reason, err := t.Host.WaitShutdown(t.ctx, g.Domid)
	t.ok(err, "WaitShutdown")
	equal(t, "the reason", reason, libxl.ShutdownReasonSoftReset)

	stop, end := context.WithCancel(t.ctx)
	var beside sync.WaitGroup
	const goroutines = 4
	rounds, errs := make([]int, goroutines), make([]error, goroutines)
	for i := range goroutines {
		beside.Go(func() {
			for stop.Err() == nil && errs[i] == nil {
				errs[i] = errors.Join(t.Host.DomainPause(t.ctx, other.Domid), t.Host.DomainUnpause(t.ctx, other.Domid))
				rounds[i]++
			}
		})
	}
	err = t.Host.DomainSoftReset(t.ctx, g.Config, g.Domid)
	end()
	beside.Wait()
	t.restored(g.Config, err, "DomainSoftReset")
	for i, err := range errs {
		t.ok(err, fmt.Sprintf("DomainPause and DomainUnpause beside it, round %d of %d", rounds[i], rounds))
	}
	t.Logf("beside it another domain was paused and unpaused %d times", rounds)
	if slices.Min(rounds) == 0 {
		t.Errorf("one of those has not gone on")
	}
	g.console.Close()
	g.goesOn(2)
	g.say("poweroff")
	reason, err = t.Host.WaitShutdown(t.ctx, g.Domid)
	t.ok(err, "WaitShutdown")
	equal(t, "the reason after the reset", reason, libxl.ShutdownReasonPoweroff)
	g.destroy()
	for i, w := range watches {
		equal(t, fmt.Sprintf("what watch %d tells", i), t.record("a watch", w, uuid)(), libxl.ShutdownReasonSoftReset.String()+" poweroff death")
	}
}
