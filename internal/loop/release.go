package loop

import (
	"fmt"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// nobody is DOMID_INVALID: no domain ever has this number.
const nobody = 0x7ff4

// listen makes libxl say when any domain shuts down or dies. libxl has no such
// event: it tells only of domains that it was asked about, each once. But what
// it waits for is xenstore's @releaseDomain, which comes for every domain, and
// when that comes it looks for those that it was asked about. Asked about nobody,
// it finds nobody gone each time.
//
// The pump must not run yet: it could come upon the first event before libxl has
// said what to cancel.
func (l *Loop) listen() int32 {
	l.released = make(chan struct{}, 1)
	var id uint64
	var evgen capi.Ptr
	id = l.Handle(func(*libxl.Event) {
		// The new one first: without any libxl would cancel the watch, and a new watch
		// fires at once.
		var next capi.Ptr
		if rc := l.lib.EvenableDomainDeath(l.ctx, nobody, id, &next); rc != 0 {
			l.breakdown(fmt.Sprintf("evenable_domain_death: %v", libxl.Error(rc)))
			return
		}
		l.lib.EvdisableDomainDeath(l.ctx, evgen)
		evgen = next
		select {
		case l.released <- struct{}{}:
		default: // whoever receives has not looked yet
		}
	})
	return l.lib.EvenableDomainDeath(l.ctx, nobody, id, &evgen)
}

// Released has an element after a domain has shut down or died, which may be
// for several domains. It is for one receiver.
func (l *Loop) Released() <-chan struct{} { return l.released }
