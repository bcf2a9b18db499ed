package xltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

const loadSection = "under load"

// Load says how much of it the checks of that section make.
type Load struct {
	Creations int    // of guests, cancelled at random moments
	Guests    int    // at once
	Opens     int    // of a Host
	Waiting   int    // operations at once, for each of which libxl has a child
	Seed      uint64 // of the random moments; 0 for one that is not known before
}

// UsualLoad is what the checks make if they are not told: what takes a few minutes
// without KVM.
var UsualLoad = Load{Creations: 24, Guests: 24, Opens: 100, Waiting: 200}

var loadChecks = []check{
	{loadSection, "guests created and destroyed, cancelled at random moments, leave nothing behind", checkRandomCancels},
	{loadSection, "guests are destroyed while other threads are inside hypercalls", checkForks},
}

// random is a source of random numbers for one check.
func (t *T) random() *rand.Rand {
	seed := t.o.Load.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("the seed is %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// churn creates and destroys guests.
type churn struct {
	t                                         *T
	kinds                                     []libxl.DomainType
	disk                                      libxl.DeviceDisk // of every other guest
	created, refused, aborted, late, destroys atomic.Int32     // see checkRandomCancels
}

// moments are when the operations on one guest are cancelled; never if 0.
type moments struct{ create, destroy time.Duration }

func (m moments) context(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	if after == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, after)
}

// guest creates one and destroys it. Its own deadline apart, all must go well.
func (c *churn) guest(h *xenlight.Host, config *libxl.DomainConfig, m moments) error {
	ctx, cancel := m.context(c.t.ctx, m.create)
	defer cancel()
	domid, err := h.DomainCreateNew(ctx, config)
	switch {
	case err == nil:
		if ctx.Err() != nil {
			c.late.Add(1)
		}
		c.created.Add(1)
	case !errors.Is(err, context.DeadlineExceeded):
		return err
	case domid != libxl.InvalidDomid:
		return fmt.Errorf("a creation that is cancelled returns domain %d", domid)
	case asError(err).Code != 0:
		c.aborted.Add(1)
		return nil
	default:
		c.refused.Add(1)
		return nil
	}
	// Whatever happens to this check, the guest has to go.
	always := context.WithoutCancel(c.t.ctx)
	if err := h.DomainUnpause(always, domid); err != nil && !errors.Is(err, libxl.ErrorDomainNotfound) {
		return errors.Join(err, h.DomainDestroy(always, domid))
	}
	ctx, cancel = m.context(always, m.destroy)
	defer cancel()
	err = h.DomainDestroy(ctx, domid)
	if errors.Is(err, context.DeadlineExceeded) {
		c.destroys.Add(1)
		var info libxl.Dominfo
		if info, err = h.DomainInfo(domid); err == nil && !info.Dying {
			err = h.DomainDestroy(always, domid)
		}
	}
	if errors.Is(err, libxl.ErrorDomainNotfound) {
		err = nil // it has gone all the same
	}
	return err
}

// run creates and destroys guests, some at a time, on two Hosts.
func (c *churn) run(guests int, m func() moments) {
	const atOnce = 4
	other := c.t.open()
	hosts := []*xenlight.Host{c.t.Host, other}
	type job struct {
		host   *xenlight.Host
		config *libxl.DomainConfig
		moments
	}
	jobs, errs := make(chan job), make(chan error, guests)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for j := range jobs {
				if err := c.guest(j.host, j.config, j.moments); err != nil {
					errs <- err
				}
			}
		})
	}
	for i := range guests {
		if c.t.ctx.Err() != nil {
			break
		}
		config := c.t.tiny(c.kinds[i/len(hosts)%len(c.kinds)], "")
		if i/len(hosts)/len(c.kinds)%2 == 1 {
			config.Disks = append(config.Disks, c.disk)
		}
		jobs <- job{hosts[i%len(hosts)], config, m()}
	}
	close(jobs)
	group.Wait()
	close(errs)
	for err := range errs {
		c.t.Errorf("%v%s", err, logOf(err))
	}
	c.t.ok(c.t.ctx.Err(), "creating and destroying guests")
	c.t.ok(other.Close(), "Close")
}

// kinds are the types of guests that this host runs.
func (t *T) kinds() []libxl.DomainType {
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	if info.CapHvm && info.CapPv {
		return guestTypes
	}
	return []libxl.DomainType{t.plain()}
}

// cancelRandomly creates and destroys guests, cancels that at random moments, and
// demands that nothing is left. Something may happen beside it until it is told to
// end.
func (t *T) cancelRandomly(guests int, beside func() (end func())) {
	random := t.random()
	c := &churn{t: t, kinds: t.kinds(), disk: t.scripted("exec sleep 0.2")}
	const warm = 8
	never := func() moments { return moments{} }
	c.run(warm, never) // what is made once is there then
	was := t.snapshot()
	end := sync.OnceFunc(beside())
	defer end()
	start := time.Now()
	c.run(warm, never)
	each := time.Since(start) / (warm / 4) // four at a time
	c.created.Store(0)
	start = time.Now()
	c.run(guests, func() moments {
		m := moments{create: 1 + time.Duration(random.Int64N(int64(each)))}
		if random.IntN(2) == 0 {
			m.destroy = 1 + time.Duration(random.Int64N(int64(each)/4))
		}
		return m
	})
	took := time.Since(start)
	end()
	now := t.nothingLeft(was)
	t.Logf("%d guests in %v: %d created, %d of them before the cancellation could do anything; %d creations not begun, %d aborted; %d destructions cancelled",
		guests, took.Round(time.Second), c.created.Load(), c.late.Load(), c.refused.Load(), c.aborted.Load(), c.destroys.Load())
	t.Logf("since before: %s", was.difference(now))
	if c.created.Load() == 0 || c.aborted.Load() == 0 {
		t.Errorf("the moments were not random enough: a guest took %v", each)
	}
}

func checkRandomCancels(t *T) {
	t.cancelRandomly(t.o.Load.Creations, func() func() { return func() {} })
}

// checkForks makes libxl fork, for each destruction, while other threads take and
// release the locks of libxl's own libraries as often as they can: a child that
// finds one taken would wait for ever for the thread that has it.
func checkForks(t *T) {
	const threads = 6
	stop, end := context.WithCancel(t.ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer end()
	calls, errs := make([]int, threads), make([]error, threads)
	for i := range calls {
		group.Go(func() {
			for stop.Err() == nil && errs[i] == nil {
				_, errs[i] = t.Host.GetPhysinfo()
				calls[i]++
			}
		})
	}
	kinds, guests := t.kinds(), min(t.o.Load.Creations, UsualLoad.Creations) // each takes seconds
	for i := range guests {
		g := t.create(t.tiny(kinds[i%len(kinds)], ""))
		g.destroy()
	}
	end()
	group.Wait()
	t.ok(errors.Join(errs...), "GetPhysinfo")
	total := 0
	for _, n := range calls {
		total += n
	}
	t.Logf("%d guests destroyed during %d hypercalls", guests, total)
}
