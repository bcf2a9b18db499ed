package loop

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// Record is one line that libxl has logged.
type Record struct {
	Level  slog.Level
	Source string // file, line and function, if the line names them
	Domid  *libxl.Domid
	Text   string
	seq    uint64
	step   *Progress // it tells of this
}

// Progress is how far something that lasts has come.
type Progress struct {
	What        string // "Saving memory: iter 0 ..."
	Done, Total uint64
	Percent     int
}

const (
	keepRecords = 8192 // warnings and errors kept to explain failures: some for each of a thousand operations
	maxQueue    = 4096 // lines on their way to the slog handler
)

// logPipe is the way of libxl's log lines: libxl's own logger in C writes them
// to a pipe (its forked children too), one goroutine reads them, and another one
// gives them to the slog handler, which may be slow without holding up libxl.
type logPipe struct {
	logger  capi.Logger
	destroy func()
	read    *os.File
	writeFd int
	out     *slog.Logger
	step    func(Progress) // may be nil
	nonce   string         // in the marks, so that no line of libxl's is taken for one

	readDone chan struct{}

	mu      sync.Mutex
	changed *sync.Cond
	seq     uint64
	last    Record
	recent  []Record // warnings and errors, oldest first
	queue   []Record
	dropped int
	marks   uint64 // written
	passed  uint64 // read back
	ended   bool
}

func newLogPipe(lib *capi.Lib, out *slog.Logger, step func(Progress)) (*logPipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, fmt.Errorf("pipe: %w", err)
	}
	p := &logPipe{
		read: os.NewFile(uintptr(fds[0]), "libxl log"), writeFd: fds[1], out: out, step: step,
		nonce: rand.Text(), readDone: make(chan struct{}),
	}
	p.changed = sync.NewCond(&p.mu)
	level := capi.LevelWarn
	switch ctx := context.Background(); {
	case out.Enabled(ctx, slog.LevelDebug):
		level = capi.LevelDebug
	case out.Enabled(ctx, slog.LevelInfo):
		level = capi.LevelInfo
	}
	if step != nil {
		level = min(level, capi.LevelProgress)
	}
	var err error
	if p.logger, p.destroy, err = lib.NewLogger(fds[1], level); err != nil {
		p.read.Close()
		return nil, err
	}
	go p.readLines()
	go p.deliver()
	return p, nil
}

func (p *logPipe) readLines() {
	defer close(p.readDone)
	r := bufio.NewReader(p.read)
	for {
		line, err := r.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			p.add(line)
		}
		if err != nil {
			p.mu.Lock()
			p.ended = true
			p.changed.Broadcast()
			p.mu.Unlock()
			return
		}
	}
}

func (p *logPipe) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changed.Broadcast()
	if line, mark, ok := strings.Cut(line, p.nonce); ok {
		if n, err := strconv.ParseUint(mark, 10, 64); err == nil {
			p.passed = max(p.passed, n)
		}
		if line == "" {
			return
		}
	}
	for _, rec := range parseLine(line, p.last) {
		p.last = rec
		p.seq++
		rec.seq = p.seq
		if rec.Level >= slog.LevelWarn {
			if len(p.recent) == keepRecords {
				p.recent = slices.Delete(p.recent, 0, keepRecords/2)
			}
			p.recent = append(p.recent, rec)
		}
		if len(p.queue) < maxQueue {
			p.queue = append(p.queue, rec)
		} else {
			p.dropped++
		}
	}
}

func (p *logPipe) deliver() {
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.ended {
			p.changed.Wait()
		}
		queue, dropped, ended := p.queue, p.dropped, p.ended
		p.queue, p.dropped = nil, 0
		p.mu.Unlock()
		for _, rec := range queue {
			switch {
			case rec.step == nil:
				rec.log(p.out)
			case p.step != nil:
				p.step(*rec.step)
			}
		}
		if dropped > 0 {
			p.out.Warn("libxl log lines dropped, the handler is too slow", "lines", dropped)
		}
		if ended && len(queue) == 0 {
			return
		}
	}
}

func (rec *Record) log(out *slog.Logger) {
	var attrs []slog.Attr
	if rec.Domid != nil {
		attrs = append(attrs, slog.Uint64("domid", uint64(*rec.Domid)))
	}
	if rec.Source != "" {
		attrs = append(attrs, slog.String("libxl", rec.Source))
	}
	out.LogAttrs(context.Background(), rec.Level, rec.Text, attrs...)
}

// sync returns when all that libxl has logged by now has been read.
func (p *logPipe) sync() {
	p.mu.Lock()
	p.marks++
	mark := p.marks
	p.mu.Unlock()
	if _, err := unix.Write(p.writeFd, fmt.Appendf(nil, "%s%d\n", p.nonce, mark)); err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.passed < mark && !p.ended {
		p.changed.Wait()
	}
}

func (p *logPipe) mark() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq
}

func (p *logPipe) since(mark uint64, domid *libxl.Domid) []Record {
	p.sync()
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Record
	first, _ := slices.BinarySearchFunc(p.recent, mark+1, func(rec Record, seq uint64) int { return cmp.Compare(rec.seq, seq) })
	for _, rec := range p.recent[first:] {
		if domid == nil || rec.Domid == nil || *rec.Domid == *domid {
			out = append(out, rec)
		}
	}
	return out
}

// close frees what is C's. Lines on their way to the handler still arrive, but
// nobody waits for them: the handler may be the one who closes.
func (p *logPipe) close() {
	p.sync()
	p.destroy()
	p.read.Close()
	<-p.readDone
}

// message finds the beginning of a message of libxl's stdio logger: which of Xen's
// libraries it is of, and the level.
var message = regexp.MustCompile(`(libxl|libxlu|domainbuilder|xencall(?::buffer)?|xendevicemodel|xenforeignmemory|xenhypfs|xenevtchn|gnttab|gntshr|\bxc|\bxs|\bxl): (debug|verbose|detail|progress|info|notice|warning|error|critical): `)

// parseLine takes a line of libxl's stdio logger apart:
//
//	libxl: error: libxl_dom.c:40:libxl__domain_type: Domain 7:unable to get domain type
//
// The logger writes a message in several pieces, so that messages of several
// threads can get mixed on one line: then there is more than one record, and
// what cannot be read is kept as it is. A line without a beginning goes on with
// the message of the last one.
func parseLine(line string, last Record) (records []Record) {
	at := message.FindAllStringSubmatchIndex(line, -1)
	if len(at) == 0 || at[0][0] > 0 {
		end := len(line)
		if len(at) > 0 {
			end = at[0][0]
		}
		rec := Record{Level: last.Level, Domid: last.Domid, Text: line[:end]}
		if strings.Contains(rec.Text, "error: ") || strings.Contains(rec.Text, "critical: ") {
			rec = Record{Level: slog.LevelError, Text: rec.Text}
		}
		records = append(records, rec)
	}
	for i, m := range at {
		end := len(line)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		records = append(records, parseMessage(line[m[2]:m[3]], line[m[4]:m[5]], line[m[1]:end]))
	}
	return records
}

func parseMessage(component, level, text string) Record {
	rec := Record{Level: levels[level], Text: text}
	if level == "progress" || level == "detail" {
		rec.step = parseProgress(text)
	}
	if component != "libxl" {
		rec.Text = component + ": " + text
	}
	if source, text, ok := strings.Cut(text, ": "); ok && strings.Count(source, ":") == 2 && !strings.Contains(source, " ") {
		rec.Source, rec.Text = source, text
	}
	if s, ok := strings.CutPrefix(rec.Text, "Domain "); ok {
		number, text, ok := strings.Cut(s, ":")
		if n, err := strconv.ParseUint(number, 10, 32); ok && err == nil {
			domid := libxl.Domid(n)
			rec.Domid, rec.Text = &domid, text
		}
	}
	return rec
}

// progress is libxl's way to write Progress.
var progress = regexp.MustCompile(`^(.*): (\d+)/(\d+) +(-?\d+)%$`)

func parseProgress(text string) *Progress {
	m := progress.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	p := Progress{What: m[1]}
	p.Done, _ = strconv.ParseUint(m[2], 10, 64)
	p.Total, _ = strconv.ParseUint(m[3], 10, 64)
	p.Percent, _ = strconv.Atoi(m[4])
	return &p
}

// levels maps xentoollog's names of levels to slog's.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "verbose": slog.LevelDebug, "detail": slog.LevelDebug, "progress": slog.LevelDebug,
	"info": slog.LevelInfo, "notice": slog.LevelInfo,
	"warning": slog.LevelWarn, "error": slog.LevelError, "critical": slog.LevelError,
}
