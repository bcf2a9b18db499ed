package xenlight_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// The examples need a Xen host: "make host" runs TestExamplesOnXen, and
// examples/firstguest, on one.

func Example() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	domains, err := host.ListDomain()
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range domains {
		fmt.Printf("domain %d: %d MB, %d vCPUs\n", d.Domid, d.CurrentMemkb/1024, d.VcpuOnline)
	}
}

func ExampleOpen() {
	host, err := xenlight.Open()
	switch {
	case errors.Is(err, xenlight.ErrNoXen):
		log.Fatal("not in the control domain of a Xen host: ", err)
	case errors.Is(err, xenlight.ErrPermission):
		log.Fatal("not root: ", err)
	case err != nil:
		log.Fatal(err) // it says what to do
	}
	defer host.Close()
	fmt.Printf("Xen %s, %s\n", host.Release(), host.Library())
}

func ExampleHost_DomainCreateNew() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	cfg := libxl.NewDomainConfig()
	cfg.CInfo.Type = libxl.DomainTypePvh
	cfg.CInfo.Name = "guest"
	cfg.CInfo.Uuid = libxl.NewUuid()
	cfg.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPvh()
	cfg.BInfo.MaxVcpus = 2
	cfg.BInfo.AvailVcpus = libxl.BitmapOf(0, 1)
	cfg.BInfo.MaxMemkb, cfg.BInfo.TargetMemkb = 256<<10, 256<<10
	cfg.BInfo.Kernel, cfg.BInfo.Ramdisk = "/boot/vmlinuz", "/boot/initrd.img"
	cfg.BInfo.Cmdline = "console=hvc0"

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	domid, err := host.DomainCreateNew(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	// The domain is paused until it is told to run.
	if err := host.DomainUnpause(ctx, domid); err != nil {
		log.Fatal(err)
	}
}

// A domain is saved to a file, with its configuration beside it, and restored.
func ExampleHost_DomainSuspend() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	ctx := context.Background()

	const domid = 7
	cfg, err := host.RetrieveDomainConfiguration(ctx, domid)
	if err != nil {
		log.Fatal(err)
	}
	file, err := os.Create("guest.saved")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if err := host.DomainSuspend(ctx, domid, file); err != nil {
		log.Fatal(err) // and the guest goes on
	}
	if err := host.DomainDestroy(ctx, domid); err != nil {
		log.Fatal(err)
	}

	if _, err := file.Seek(0, io.SeekStart); err != nil {
		log.Fatal(err)
	}
	restored, err := host.DomainCreateRestore(ctx, &cfg, file, nil)
	if err != nil {
		log.Fatal(err)
	}
	// The domain is paused until it is told to go on.
	if err := host.DomainUnpause(ctx, restored); err != nil {
		log.Fatal(err)
	}
}

func ExampleHost_DomainDestroy() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	const domid = 7
	err = host.DomainDestroy(context.Background(), domid)
	if errors.Is(err, libxl.ErrorDomainNotfound) {
		fmt.Println("there is no such domain")
		return
	}
	var failure *xenlight.Error
	if errors.As(err, &failure) {
		for _, line := range failure.Log { // what libxl has to say about it
			fmt.Println(line)
		}
	}
}
