//go:build linux

// Xenbox boots a throw-away Xen host in QEMU and runs a program in its dom0.
package main

import (
	"os"

	"github.com/go-xenlight/xenlight/internal/xenbox"
)

func main() { os.Exit(xenbox.Main(os.Args[1:])) }
