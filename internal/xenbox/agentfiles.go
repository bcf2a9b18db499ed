//go:build linux

package xenbox

import (
	"archive/tar"
	"bufio"
	"os"
	"strconv"
)

// sendFiles sends the files to fetch as one tar, each below its index.
func (a *agent) sendFiles(report *exitReport) error {
	if len(a.job.Fetch) == 0 {
		return nil
	}
	b := bufio.NewWriterSize(a.out.stream(frameFetch), 32<<10)
	w := tar.NewWriter(b)
	for i, name := range a.job.Fetch {
		if _, err := os.Stat(name); err != nil {
			report.Missing = append(report.Missing, name)
			continue
		}
		if err := addTree(w, strconv.Itoa(i), name); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return b.Flush()
}
