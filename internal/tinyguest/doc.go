// Package tinyguest has, in src, a guest of a few KB for tests. It boots as PV
// and as PVH guest on amd64, in 4 MB of memory (PVH also in 1 MB). For arm64 it
// is compiled, but it has not run there yet.
//
// It says "tiny: up KIND cmdline=..." on its console and then does commands:
// those of its kernel command line, in words of the form tiny=COMMAND, those
// typed on its console, a line each, and those in xenstore's control/shutdown.
// When it has nothing to do it blocks, and uses no CPU time.
//
//	poweroff reboot crash watchdog soft-reset
//	          shuts the domain down, for that reason
//	suspend   does so too; when it is resumed it says "tiny: resumed"
//	halt      powers off without that hypercall: by taking its only vCPU
//	          offline, on arm64 by PSCI
//	hang      never does anything again
//	ignore    no longer cares about control/shutdown
//	echo TEXT says "tiny: TEXT"
//	write PATH VALUE
//	          writes to xenstore; the path is relative to the domain's own folder
//	count     says "tiny: count N", which is one more each time
//	mem       says "tiny: pages N": how much memory it has
//	spin      uses up CPU time while there is nothing to do, until "idle"
//
// scripts/tinyguest compiles it; "make tiny" does so for both architectures.
package tinyguest
