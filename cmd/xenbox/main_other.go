//go:build !linux

// Xenbox boots a throw-away Xen host in QEMU and runs a program in its dom0.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "xenbox: this machine can't build the image: xenbox needs Linux")
	os.Exit(125)
}
