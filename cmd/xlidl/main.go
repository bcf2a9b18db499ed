// Xlidl is the compiler of libxl's interface description.
//
//	xlidl import [-o FILE] FILE|DIR|CLONE...
//
// merges the libxl_types.idl of several releases into one schema, which is
// idl/libxl.json unless -o says otherwise. The releases are .idl files named
// after them (4.17.idl), folders of such, or those that have a tag in a clone
// of Xen's repository. It stops if a release has not only added things. A new
// release is taken in by
//
//	xlidl import idl/libxl.json CLONE && xlidl generate
//
// where CLONE may as well be 4.23.idl.
//
//	xlidl generate [-check]
//
// writes all generated files of the module from libxl.json, functions.idl and
// docs.json in its folder idl; with -check it only lists those that are stale
// and exits with status 1 if there are any.
//
//	xlidl show TYPE...
//
// describes types, named as in the IDL, in C or in Go: their members or values,
// what they are in C and in Go, since when, with which defaults.
//
//	xlidl functions [-format csv|table]
//
// lists all public functions of libxl's headers, one in a line: its header, its
// section, what users of package xenlight call (go), the release that has it
// first, whether it takes an ao_how, its status, and the reason of the last
// three of these: bound (users can call it), internal (the library itself calls
// it), replaced (by what go names, which does without it), excluded.
//
//	xlidl coverage [-names FILE] REPORT...
//
// counts which operations of libxl.h were called, and have succeeded, in the runs
// of xltest -json that the reports are of. Operations are all of its functions
// but those that make, copy and free values. With -names it also counts the
// functions that a CSV file names.
//
//	xlidl diff [-arch ARCH] 4.17 4.18
//
// tells what a release has added and changed, down to the C layouts.
//
//	xlidl layout [-release RELEASE] [-arch ARCH] [-format csv|json|table|c] [TYPE...]
//
// lists the size of every type and the offset and the size of every member, as
// the binding takes them to be. As csv it has the header type,field,offset,size;
// for a whole type the field is empty and the offset 0. The members of structs
// and unions without a name follow with dotted paths (u.hvm.firmware, and
// before it u and u.hvm themselves); those of a struct that has a name are
// listed with that struct only. The key of a union and the length of an array
// are members, too. The format c is a file of static assertions, which a C
// compiler accepts only with the headers of that very release.
//
// All of them find the module from the current folder, or by -C DIR.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/go-xenlight/xenlight/internal/idl"
)

type command struct {
	name, args, does string
	// setup declares the flags and returns what to do when they are parsed.
	setup func(flags *flag.FlagSet) func(w io.Writer) error
}

var commands = []command{
	{"import", "[-o FILE] FILE|DIR|CLONE...", "merge the interfaces of several releases into one schema", setupImport},
	{"generate", "[-check]", "write the generated files from the folder idl", setupGenerate},
	{"show", "TYPE...", "describe types, in C and in Go", setupShow},
	{"functions", "[-format FORMAT]", "list the C functions, and what becomes of them in Go", setupFunctions},
	{"coverage", "[-names FILE] REPORT...", "count the functions that xltest has called", setupCoverage},
}

// errUsage asks for the usage text.
var errUsage = errors.New("wrong arguments")

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return 0
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "xlidl: there is no command %q\n", args[0])
	usage(stderr)
	return 2
}

func (c *command) run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: xlidl %s %s\n%s\n", c.name, c.args, c.does)
		flags.PrintDefaults()
	}
	do := c.setup(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	switch err := do(stdout); {
	case errors.Is(err, errUsage):
		flags.Usage()
		return 2
	case err != nil:
		fmt.Fprintf(stderr, "xlidl %s: %v\n", c.name, err)
		return 1
	}
	return 0
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "Xlidl is the compiler of libxl's interface description.\n\nusage:")
	for _, c := range commands {
		fmt.Fprintf(w, "  xlidl %-8s %s\n        %s\n", c.name, c.args, c.does)
	}
	fmt.Fprintln(w, "\nxlidl COMMAND -help lists the options of a command.")
}

// module declares the option -C and returns what finds the module's folder.
func module(flags *flag.FlagSet) func() (string, error) {
	dir := flags.String("C", ".", "a `DIR` in the module")
	return func() (string, error) { return idl.FindModule(*dir) }
}

// loader is module for those who want the interface that is in it.
func loader(flags *flag.FlagSet) func() (*idl.Interface, error) {
	find := module(flags)
	return func() (*idl.Interface, error) {
		dir, err := find()
		if err != nil {
			return nil, err
		}
		return idl.LoadInterface(dir)
	}
}

func setupImport(flags *flag.FlagSet) func(io.Writer) error {
	out := flags.String("o", "", "write the schema to `FILE` (default idl/libxl.json of the module)")
	find := module(flags)
	return func(io.Writer) error {
		if flags.NArg() == 0 {
			return errUsage
		}
		schema, err := idl.Import(flags.Args()...)
		if err != nil {
			return err
		}
		text, err := idl.Encode(schema)
		if err != nil {
			return err
		}
		name := *out
		if name == "" {
			dir, err := find()
			if err != nil {
				return err
			}
			name = idl.SchemaFile(dir)
		}
		return os.WriteFile(name, text, 0o644)
	}
}

func setupGenerate(flags *flag.FlagSet) func(io.Writer) error {
	check := flags.Bool("check", false, "write nothing, list the stale files")
	find := module(flags)
	return func(w io.Writer) error {
		if flags.NArg() > 0 {
			return errUsage
		}
		dir, err := find()
		if err != nil {
			return err
		}
		if !*check {
			return idl.WriteAll(dir)
		}
		stale, err := idl.Stale(dir)
		if err != nil {
			return err
		}
		for _, name := range stale {
			fmt.Fprintln(w, name)
		}
		if len(stale) > 0 {
			return fmt.Errorf("%d generated files are stale: run xlidl generate", len(stale))
		}
		return nil
	}
}

func setupFunctions(flags *flag.FlagSet) func(io.Writer) error {
	format := flags.String("format", "table", "`FORMAT`: csv or table")
	load := loader(flags)
	return func(w io.Writer) error {
		if flags.NArg() > 0 {
			return errUsage
		}
		i, err := load()
		if err != nil {
			return err
		}
		b := bufio.NewWriter(w)
		if err := i.WriteFunctions(b, *format); err != nil {
			return err
		}
		return b.Flush()
	}
}

func setupShow(flags *flag.FlagSet) func(io.Writer) error {
	load := loader(flags)
	return func(w io.Writer) error {
		if flags.NArg() == 0 {
			return errUsage
		}
		i, err := load()
		if err != nil {
			return err
		}
		for n, name := range flags.Args() {
			if n > 0 {
				fmt.Fprintln(w)
			}
			if err := i.Show(w, name); err != nil {
				return err
			}
		}
		return nil
	}
}
