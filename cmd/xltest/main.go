// Xltest exercises package xenlight on the Xen host that it runs on, and tells
// what works, what fails, and what cannot be tested on this host and why.
//
// It creates small guests of its own and touches no other domain. It exits with
// 1 if a check failed, or with -strict could not be made, and with 2 if it could
// not begin.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/internal/xltest"
)

func main() {
	if os.Getenv(xltest.OpenOnly) != "" {
		fmt.Println(xltest.TryOpen())
		return
	}
	if what := os.Getenv(xltest.ExecInstead); what != "" {
		if err := xltest.BecomeAnother(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := withoutCaches(); err != nil {
		fmt.Fprintf(os.Stderr, "xltest: C's heap will seem to grow: %v\n", err)
	}
	failed, err := run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "xltest: %v\n", err)
	}
	os.Exit(exitStatus(failed, err))
}

// withoutCaches starts the program anew with a malloc of glibc's that keeps nothing
// for each thread, which it counts as in use, and has two arenas at most, each of
// which keeps megabytes: both look like leaks.
func withoutCaches() error {
	const tunables = "GLIBC_TUNABLES"
	if os.Getenv(tunables) != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, append(os.Environ(), tunables+"=glibc.malloc.tcache_count=0:glibc.malloc.arena_max=2"))
}

func exitStatus(failed bool, err error) int {
	switch {
	case err != nil:
		return 2
	case failed:
		return 1
	}
	return 0
}

func run() (failed bool, err error) {
	var (
		kernel  = flag.String("kernel", "/usr/share/xenbox/guest/vmlinux", "kernel of the test guests, for PV and PVH")
		ramdisk = flag.String("ramdisk", "/usr/share/xenbox/guest/initrd.img", "initramfs of the test guests")
		ready   = flag.String("ready", "xenlight guest: up", "what a guest prints on its console when it is up")
		tiny    = flag.String("tiny", besideMe("tiny."+runtime.GOARCH), "kernel of the tiny guests, for PV and PVH")
		pattern = flag.String("run", "", "make only the checks whose section/name matches this regular expression")
		list    = flag.Bool("list", false, "list the checks that would be made, and make none")
		section = flag.String("section", "", "make only the checks of the sections whose name contains this text")
		asJSON  = flag.String("json", "", "write the report as JSON to this file, - for standard output")
		verbose = flag.Bool("v", false, "show details of checks that passed, and libxl's log on standard error")
		strict  = flag.Bool("strict", false, "a check that cannot be made counts as failed")
		timeout = flag.Duration("timeout", 5*time.Minute, "deadline of each check")
		soak    = flag.Duration("soak", 0, "make the checks of operations, events and load again and again for so long, in rounds of a size of their own, and report what leaks per hour")
		last    = flag.Bool("kill-xenstored", false, "at the very end, kill xenstored under load; the host, a throw-away one, is of no use afterwards")
		load    = xltest.UsualLoad
	)
	flag.IntVar(&load.Creations, "creations", load.Creations, "how many creations to cancel at random moments")
	flag.IntVar(&load.Guests, "guests", load.Guests, "how many guests at once")
	flag.IntVar(&load.Opens, "opens", load.Opens, "how often to open a Host")
	flag.IntVar(&load.Waiting, "waiting", load.Waiting, "how many operations are to wait at once, each with a child of libxl's: a thousand want a fresh xltest (-run 'operations wait') in 1 GB")
	flag.Uint64Var(&load.Seed, "seed", 0, "of the random moments; 0 takes another one each time and prints it")
	flag.Parse()
	o := xltest.Options{Kernel: *kernel, Ramdisk: *ramdisk, Ready: *ready, Tiny: *tiny, Section: *section, Load: load, Strict: *strict, Last: *last, Timeout: *timeout}
	if *pattern != "" {
		if o.Run, err = regexp.Compile(*pattern); err != nil {
			return false, err
		}
	}
	chosen := xltest.Checks(o)
	if len(chosen) == 0 && !*last {
		return false, errors.New("-section and -run leave no check: see -list")
	}
	if *list {
		for _, name := range chosen {
			fmt.Println(name)
		}
		return false, nil
	}
	if err := givenFiles(flag.CommandLine); err != nil {
		return false, err
	}
	for _, kernel := range []*string{&o.Kernel, &o.Tiny} {
		if _, err := os.Stat(*kernel); err != nil {
			*kernel = ""
		} else if *kernel, err = filepath.Abs(*kernel); err != nil { // libxl has a folder of its own for firmware
			return false, err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	var opts []xenlight.Option
	if *verbose {
		opts = append(opts, xenlight.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	}
	host, err := xenlight.Open(opts...)
	if err != nil {
		return false, err
	}
	defer func() {
		if closed := host.Close(); !*last || !errors.Is(closed, xenlight.ErrBroken) {
			err = errors.Join(err, closed)
		}
	}()
	report, err := xltest.NewReport(host)
	if err != nil {
		return false, err
	}
	out := io.Writer(os.Stdout)
	if *asJSON == "-" {
		out = io.Discard
	}
	fmt.Fprintf(out, "Xen %s, %s\n", report.Xen, report.Library)
	if *soak > 0 {
		seed := o.Load.Seed
		o.Load = xltest.SoakLoad
		o.Load.Seed = seed
		return xltest.Soak(ctx, host, o, *soak, out)
	}
	current := ""
	xltest.Run(ctx, host, o, func(r xltest.Result) {
		if r.Section != current {
			current = r.Section
			fmt.Fprintf(out, "\n%s\n", current)
		}
		r.Print(out, *verbose)
		report.Add(r)
		if *asJSON != "-" { // so that it is there even if the host does not live to the end
			err = errors.Join(err, writeJSON(report, *asJSON))
		}
	})
	if err != nil {
		return false, err
	}
	report.AddCalls(host.Calls())
	fmt.Fprintln(out)
	report.Summary(out)
	return verdict(report.Total, *strict, out), writeJSON(report, *asJSON)
}

// verdict tells whether the run has failed, and says so if skipped checks count.
func verdict(total xltest.Section, strict bool, out io.Writer) (failed bool) {
	if strict && total.Untestable > 0 {
		fmt.Fprintf(out, "xltest: the %d skipped count as failed, as -strict says\n", total.Untestable)
		return true
	}
	return total.Failed > 0
}

// givenFiles demands the files that the command line names, without which checks
// would only be skipped.
func givenFiles(fs *flag.FlagSet) (err error) {
	fs.Visit(func(f *flag.Flag) {
		if slices.Contains([]string{"kernel", "ramdisk", "tiny"}, f.Name) {
			if _, missing := os.Stat(f.Value.String()); missing != nil {
				err = errors.Join(err, fmt.Errorf("-%s: %w", f.Name, missing))
			}
		}
	})
	return err
}

func writeJSON(r *xltest.Report, name string) error {
	switch name {
	case "":
		return nil
	case "-":
		return r.JSON(os.Stdout)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(r.JSON(f), f.Close())
}

// besideMe names a file in the program's own folder.
func besideMe(name string) string {
	me, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(me), name)
}
