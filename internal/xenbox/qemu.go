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
	arch    string
	kvm     bool
	cpus    int
	numa    int      // nodes
	memory  int      // MB
	dom0    int      // MB
	devices []string // more of QEMU's -device
	xenArgs string
	xen     string // the hypervisor, if it is not the image's
	beside  string // the root of another suite's image
	payload string
	console string
	port    int // QEMU's file descriptor of the port's socket
}

// A platform is what differs between the machines of the architectures.
type platform struct {
	qemu    string // program
	machine string
	cpu     string
	bus     string   // how QEMU names virtio devices on the machine's bus
	xenArgs string   // where the hypervisor's console is, and what saves time
	load    []string // dom0's kernel and initramfs
	// devices for what wants to give them to guests, and what that needs.
	devices []string
}

// Scrubbing memory and the defences against speculation cost time and protect
// nothing in a throw-away machine.
var platforms = map[string]platform{
	"amd64": {
		qemu: "qemu-system-x86_64", machine: "q35", cpu: "qemu64,+svm,+npt,+rdrand", bus: "pci",
		xenArgs: "console=com1 com1=115200,8n1 spec-ctrl=no xpti=0 cpuidle=0 cpufreq=none watchdog=0",
		load:    []string{"-initrd", fileKernel + " " + kernelArgs + "," + fileInitrd},
		devices: []string{"e1000,addr=0x10,romfile=,mac=00:16:3e:ff:00:10", "edu,addr=0x11", "qemu-xhci,id=usb,addr=0x12", "usb-tablet,bus=usb.0"},
	},
	"arm64": {
		qemu: "qemu-system-aarch64", machine: "virt,virtualization=on,gic-version=3", cpu: "cortex-a57", bus: "device",
		xenArgs: "console=dtuart dtuart=/pl011@9000000",
		// The places leave room for the hypervisor below and for 100 MB of kernel.
		load: []string{"-device", "guest-loader,addr=0x49000000,kernel=" + fileKernel + ",bootargs=" + kernelArgs,
			"-device", "guest-loader,addr=0x50000000,initrd=" + fileInitrd},
	},
}

// xenArgs are the hypervisor's own.
func xenArgs(s machineSpec) string {
	// The console's memory is for what debug keys print of several CPUs and guests.
	args := fmt.Sprintf("%s loglvl=all guest_loglvl=all conring_size=256k dom0_mem=%dM,max:%dM dom0_max_vcpus=%d bootscrub=0",
		platforms[s.arch].xenArgs, s.dom0, s.dom0, s.cpus)
	return strings.TrimSpace(args + " " + s.xenArgs)
}

// kernelArgs are dom0's kernel's. They contain no comma: QEMU splits there.
const kernelArgs = "console=hvc0 root=/dev/vda rw mitigations=off audit=0 nokaslr random.trust_cpu=on panic=5 8250.nr_uarts=0"

// numaDistance is how far nodes are from each other; 10 is a node from itself.
const numaDistance = 21

// qemuArgs is QEMU's command line. QEMU runs in the image's folder, so that
// the names in -initrd have neither spaces nor commas.
func qemuArgs(s machineSpec) []string {
	p := platforms[s.arch]
	accel, devices := "tcg,thread=multi,tb-size=512", p.devices
	switch {
	case s.kvm:
		p.cpu, accel = "host", "kvm"
	case s.arch == "amd64":
		devices = append(slices.Clone(devices), "amd-iommu") // PCI assignment needs it; it fits the CPU
	}
	if s.xen == "" {
		s.xen = fileXen
	}
	args := slices.Concat([]string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", p.machine, "-accel", accel, "-cpu", p.cpu,
		"-smp", fmt.Sprintf("%d,sockets=%d", s.cpus, s.numa), "-m", strconv.Itoa(s.memory),
		"-kernel", s.xen, "-append", xenArgs(s),
	}, p.load, []string{
		"-chardev", "file,id=console,path=" + escapeComma(s.console), "-serial", "chardev:console",
		// The base image is opened for reading only: writes go to a
		// temporary file that QEMU has unlinked.
		"-drive", "if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=" + fileRoot,
		"-device", "virtio-blk-" + p.bus + ",drive=root,serial=root",
		"-drive", "if=none,id=payload,format=raw,readonly=on,file=" + escapeComma(s.payload),
		"-device", "virtio-blk-" + p.bus + ",drive=payload,serial=payload",
		"-device", "virtio-serial-" + p.bus, "-chardev", fmt.Sprintf("socket,id=port,fd=%d", s.port),
		"-device", "virtserialport,chardev=port,name=" + portName,
	})
	if s.beside != "" {
		args = append(args, "-drive", "if=none,id=beside,format=raw,readonly=on,file="+escapeComma(s.beside),
			"-device", "virtio-blk-"+p.bus+",drive=beside,serial=beside")
	}
	if s.numa > 1 {
		for n := range s.numa {
			args = append(args, "-object", fmt.Sprintf("memory-backend-ram,id=node%d,size=%dM", n, s.memory/s.numa),
				"-numa", fmt.Sprintf("node,nodeid=%d,memdev=node%d,cpus=%d-%d", n, n, n*s.cpus/s.numa, (n+1)*s.cpus/s.numa-1))
		}
		for n := range s.numa {
			for m := range n {
				// Not what is taken where the firmware tells nothing.
				args = append(args, "-numa", fmt.Sprintf("dist,src=%d,dst=%d,val=%d", m, n, numaDistance))
			}
		}
		if s.arch == "amd64" {
			// A PCI bus at the last node, which is not empty.
			devices = append(slices.Clone(devices), fmt.Sprintf("pxb-pcie,id=far,bus=pcie.0,addr=0x13,bus_nr=0x40,numa_node=%d", s.numa-1),
				"pcie-root-port,id=far.port,bus=far,chassis=1")
		}
	}
	for _, d := range slices.Concat(devices, s.devices) {
		args = append(args, "-device", d)
	}
	return args
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
