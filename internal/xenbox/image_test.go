//go:build linux

package xenbox

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestUsrIsMerged(t *testing.T) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/touch", Typeflag: tar.TypeReg, Mode: 0o755, Size: 2},
		{Name: "./bin/again", Typeflag: tar.TypeLink, Linkname: "./bin/touch"},
		{Name: "./lib64", Typeflag: tar.TypeSymlink, Linkname: "usr/lib64"},
		{Name: "./usr/bin/touch", Typeflag: tar.TypeSymlink, Linkname: "/bin/touch"},
		{Name: "./sbin/other", Typeflag: tar.TypeSymlink, Linkname: "../bin/touch"},
		{Name: "./var/run", Typeflag: tar.TypeSymlink, Linkname: "/run"},
		{Name: "./dev/null", Typeflag: tar.TypeChar},
		{Name: "./etc/closed/", Typeflag: tar.TypeDir, Mode: 0o500},
		{Name: "./etc/closed/file", Typeflag: tar.TypeReg, Mode: 0o400},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, h.Size))
	}
	w.Close()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unpackRoot(&buf, root); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]string{
		"bin": "usr/bin", "lib64": "usr/lib64", "usr/bin/touch": "", "usr/bin/again": "",
		"usr/sbin/other": "../bin/touch", "var/run": "/run", "etc/closed/file": "",
	} {
		got, err := os.Readlink(filepath.Join(dir, name))
		if link == "" {
			_, err = os.Stat(filepath.Join(dir, name))
		}
		if err != nil || got != link {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, link)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "dev/null")); err == nil {
		t.Error("a device node was unpacked")
	}
}

func TestTarCannotEscape(t *testing.T) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	outside := filepath.Join(t.TempDir(), "x")
	w.WriteHeader(&tar.Header{Name: "./out", Typeflag: tar.TypeSymlink, Linkname: filepath.Dir(outside)})
	w.WriteHeader(&tar.Header{Name: "./out/x", Typeflag: tar.TypeReg, Mode: 0o644})
	w.Close()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := unpackRoot(&buf, root); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a file was written outside")
	}
}

func TestModulesComeAfterTheirNeeds(t *testing.T) {
	dir := t.TempDir()
	dep := "kernel/ext4.ko: kernel/jbd2.ko kernel/crc16.ko.xz\nkernel/jbd2.ko:\nkernel/crc16.ko.xz:\n" +
		"kernel/virtio_blk.ko: kernel/virtio_ring.ko kernel/virtio.ko\nkernel/virtio_ring.ko: kernel/virtio.ko\nkernel/virtio.ko:\nkernel/other.ko:\n"
	if err := os.WriteFile(filepath.Join(dir, "modules.dep"), []byte(dep), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := readModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := tree.closure([]string{"virtio-blk", "built_in", "ext4", "virtio_blk"})
	want := strings.Fields("kernel/virtio.ko kernel/virtio_ring.ko kernel/virtio_blk.ko kernel/crc16.ko.xz kernel/jbd2.ko kernel/ext4.ko")
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestKernelIsUnpacked(t *testing.T) {
	elf := append([]byte("\x7fELF"), bytes.Repeat([]byte("kernel"), 1000)...)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(elf)
	w.Close()
	payload := append(z.Bytes(), 0, 0, 0, 0)
	image := make([]byte, 2048)
	image[0x1f1] = 2
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint32(image[0x248:], 512)
	binary.LittleEndian.PutUint32(image[0x24c:], uint32(len(payload)))
	image = append(image, payload...)
	got, err := unpackKernel(t.Context(), image)
	if err != nil || !bytes.Equal(got, elf) {
		t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(elf))
	}
	arm := make([]byte, 4096)
	copy(arm[56:], "ARM\x64")
	if got, err := unpackKernel(t.Context(), arm); err != nil || !bytes.Equal(got, arm) {
		t.Errorf("arm64: got %d bytes, %v", len(got), err)
	}
	for name, bad := range map[string][]byte{
		"not a kernel": make([]byte, 4096), "too short": image[:300], "payload outside": image[:2100],
	} {
		if _, err := unpackKernel(t.Context(), bad); !errors.Is(err, errPacked) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCpioIsAligned(t *testing.T) {
	var c cpioWriter
	c.dirs("bin")
	c.file("bin/x", 0o755, []byte("12345"))
	c.link("bin/sh", "x")
	c.char("dev/console", 0o600, 5, 1)
	out := c.bytes()
	if len(out)%4 != 0 || !bytes.HasPrefix(out, []byte("070701")) || bytes.Count(out, []byte("070701")) != 5 || !bytes.Contains(out, []byte("TRAILER!!!\x00")) {
		t.Errorf("odd archive of %d bytes: %q", len(out), out)
	}
}

func TestAptOptionsAreTransportOnly(t *testing.T) {
	dump := `Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::CAInfo "/etc/ca.pem";
Acquire::https::Verify-Peer "";
Acquire::http::Pipeline-Depth "0";
Acquire::Languages:: "none";
`
	want := []string{`--aptopt=Acquire::http::Proxy "http://proxy.example:3128";`, `--aptopt=Acquire::https::CAInfo "/etc/ca.pem";`}
	if got := filterAptOptions(dump); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestQEMUCommandLine(t *testing.T) {
	spec := machineSpec{arch: "amd64", cpus: 2, numa: 1, memory: 3072, dom0: 1024, payload: "/tmp/a,b/payload", console: "/tmp/a,b/console", port: 3}
	line := strings.Join(qemuArgs(spec), " ")
	for _, want := range []string{"-accel tcg", "-cpu qemu64,+svm,+npt", "snapshot=on", "file=/tmp/a,,b/payload", "path=/tmp/a,,b/console", "dom0_mem=1024M"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %s", want, line)
		}
	}
	if strings.Contains(kernelArgs, ",") {
		t.Error("the kernel's arguments contain a comma")
	}
	for _, not := range []string{"-numa", "serial=beside"} {
		if strings.Contains(line, not) {
			t.Errorf("%s is in %s", not, line)
		}
	}
	spec.xen, spec.beside = "/other/xen", "/o,ther/root.ext4"
	line = strings.Join(qemuArgs(spec), " ")
	for _, want := range []string{"-kernel /other/xen ", "readonly=on,file=/o,,ther/root.ext4 -device virtio-blk-pci,drive=beside,serial=beside"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %s", want, line)
		}
	}
	spec.cpus, spec.numa, spec.devices = 4, 2, []string{"usb-mouse"}
	line = strings.Join(qemuArgs(spec), " ")
	for _, want := range []string{"-smp 4,sockets=2", "-numa node,nodeid=0,memdev=node0,cpus=0-1", "id=node1,size=1536M", "nodeid=1,memdev=node1,cpus=2-3",
		"-numa dist,src=0,dst=1,val=21", "pxb-pcie,id=far,bus=pcie.0,addr=0x13,bus_nr=0x40,numa_node=1", "pcie-root-port,id=far.port",
		"-device e1000,", "-device usb-mouse", "-device amd-iommu"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %s", want, line)
		}
	}
	spec.kvm = true
	if line := strings.Join(qemuArgs(spec), " "); !strings.Contains(line, "-accel kvm -cpu host") || strings.Contains(line, "amd-iommu") {
		t.Errorf("KVM: %s", line)
	}
	line = strings.Join(qemuArgs(machineSpec{arch: "arm64", cpus: 2, numa: 1}), " ")
	for _, want := range []string{"-machine virt,virtualization=on", "guest-loader,addr=0x49000000,kernel=vmlinux,bootargs=console=hvc0", "virtio-blk-device,drive=root"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %s", want, line)
		}
	}
}

func TestPayloadAndFetchRoundTrip(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(src, "d/empty"), 0o755), os.WriteFile(filepath.Join(src, "d/f"), []byte("data"), 0o640),
		os.Symlink("f", filepath.Join(src, "d/l"))); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := errors.Join(addTree(w, "0", filepath.Join(src, "d")), addTree(w, "1", filepath.Join(src, "d/l")), w.Close()); err != nil {
		t.Fatal(err)
	}
	fetches := []transfer{{Host: filepath.Join(dst, "dir")}, {Host: filepath.Join(dst, "deep/file")}}
	if err := unpackFetched(&buf, fetches); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dir/f", "dir/l", "deep/file"} {
		if data, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(data) != "data" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if !isDir(filepath.Join(dst, "dir/empty")) {
		t.Error("the empty folder is missing")
	}
	for _, bad := range []string{"2", "x/y", "0/../../etc/passwd", "-1", ""} {
		if err := unpackOne(&tar.Header{Name: bad, Typeflag: tar.TypeReg}, strings.NewReader(""), fetches); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
