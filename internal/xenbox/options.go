//go:build linux

package xenbox

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// options are one command line.
type options struct {
	command string // build, run or shell
	help    string // what to print instead of doing anything

	target  target
	force   bool
	verbose bool

	beside target // whose Xen is installed too; none if empty
	xen    target // whose hypervisor is booted

	accel   string // auto, kvm or tcg
	cpus    int
	numa    int  // nodes
	memory  int  // MB of the machine
	dom0    int  // MB of dom0
	again   bool // if the emulated processor is to blame
	timeout time.Duration
	boot    time.Duration
	devices []string // more -device options of QEMU
	xenArgs string   // more arguments of the hypervisor
	console string   // where to keep the console

	dir     string   // working folder in dom0
	env     []string // K=V
	sends   []transfer
	fetches []transfer
	inDom0  bool     // the program is one of dom0's
	argv    []string // program and arguments
}

// A transfer is a file or folder that goes from one side to the other.
type transfer struct {
	Host, Guest string
	// Optional ones may be missing: results that a test binary writes only
	// when it gets that far.
	Optional bool
	// Sources says that Host is a module's folder: what is not source stays out.
	Sources bool
}

const usageText = `xenbox boots a throw-away Xen host in QEMU and runs a program in its dom0.

  xenbox build [flags]                      make the image (run does it by itself)
  xenbox run [flags] -- PROGRAM [ARGS...]   run a program as root in dom0
  xenbox shell [flags] [-- PROGRAM ARGS...] a terminal in dom0
  xenbox matrix [flags] -- PROGRAM [ARGS]   run xltest on hosts of all suites and make a table
  go test -exec 'xenbox run --' ./...       run tests in dom0

Flags of a command: xenbox COMMAND -h
Images are kept in $XENBOX_CACHE, else in xenlight/xenbox below the user's cache folder.
`

const runText = `
PROGRAM with a slash is a file of this machine that is copied to the same path
in dom0, unless it lies below /bin, /sbin, /usr/bin, /usr/sbin or /usr/lib, or
does not exist here; without a slash it is looked up in dom0's PATH. It runs in
a folder of the same name as the current one. A Go test binary (*.test) gets
its module's files along (if they are too many, its testdata folder), and its
profiles and coverage are fetched.

The machine has two CPUs unless told otherwise, a spare network card at
0000:00:10.0 and a device "edu" at 0000:00:11.0 for PCI assignment, and a USB
controller (modprobe xhci-pci) with a tablet; an IOMMU unless KVM runs it. With
-numa, nodes are 21 from each other, and PCI bus 0x40 is at the last one. In
dom0 there is the bridge xenbr0 (192.0.2.1/24), the device model for HVM guests,
and below /usr/share/xenbox/guest a small Linux guest: vmlinux (for PV and PVH),
vmlinuz (for HVM) and initrd.img, which says "xenlight guest: up" on its console
and gives a shell there. It has disk and network drivers; modprobe finds
xen-pcifront, 9p, 9pnet_xen, e1000, 8139cp, sr_mod, isofs, usbhid and the USB
controllers.

Exit status: the program's own, 128+n if signal n ended it; 125 if xenbox
itself failed, 126 or 127 if dom0 can't run or lacks the program.
`

// parseArgs reads a command line.
func parseArgs(args []string) (*options, error) {
	o := &options{}
	if len(args) == 0 {
		return nil, usageErrorf("no command: build, run, shell or matrix")
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		o.help = usageText
		return o, nil
	case "build", "run", "shell":
		o.command = args[0]
	default:
		return nil, usageErrorf("unknown command %q: build, run, shell or matrix", args[0])
	}
	var text bytes.Buffer
	fs := flag.NewFlagSet("xenbox "+o.command, flag.ContinueOnError)
	fs.SetOutput(&text)
	suite, arch, beside, xen := o.define(fs)
	switch err := fs.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		o.help = text.String()
		return o, nil
	case err != nil:
		return nil, &UsageError{Msg: err.Error()}
	}
	o.argv = fs.Args()
	if err := o.check(); err != nil {
		return nil, err
	}
	return o, o.choose(*suite, *arch, *beside, *xen)
}

// choose looks up the targets.
func (o *options) choose(suite, arch, beside, xen string) (err error) {
	if o.target, err = findTarget(suite, arch); err != nil {
		return err
	}
	o.xen = o.target
	if beside != "" {
		if o.beside, err = findTarget(beside, arch); err != nil {
			return err
		}
		if o.beside.Xen == o.target.Xen {
			return usageErrorf("-beside %s: -suite %s has Xen %s too", beside, suite, o.target.Xen)
		}
	}
	switch xen {
	case "", suite:
	case beside:
		o.xen = o.beside
	default:
		return usageErrorf("-xen %s: it is neither that of -suite nor that of -beside", xen)
	}
	return nil
}

// define declares the command's flags.
func (o *options) define(fs *flag.FlagSet) (suite, arch, beside, xen *string) {
	beside, xen = new(string), new(string)
	suite = fs.String("suite", envOr("XENBOX_SUITE", defaultSuite), "Debian `suite`: bullseye (Xen 4.14), bookworm (4.17), trixie (4.20) or sid; default also from $XENBOX_SUITE")
	arch = fs.String("arch", envOr("XENBOX_ARCH", defaultArch), "`architecture` of the Xen host: amd64, or arm64 with bookworm or trixie; default also from $XENBOX_ARCH")
	fs.BoolVar(&o.verbose, "v", false, "say more on stderr")
	fs.Usage = func() {
		switch o.command {
		case "build":
			fmt.Fprint(fs.Output(), "xenbox build [flags]\n\nMakes the image, or checks the one in the cache in full, and prints its folder.\n\n")
		case "run":
			fmt.Fprint(fs.Output(), "xenbox run [flags] -- PROGRAM [ARGS...]\n", runText, "\n")
		case "shell":
			fmt.Fprint(fs.Output(), "xenbox shell [flags] [-- PROGRAM ARGS...]\n\nRuns a login shell, or PROGRAM, on a terminal in dom0.\n", runText, "\n")
		}
		fs.PrintDefaults()
	}
	if o.command == "build" {
		fs.BoolVar(&o.force, "force", false, "build even if the cached image is good")
		return suite, arch, beside, xen
	}
	fs.StringVar(beside, "beside", "", "install the libxenlight and the tools of this older `suite` too, beside those of -suite")
	fs.StringVar(xen, "xen", "", "boot the hypervisor of this `suite`, which is -suite's or -beside's")
	fs.StringVar(&o.accel, "accel", "auto", "`how` to run the machine: kvm (needs nested virtualisation), tcg (emulation) or auto")
	fs.IntVar(&o.cpus, "cpus", 2, "CPUs of the machine")
	fs.IntVar(&o.numa, "numa", 1, "NUMA `nodes` of the machine; CPUs and memory are shared out evenly")
	fs.IntVar(&o.memory, "memory", 3072, "memory of the machine in `MB`")
	fs.IntVar(&o.dom0, "dom0-memory", 1024, "memory of dom0 in `MB`")
	if o.command == "run" {
		fs.BoolVar(&o.again, "again", false, "run the program once more, on a new host, if it fails and QEMU's emulation of the processor has erred; it gets no stdin")
	}
	fs.DurationVar(&o.timeout, "timeout", 0, "end the program after this `time`; 0 is never (a test binary: its -test.timeout and two minutes)")
	fs.DurationVar(&o.boot, "boot-timeout", 5*time.Minute, "give up on a machine that is not up after this `time`")
	fs.StringVar(&o.xenArgs, "xen-args", "", "more `arguments` for the hypervisor's command line, such as \"sched=credit flask=permissive\"")
	fs.Func("device", "one more `DEVICE` of QEMU's in the machine, such as e1000 or usb-mouse,bus=usb.0; may be repeated", func(s string) error {
		o.devices = append(o.devices, s)
		return nil
	})
	fs.StringVar(&o.console, "console", "", "keep the console of Xen and dom0 in this `file`")
	fs.StringVar(&o.dir, "dir", "", "working `folder` in dom0; default is the name of the current one")
	fs.BoolVar(&o.inDom0, "guest-program", false, "PROGRAM is one of dom0's even if it exists here")
	fs.Func("send", "copy `HOST[:GUEST]`, a file or folder, into dom0 before the program runs; may be repeated", func(s string) error {
		host, guest := splitTransfer(s)
		abs, err := filepath.Abs(host)
		if err != nil {
			return err
		}
		if _, err := os.Stat(abs); err != nil {
			return err
		}
		if guest == "" {
			guest = abs
		}
		o.sends = append(o.sends, transfer{Host: abs, Guest: guest})
		return nil
	})
	fs.Func("fetch", "copy `GUEST[:HOST]`, a file or folder, from dom0 after the program ended; may be repeated", func(s string) error {
		guest, host, _ := strings.Cut(s, ":")
		if guest == "" {
			return errors.New("no path")
		}
		if host == "" {
			host = "."
		}
		o.fetches = append(o.fetches, transfer{Host: host, Guest: guest})
		return nil
	})
	fs.Func("env", "set `K=V` in the program's environment (K alone: as it is here); may be repeated", func(s string) error {
		if !strings.Contains(s, "=") {
			v, ok := os.LookupEnv(s)
			if !ok {
				return nil
			}
			s += "=" + v
		}
		o.env = append(o.env, s)
		return nil
	})
	return suite, arch, beside, xen
}

// check refuses what makes no sense together.
func (o *options) check() error {
	switch {
	case o.command == "build" && len(o.argv) > 0:
		return usageErrorf("build takes no arguments, got %q", o.argv)
	case o.command == "run" && len(o.argv) == 0:
		return usageErrorf("no program: xenbox run [flags] -- PROGRAM [ARGS...]")
	case o.command == "build":
		return nil
	case o.cpus < 1:
		return usageErrorf("-cpus %d: at least 1", o.cpus)
	case o.numa < 1 || o.cpus%o.numa != 0 || o.memory%o.numa != 0:
		return usageErrorf("-numa %d: at least 1, and a divisor of -cpus %d and -memory %d", o.numa, o.cpus, o.memory)
	case o.dom0 < 256 || o.memory < o.dom0+256:
		return usageErrorf("-memory %d -dom0-memory %d: dom0 needs 256 MB, the machine 256 MB more than dom0", o.memory, o.dom0)
	case o.accel != "auto" && o.accel != "kvm" && o.accel != "tcg":
		return usageErrorf("-accel %q: kvm, tcg or auto", o.accel)
	}
	return nil
}

// quiet tells whether stages are noise: go test mixes the binary's stderr
// into the test's output.
func (o *options) quiet() bool { return o.isTest() && !isTerminal(2) }

// isTest tells whether the program is a Go test binary.
func (o *options) isTest() bool {
	return o.command == "run" && len(o.argv) > 0 && strings.HasSuffix(o.argv[0], ".test")
}

// splitTransfer splits HOST[:GUEST] at the last colon, unless the whole is the
// name of a file.
func splitTransfer(s string) (host, guest string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, ""
	}
	if _, err := os.Lstat(s); err == nil {
		return s, ""
	}
	return s[:i], s[i+1:]
}

func envOr(key, otherwise string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return otherwise
}
