//go:build !bootstrap

// These commands need package abi, hence generated files. With the tag
// bootstrap xlidl does without them, so that it can be built to write those.

package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/go-xenlight/xenlight/internal/abi"
	"github.com/go-xenlight/xenlight/internal/idl"
	"github.com/go-xenlight/xenlight/internal/layout"
)

func init() {
	commands = append(commands,
		command{"diff", "[-arch ARCH] RELEASE RELEASE", "tell what a release has added to an older one", setupDiff},
		command{"layout", "[-release RELEASE] [-arch ARCH] [-format FORMAT] [TYPE...]", "list where everything lies in C memory", setupLayout},
	)
}

// archFlag declares the option -arch.
func archFlag(flags *flag.FlagSet) *string {
	arch := runtime.GOARCH
	if _, err := abi.ParseArch(arch); err != nil {
		arch = abi.AMD64.String()
	}
	return flags.String("arch", arch, "`ARCH`itecture: amd64 or arm64")
}

func parseRelease(s string) (idl.Release, abi.Release, error) {
	r, err := idl.ParseRelease(s)
	return r, abi.R(r.Major, r.Minor), err
}

func setupDiff(flags *flag.FlagSet) func(io.Writer) error {
	archName := archFlag(flags)
	load := loader(flags)
	return func(w io.Writer) error {
		if flags.NArg() != 2 {
			return errUsage
		}
		arch, err := abi.ParseArch(*archName)
		if err != nil {
			return err
		}
		from, abiFrom, err := parseRelease(flags.Arg(0))
		if err != nil {
			return err
		}
		to, abiTo, err := parseRelease(flags.Arg(1))
		if err != nil {
			return err
		}
		i, err := load()
		if err != nil {
			return err
		}
		added, err := i.Diff(w, from, to)
		if err != nil {
			return err
		}
		moved, err := layout.Diff(w, abiFrom, abiTo, arch)
		if err == nil && !added && !moved {
			_, err = fmt.Fprintf(w, "No difference between %s and %s.\n", from, to)
		}
		return err
	}
}

func setupLayout(flags *flag.FlagSet) func(io.Writer) error {
	newest := abi.Releases[len(abi.Releases)-1].String()
	releaseName := flags.String("release", newest, "Xen `RELEASE`")
	archName := archFlag(flags)
	format := flags.String("format", "table", "`FORMAT`: csv, json, table, or c for static assertions")
	return func(w io.Writer) error {
		_, release, err := parseRelease(*releaseName)
		if err != nil {
			return err
		}
		arch, err := abi.ParseArch(*archName)
		if err != nil {
			return err
		}
		types, err := abi.Describe(release, arch)
		if err != nil {
			return err
		}
		enums := abi.Enums
		if flags.NArg() > 0 {
			if types, enums, err = only(types, flags.Args()); err != nil {
				return err
			}
		}
		b := bufio.NewWriter(w)
		if *format == "c" {
			err = layout.Assertions(b, types, enums, release)
		} else {
			err = layout.Write(b, types, *format)
		}
		if err != nil {
			return err
		}
		return b.Flush()
	}
}

// only picks types by their names, with the prefix libxl_ or without.
func only(types []abi.CType, names []string) ([]abi.CType, []*abi.Enum, error) {
	var picked []abi.CType
	var enums []*abi.Enum
	for _, name := range names {
		c := "libxl_" + strings.TrimPrefix(name, "libxl_")
		i := slices.IndexFunc(types, func(t abi.CType) bool { return t.Name == c })
		if i < 0 {
			return nil, nil, fmt.Errorf("there is no type %s in this release", name)
		}
		picked = append(picked, types[i])
		for _, e := range abi.Enums {
			if "libxl_"+e.Name == c {
				enums = append(enums, e)
			}
		}
	}
	return picked, enums, nil
}
