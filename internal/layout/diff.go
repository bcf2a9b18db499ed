package layout

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/go-xenlight/xenlight/internal/abi"
)

// Diff writes how the layouts of the types that both releases have differ:
// sizes, members that came, and members that moved, those which moved together
// in one line. It tells whether there was anything.
func Diff(w io.Writer, from, to abi.Release, arch abi.Arch) (bool, error) {
	old, err := abi.Describe(from, arch)
	if err != nil {
		return false, err
	}
	now, err := abi.Describe(to, arch)
	if err != nil {
		return false, err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	any := false
	for _, typ := range now {
		at := slices.IndexFunc(old, func(o abi.CType) bool { return o.Name == typ.Name })
		if at < 0 {
			continue
		}
		was := old[at]
		lines := changes(was, typ)
		if len(lines) == 0 && was.Size == typ.Size {
			continue
		}
		if !any {
			fmt.Fprintf(t, "Changed layouts on %s\n", arch)
		}
		any = true
		fmt.Fprintf(t, "  %s\t%s\n", typ.Name, arrow(was.Size, typ.Size, " bytes"))
		for _, line := range lines {
			fmt.Fprintf(t, "    %s\n", line)
		}
	}
	return any, t.Flush()
}

func arrow(was, is uint32, unit string) string {
	if was == is {
		return fmt.Sprintf("%d%s as before", is, unit)
	}
	return fmt.Sprintf("%d, was %d%s", is, was, unit)
}

// changes lists what happened to the members of a type.
func changes(was, is abi.CType) []string {
	old := make(map[string]abi.CMember)
	for _, m := range was.Members {
		old[m.Path] = m
	}
	var lines []string
	var run []abi.CMember // members that moved equally far
	var moved int64
	flush := func() {
		if len(run) > 0 {
			name := run[0].Path
			if len(run) > 1 {
				name += fmt.Sprintf(" to %s (%d members)", run[len(run)-1].Path, len(run))
			}
			lines = append(lines, fmt.Sprintf("%s\tmoved by %+d", name, moved))
		}
		run, moved = nil, 0
	}
	for _, m := range is.Members {
		o, ok := old[m.Path]
		if !ok {
			flush()
			lines = append(lines, fmt.Sprintf("%s\tnew at %d, %d bytes", m.Path, m.Off, m.Size))
			continue
		}
		by := int64(m.Off) - int64(o.Off)
		if by != moved || m.Size != o.Size {
			flush()
		}
		switch {
		case m.Size != o.Size && by != 0:
			lines = append(lines, fmt.Sprintf("%s\tmoved by %+d, %s", m.Path, by, arrow(o.Size, m.Size, " bytes")))
		case m.Size != o.Size:
			lines = append(lines, fmt.Sprintf("%s\t%s", m.Path, arrow(o.Size, m.Size, " bytes")))
		case by != 0:
			moved = by
			run = append(run, m)
		}
	}
	flush()
	return lines
}
