package xenlight

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight/internal/fakexl"
	"github.com/go-xenlight/xenlight/libxl"
)

// fakeGuest describes a domain for the fake.
func fakeGuest(script uint32) *libxl.DomainConfig {
	c := libxl.NewDomainConfig()
	c.CInfo.Type = libxl.DomainTypePv
	c.CInfo.Uuid = libxl.NewUuid()
	c.CInfo.Ssidref = script
	c.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPv()
	return c
}

func TestWhatACancelledCreationHasMadeIsDestroyed(t *testing.T) {
	h := openFake(t)
	for kind, code := range map[fakexl.Kind]libxl.Error{fakexl.Forever: libxl.ErrorAborted, fakexl.AbortFail: libxl.ErrorFail} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		told := make(chan libxl.Domid, 1)
		domid, err := h.DomainCreateNew(ctx, fakeGuest(fakexl.Create(kind, fakexl.MaxLasts)), OnConsole(func(d libxl.Domid) { told <- d }))
		cancel()
		if domid != libxl.InvalidDomid || outcomeOf(err) != (outcome{code, context.DeadlineExceeded}) {
			t.Errorf("kind %d: got %d, %v", kind, domid, err)
		}
		e := (*Error)(nil)
		if errors.As(err, &e); e.Domid == nil || *e.Domid != <-told {
			t.Errorf("kind %d: the error has not the number of the domain: %+v", kind, e)
		} else if _, err := h.DomainInfo(*e.Domid); !errors.Is(err, libxl.ErrorDomainNotfound) {
			t.Errorf("kind %d: it is still there: %v", kind, err)
		}
	}
}

func TestASoftResetTellsOfTheConsole(t *testing.T) {
	h := openFake(t)
	domid, err := h.DomainCreateNew(t.Context(), fakeGuest(fakexl.Ends(fakexl.Create(fakexl.Inline, 0), libxl.ShutdownReasonSoftReset)))
	if err == nil {
		err = h.DomainUnpause(t.Context(), domid)
	}
	for i := 0; err == nil && i < 100; i++ {
		told := make(chan libxl.Domid, 1)
		err = h.DomainSoftReset(t.Context(), fakeGuest(0), domid, OnConsole(func(d libxl.Domid) { told <- d }))
		select {
		case <-told:
		case <-time.After(5 * time.Second):
			t.Fatalf("the %dth tells nothing: %v", i+1, err)
		}
	}
	if err == nil {
		err = h.DomainDestroy(t.Context(), domid)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sometimes is a context that ends within a few milliseconds, or is over, or lasts.
func sometimes(ctx context.Context) (context.Context, context.CancelFunc) {
	switch after := time.Duration(rand.IntN(10)) * time.Millisecond; rand.IntN(3) {
	case 0:
		return context.WithTimeout(ctx, after)
	case 1:
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(after, cancel)
		return ctx, cancel
	}
	return context.WithCancel(ctx)
}

func TestCreationsCancelledAtRandomAndHostsThatCloseLeaveNoDomain(t *testing.T) {
	last := openFake(t)
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	kinds := []fakexl.Kind{fakexl.Inline, fakexl.InlineFail, fakexl.Refused, fakexl.Wait, fakexl.Stubborn, fakexl.HalfWay,
		fakexl.FD, fakexl.Finish, fakexl.AbortFail, fakexl.Child, fakexl.ChildFail}
	var made, cancelled, closed int
	for range rounds {
		h := openFake(t)
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 30 {
			group.Go(func() {
				ctx, cancel := sometimes(t.Context())
				defer cancel()
				script := fakexl.Create(kinds[rand.IntN(len(kinds))], time.Duration(rand.IntN(10))*time.Millisecond)
				domid, err := h.DomainCreateNew(ctx, fakeGuest(script), OnConsole(func(libxl.Domid) {}))
				mu.Lock()
				defer mu.Unlock()
				switch cause := outcomeOf(err).cause; {
				case err == nil:
					made++
					if err := last.DomainDestroy(t.Context(), domid); err != nil {
						t.Error(err)
					}
				case domid != libxl.InvalidDomid:
					t.Errorf("domain %d with %v", domid, err)
				case cause == ErrClosed:
					closed++
				case cause != nil:
					cancelled++
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		if err := h.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		group.Wait()
		list, err := last.ListDomain()
		if err != nil || len(list) != 1 {
			t.Fatalf("domains besides dom0 are left: %+v, %v", list, err)
		}
	}
	t.Logf("%d made, %d cancelled, %d ended by Close", made, cancelled, closed)
	if made == 0 || cancelled == 0 || closed == 0 {
		t.Error("the test has become blind")
	}
}
