package xltest

// unproven are the checks that nobody has seen pass on Xen 4.17 and on 4.20. They
// are made with -all only. What has been seen to pass on both leaves the list; what
// fails is a fault, of the check or of what it checks.
var unproven = []string{
	"a Linux guest obeys SysRq keys, and hears an NMI",
	"a pv Linux guest moves over a TCP connection while it runs",
	"a tiny pvh guest goes on in another domain at the other end of a pipe",
	"a pvh Linux guest moves over a TCP connection while it runs",
	"a tiny hvm guest is saved to a file, and goes on where it was when it is restored",
	"a tiny hvm guest suspends itself and goes on, as if restored or as if nothing had been",
	"a tiny hvm guest is soft reset, and goes on",
	"the device model's monitor answers",
	"a core dump of a pv guest is an ELF file with its memory",
	"Remus copies a guest that runs into a black hole, until it is cancelled",
	"Remus lets the copy run when the original is gone",
	"pools have the schedulers that the hypervisor was built with, and no others",
	"a PV Linux guest draws on a screen, which a VNC client sees, and hears its keys",
	"a PV Linux guest and dom0 talk over a terminal and a socket",
	"a PV Linux guest and dom0 share a folder", // passed on 4.17
}

// Unproven is the number of checks that are made with -all only.
func Unproven() int { return len(unproven) }
