// Package xenbox boots a throw-away Xen host in QEMU, runs one program in its
// dom0 as root, and hands back the program's output, files and exit status.
//
// The way of a run: the image of a Debian suite and architecture is built once
// (build.go) and kept in the user's cache (cache.go); QEMU boots it without
// ever writing to it (qemu.go); a second, small disk carries the program, the
// sent files, the job description and a copy of this very binary (payload.go);
// that copy is the agent in dom0 (agent.go), which talks to the session on the
// host (session.go) over one virtio-serial port in frames (frame.go).
package xenbox
