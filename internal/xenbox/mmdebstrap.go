//go:build linux

package xenbox

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// discard lists what no dom0 of ours needs. It is removed before mmdebstrap
// packs its tar, since packing is the slowest step after the download.
var discard = []string{
	"boot/*.efi", "boot/System.map*",
	"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/i18n",
	"usr/share/bash-completion", "usr/share/zsh", "usr/share/perl*", "usr/share/zoneinfo",
	"usr/share/lintian", "usr/share/common-licenses", "usr/share/initramfs-tools",
	"usr/lib/*/perl*", "usr/lib/*/gconv", "usr/lib/locale", "usr/lib/valgrind",
	"usr/lib/python3*/test", "usr/lib/python3*/idlelib", "usr/lib/python3*/lib2to3",
	"usr/lib/python3*/distutils", "usr/lib/python3*/ensurepip", "usr/lib/dracut",
	"lib/udev/hwdb.d", "usr/lib/udev/hwdb.d", "etc/udev/hwdb.bin", "lib/udev/hwdb.bin",
	"var/cache/apt", "var/lib/apt", "var/log/apt",
	// Firmware of machines that are not PCs.
	"usr/share/qemu/openbios-*", "usr/share/qemu/opensbi-*", "usr/share/qemu/skiboot*", "usr/share/qemu/slof*",
	"usr/share/qemu/s390-*", "usr/share/qemu/u-boot*", "usr/share/qemu/hppa-*", "usr/share/qemu/palcode-*",
	"usr/share/qemu/QEMU,*", "usr/share/qemu/*.dtb", "usr/share/qemu/*.fd",
	"[[modules]]/sound", "[[modules]]/drivers/gpu", "[[modules]]/drivers/media",
	"[[modules]]/drivers/infiniband", "[[modules]]/drivers/iio", "[[modules]]/drivers/staging",
	"[[modules]]/drivers/net/wireless",
	"[[modules]]/drivers/hwmon", "[[modules]]/drivers/mtd",
	"[[modules]]/drivers/i2c", "[[modules]]/drivers/isdn", "[[modules]]/drivers/comedi", "[[modules]]/drivers/crypto",
	"[[modules]]/drivers/platform", "[[modules]]/drivers/bluetooth",
}

// sifted are large folders of drivers of which only hardwareModules are kept.
var sifted = []string{"ata", "hid", "input", "net/ethernet", "scsi", "usb"}

// discardScript is the hook that mmdebstrap runs as (mapped) root with the
// root's path as $1.
func discardScript() string {
	var b strings.Builder
	b.WriteString(`cd "$1" && rm -rf`)
	for _, p := range discard {
		if rest, ok := strings.CutPrefix(p, "[[modules]]"); ok {
			b.WriteString(" lib/modules/*/kernel" + rest + " usr/lib/modules/*/kernel" + rest)
			continue
		}
		b.WriteString(" " + p)
	}
	b.WriteString("; find")
	for _, d := range sifted {
		b.WriteString(" lib/modules/*/kernel/drivers/" + d + " usr/lib/modules/*/kernel/drivers/" + d)
	}
	b.WriteString(" -type f")
	for _, m := range hardwareModules {
		b.WriteString(" ! -name '" + strings.ReplaceAll(m, "-", "[-_]") + ".ko*'")
	}
	b.WriteString(" -delete 2>/dev/null || :") // one of the two places is not there
	return b.String()
}

// aptProxyOptions are the host's own proxy and certificate settings for apt,
// which mmdebstrap does not take over by itself.
func aptProxyOptions(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump", "Acquire").Output()
	if err != nil {
		return nil // no apt configuration: apt's defaults hold
	}
	return filterAptOptions(string(out))
}

// filterAptOptions picks the transport settings from what apt-config dumps.
func filterAptOptions(dump string) []string {
	var opts []string
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, " ")
		if !ok || value == `"";` {
			continue
		}
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, "acquire::http") {
			continue
		}
		for _, want := range []string{"proxy", "cainfo", "capath", "sslcert", "sslkey", "verify-"} {
			if strings.Contains(name, want) {
				opts = append(opts, "--aptopt="+line)
				break
			}
		}
	}
	return opts
}

// bootstrap downloads and unpacks the target's packages, runs none of their
// scripts, and hands the resulting tar stream to use.
func bootstrap(ctx context.Context, t target, mmdebstrap string, p *progress, use func(io.Reader) error) error {
	mode := "unshare"
	if os.Geteuid() == 0 {
		mode = "root"
	}
	args := []string{"--variant=extract", "--mode=" + mode, "--format=tar", "--architectures=" + t.Arch,
		"--include=" + strings.Join(t.packages(), ","), "--customize-hook=" + discardScript()}
	if t.Suite == "sid" {
		// Its lists expire within a week. An older copy on a mirror is signed
		// all the same, and good enough for a throw-away host.
		args = append(args, `--aptopt=Acquire::Check-Valid-Until "false"`)
	}
	args = append(args, aptProxyOptions(ctx)...)
	args = append(args, t.Suite, "-")
	if mirror := os.Getenv("XENBOX_MIRROR"); mirror != "" {
		args = append(args, mirror)
	}

	cmd, end, err := guarded(mmdebstrap, args...)
	if err != nil {
		return err
	}
	defer end()
	cmd.Dir = "/" // a folder that the mapped root can enter
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return &BuildError{Step: "starting mmdebstrap", Err: err}
	}
	stop := context.AfterFunc(ctx, end)
	defer stop()

	tail := &tailBuffer{max: 4096}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		followBootstrap(stderr, tail, p)
	}()
	useErr := use(bufio.NewReaderSize(stdout, 1<<20))
	if useErr != nil {
		end()
	}
	io.Copy(io.Discard, stdout)
	<-logged
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && useErr == nil:
		return &BuildError{Step: "mmdebstrap (it needs a working apt and the network; as a plain user also user namespaces and newuidmap, package uidmap)", Log: tail.String(), Err: err}
	case useErr != nil:
		return &BuildError{Step: "unpacking the packages", Log: tail.String(), Err: useErr}
	}
	return nil
}

// followBootstrap turns mmdebstrap's messages into progress.
func followBootstrap(r io.Reader, tail io.Writer, p *progress) {
	steps := []struct{ message, stage string }{
		{"running apt-get update", "fetching package lists"},
		{"downloading packages", "downloading packages"},
		{"extracting archives", "unpacking packages"},
		{"creating tarball", "packing the root"},
	}
	sc := bufio.NewScanner(r)
	sc.Split(splitLinesAndReturns)
	for sc.Scan() {
		line := sc.Text()
		p.debug("mmdebstrap: " + line)
		io.WriteString(tail, line+"\n")
		for _, s := range steps {
			if strings.Contains(line, s.message) {
				p.stage(s.stage)
			}
		}
	}
}

// splitLinesAndReturns splits at newlines and at carriage returns, which apt
// uses in its progress.
func splitLinesAndReturns(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
