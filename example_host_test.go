package xenlight_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// TestExamplesOnXen runs the examples one after the other, on a host that is
// thrown away afterwards. They speak of a domain 7 and of CPUs up to 3. One that
// fails ends the process. "make host" runs it:
// go test -exec 'xenbox run -cpus 4 --' -run ExamplesOnXen .
func TestExamplesOnXen(t *testing.T) {
	const kit = "/usr/share/xenbox/guest"
	if os.Getenv("XENBOX") == "" {
		t.Skip("needs a Xen host to spoil: xenbox")
	}
	for name, target := range map[string]string{"vmlinuz": "vmlinux", "initrd.img": "initrd.img"} {
		if err := os.MkdirAll("/boot", 0o755); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join("/boot", name))
		if err := os.Symlink(filepath.Join(kit, target), filepath.Join("/boot", name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(t.TempDir())
	host, err := xenlight.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	// Xen counts. A number that is asked for would be kept in the configuration,
	// and could not be given again to the domain that is restored.
	var domid libxl.Domid
	for domid != 7 {
		cfg := libxl.NewDomainConfig()
		cfg.CInfo.Type = libxl.DomainTypePvh
		cfg.CInfo.Name, cfg.CInfo.Uuid = "seven", libxl.NewUuid()
		cfg.BInfo.TypeUnion = libxl.NewDomainBuildInfoTypeUnionPvh()
		cfg.BInfo.MaxVcpus, cfg.BInfo.AvailVcpus = 2, libxl.BitmapOf(0, 1)
		cfg.BInfo.MaxMemkb, cfg.BInfo.TargetMemkb = 128<<10, 128<<10
		cfg.BInfo.Kernel, cfg.BInfo.Ramdisk, cfg.BInfo.Cmdline = kit+"/vmlinux", kit+"/initrd.img", "console=hvc0 quiet"
		if domid, err = host.DomainCreateNew(t.Context(), cfg); err != nil || domid > 7 {
			t.Fatal(domid, err)
		}
		if domid < 7 {
			if err := host.DomainDestroy(t.Context(), domid); err != nil {
				t.Fatal(err)
			}
		}
	}
	console, err := host.PrimaryConsoleAttach(domid)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	if err := host.DomainUnpause(t.Context(), domid); err != nil {
		t.Fatal(err)
	}
	if err := console.File().SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	for said, buf := "", make([]byte, 512); !strings.Contains(said, "xenlight guest: up"); {
		n, err := console.Read(buf)
		if said += string(buf[:n]); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}

	Example()
	ExampleOpen()
	ExampleHost_XenConsoleRead()
	ExampleHost_DomainCreateNew()
	if _, err := host.NameToDomid("guest"); err != nil {
		t.Error(err)
	}
	ExampleHost_SetVcpuaffinity()
	ExampleHost_SetVcpuonline()
	ExampleHost_DomainSchedParamsSet()
	if p, err := host.DomainSchedParamsGet(7); err != nil || p.Weight != 512 || p.Cap != 150 {
		t.Errorf("%+v, %v", p, err)
	}
	ExampleHost_CpupoolCreate()
	if info, err := host.DomainInfo(7); err != nil || info.Cpupool == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	ExampleHost_DomainSuspend()
	restored, err := host.NameToDomid("seven")
	if err != nil || restored == 7 {
		t.Errorf("restored as %d, %v", restored, err)
	}
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		ExampleHost_Events()
	}()
	if err := host.DomainShutdown(t.Context(), restored); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		time.Sleep(100 * time.Millisecond)
		_, err = host.NameToDomid("seven")
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-followed
	ExampleHost_DomainDestroy()
}
