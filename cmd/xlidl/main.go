// Xlidl is the compiler of libxl's interface description.
//
//	xlidl import -o idl/libxl.json DIR|FILE...
//
// merges the libxl_types.idl of several releases, named after them (4.17.idl),
// into one schema. It stops if a release has not only added things. A new release is
// taken in by
//
//	xlidl import -o idl/libxl.json idl/libxl.json 4.23.idl && xlidl generate
//
//	xlidl generate [-check] [-C DIR]
//
// writes all generated files of the module from libxl.json, functions.idl and
// docs.json in its folder idl; with -check it only lists those that are stale
// and exits with status 1 if there are any.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/go-xenlight/xenlight/internal/idl"
)

type command struct {
	name, args, does string
	run              func(flags *flag.FlagSet, args []string) error
}

var commands = []command{
	{"import", "-o FILE DIR|FILE...", "merge the .idl files of several releases into one schema", runImport},
	{"generate", "[-check] [-C DIR]", "write the generated files from the folder idl", runGenerate},
}

func main() {
	if len(os.Args) > 1 {
		for _, c := range commands {
			if c.name != os.Args[1] {
				continue
			}
			flags := flag.NewFlagSet(c.name, flag.ExitOnError)
			flags.Usage = func() {
				fmt.Fprintf(flags.Output(), "usage: xlidl %s %s\n", c.name, c.args)
				flags.PrintDefaults()
			}
			if err := c.run(flags, os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "xlidl %s: %v\n", c.name, err)
				os.Exit(1)
			}
			return
		}
	}
	usage(os.Stderr)
	os.Exit(2)
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage:")
	for _, c := range commands {
		fmt.Fprintf(w, "  xlidl %-9s %-20s %s\n", c.name, c.args, c.does)
	}
}

func runImport(flags *flag.FlagSet, args []string) error {
	out := flags.String("o", "", "write the schema to `FILE` (required)")
	_ = flags.Parse(args) // exits on errors
	if *out == "" || flags.NArg() == 0 {
		flags.Usage()
		os.Exit(2)
	}
	schema, err := idl.Import(flags.Args()...)
	if err != nil {
		return err
	}
	text, err := idl.Encode(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(*out, text, 0o644)
}

func runGenerate(flags *flag.FlagSet, args []string) error {
	check := flags.Bool("check", false, "write nothing, list the stale files")
	dir := flags.String("C", ".", "the module's `DIR`")
	_ = flags.Parse(args) // exits on errors
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	if !*check {
		return idl.WriteAll(*dir)
	}
	stale, err := idl.Stale(*dir)
	if err != nil {
		return err
	}
	for _, name := range stale {
		fmt.Println(name)
	}
	if len(stale) > 0 {
		return fmt.Errorf("%d generated files are stale: run xlidl generate", len(stale))
	}
	return nil
}
