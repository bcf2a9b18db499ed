//go:build linux

package xenbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A machineSpec is what decides QEMU's command line.
type machineSpec struct {
	kvm     bool
	cpus    int
	numa    int      // nodes
	memory  int      // MB
	dom0    int      // MB
	devices []string // more of QEMU's -device
	xenArgs string
	payload string
	console string
	port    int // QEMU's file descriptor of the port's socket
}

// qemuName is the QEMU that emulates an architecture.
func qemuName(arch string) string {
	if arch == "arm64" {
		return "qemu-system-aarch64"
	}
	return "qemu-system-x86_64"
}

// xenArgs are the hypervisor's own. Scrubbing memory and the defences against
// speculation cost time and protect nothing in a throw-away machine.
func xenArgs(s machineSpec) string {
	args := fmt.Sprintf("console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0_mem=%dM,max:%dM dom0_max_vcpus=%d "+
		"bootscrub=0 spec-ctrl=no xpti=0 cpuidle=0 cpufreq=none watchdog=0", s.dom0, s.dom0, s.cpus)
	return strings.TrimSpace(args + " " + s.xenArgs)
}

// kernelArgs are dom0's kernel's. They contain no comma: -initrd splits there.
const kernelArgs = "console=hvc0 root=/dev/vda rw mitigations=off audit=0 nokaslr random.trust_cpu=on panic=5 8250.nr_uarts=0"

// qemuArgs is QEMU's command line. QEMU runs in the image's folder, so that
// the names in -initrd have neither spaces nor commas.
func qemuArgs(s machineSpec) []string {
	cpu, accel := "qemu64,+svm,+npt,+rdrand", "tcg,thread=multi,tb-size=512"
	devices := append(slices.Clone(spareDevices), s.devices...)
	if s.kvm {
		cpu, accel = "host", "kvm"
	} else {
		devices = append(devices, "amd-iommu") // PCI assignment needs it; it fits the CPU
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35", "-accel", accel, "-cpu", cpu,
		"-smp", fmt.Sprintf("%d,sockets=%d", s.cpus, s.numa), "-m", strconv.Itoa(s.memory),
		"-kernel", fileXen, "-append", xenArgs(s), "-initrd", fileKernel + " " + kernelArgs + "," + fileInitrd,
		"-chardev", "file,id=console,path=" + escapeComma(s.console), "-serial", "chardev:console",
		// The base image is opened for reading only: writes go to a
		// temporary file that QEMU has unlinked.
		"-drive", "if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=" + fileRoot,
		"-device", "virtio-blk-pci,drive=root",
		"-drive", "if=none,id=payload,format=raw,readonly=on,file=" + escapeComma(s.payload),
		"-device", "virtio-blk-pci,drive=payload",
		"-device", "virtio-serial-pci", "-chardev", fmt.Sprintf("socket,id=port,fd=%d", s.port),
		"-device", "virtserialport,chardev=port,name=" + portName,
	}
	if s.numa > 1 {
		for n := range s.numa {
			args = append(args, "-object", fmt.Sprintf("memory-backend-ram,id=node%d,size=%dM", n, s.memory/s.numa),
				"-numa", fmt.Sprintf("node,nodeid=%d,memdev=node%d,cpus=%d-%d", n, n, n*s.cpus/s.numa, (n+1)*s.cpus/s.numa-1))
		}
	}
	for _, d := range devices {
		args = append(args, "-device", d)
	}
	return args
}

// spareDevices are in every machine for what wants to give them to guests.
var spareDevices = []string{
	"e1000,addr=0x10,romfile=,mac=00:16:3e:ff:00:10", "edu,addr=0x11",
	"qemu-xhci,id=usb,addr=0x12", "usb-tablet,bus=usb.0",
}

// escapeComma writes a value as QEMU's option parser wants it.
func escapeComma(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// chooseKVM decides between KVM and emulation.
func chooseKVM(accel, arch string) (kvm bool, why string, err error) {
	if accel == "tcg" {
		return false, "as asked", nil
	}
	why = kvmObstacle("/dev/kvm", "/sys/module", arch)
	if why == "" {
		return true, "", nil
	}
	if accel == "kvm" {
		return false, why, usageErrorf("-accel kvm: %s; leave the flag away to emulate", why)
	}
	return false, why, nil
}

// kvmObstacle says why KVM can't run a hypervisor here, or nothing.
func kvmObstacle(device, modules, arch string) string {
	if native := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[unameMachine()]; native != arch {
		return "this machine is not " + arch
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	f.Close()
	for _, m := range []string{"kvm_intel", "kvm_amd"} {
		v, err := os.ReadFile(filepath.Join(modules, m, "parameters", "nested"))
		if err == nil && strings.ContainsAny(string(v), "Y1") {
			return ""
		}
	}
	return "KVM without nested virtualisation (load kvm_intel or kvm_amd with nested=1)"
}

func unameMachine() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Machine[:])
}
