package xenlight_test

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// follow tells what happens to the domains, and removes those that have powered
// off. Guests that have suspended are about to be saved or moved: they are not its
// concern.
func follow(ctx context.Context) error {
	host, err := xenlight.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	for ev, err := range host.Events(ctx) {
		if err != nil {
			return err
		}
		switch ev.Type {
		case libxl.EventTypeDomainDeath:
			log.Printf("domain %d, %s, is gone", ev.Domid, ev.Uuid)
		case libxl.EventTypeDomainShutdown:
			log.Printf("domain %d has shut down: %v", ev.Domid, ev.Reason)
			if ev.Reason != libxl.ShutdownReasonPoweroff {
				continue
			}
			if err := host.DomainDestroy(ctx, ev.Domid); err != nil && !errors.Is(err, libxl.ErrorDomainNotfound) {
				log.Print(err)
			}
		}
	}
	return nil
}

// A daemon lives until it is told to end. When xenstored ends before, it opens
// another Host.
func ExampleHost_Events() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for {
		err := follow(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case !errors.Is(err, xenlight.ErrBroken):
			log.Fatal(err)
		}
		log.Print(err)
		time.Sleep(time.Second)
	}
}
