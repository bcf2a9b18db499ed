package xltest

import (
	"errors"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-xenlight/xenlight/libxl"
)

const (
	psrSection   = "PSR"
	flaskSection = "Flask"
	miscSection  = "Miscellaneous behavior"
)

// specialChecks are of what few hosts can do: elsewhere the error is the test.
var specialChecks = []check{
	{psrSection, "monitoring and allotting of caches, or the error that says that the processor cannot do it", checkPsr},
	{flaskSection, "contexts and enforcing, or the error that says that Xen has no Flask", checkFlask},
	{miscSection, "generation IDs are random", checkGenid},
	{miscSection, "the handler of a driver domain's devices runs until its process is ended", checkDeviceEvents},
	{miscSection, "a console is announced to xenconsoled", checkConsoleAnnounced},
	{miscSection, "a console of a domain that is not there, and device tree overlays", checkSpecialErrors},
}

// cannot demands an error that says that the host cannot do it.
func (t *T) cannot(what string, err error) {
	wantError(t, what, err)
	if e := asError(err); e != nil {
		t.Logf("%s: %v", what, err)
	}
}

func checkPsr(t *T) {
	if runtime.GOARCH != "amd64" {
		_, err := t.Host.PsrCmtEnabled()
		wantUnsupported(t, "PsrCmtEnabled", err)
		return
	}
	g := t.create(t.tiny(libxl.DomainTypePvh, ""))
	enabled, err := t.Host.PsrCmtEnabled()
	t.ok(err, "PsrCmtEnabled")
	supported, err := t.Host.PsrCmtTypeSupported(libxl.PsrCmtTypeCacheOccupancy)
	t.ok(err, "PsrCmtTypeSupported")
	equal(t, "PsrCmtTypeSupported", supported, enabled)
	if enabled {
		t.ok(t.Host.PsrCmtAttach(g.Domid), "PsrCmtAttach")
		attached, err := t.Host.PsrCmtDomainAttached(g.Domid)
		t.ok(err, "PsrCmtDomainAttached")
		equal(t, "PsrCmtDomainAttached", attached, true)
		_, err = t.Host.PsrCmtGetL3CacheSize(0)
		t.ok(err, "PsrCmtGetL3CacheSize")
		_, err = t.Host.PsrCmtGetCacheOccupancy(g.Domid, 0)
		t.ok(err, "PsrCmtGetCacheOccupancy")
		_, _, err = t.Host.PsrCmtGetSample(g.Domid, libxl.PsrCmtTypeCacheOccupancy, 0)
		t.ok(err, "PsrCmtGetSample")
		t.ok(t.Host.PsrCmtDetach(g.Domid), "PsrCmtDetach")
	} else {
		t.cannot("PsrCmtAttach", t.Host.PsrCmtAttach(g.Domid))
		t.cannot("PsrCmtDetach", t.Host.PsrCmtDetach(g.Domid))
		attached, err := t.Host.PsrCmtDomainAttached(g.Domid)
		t.ok(err, "PsrCmtDomainAttached")
		equal(t, "PsrCmtDomainAttached", attached, false)
		_, err = t.Host.PsrCmtGetTotalRmid()
		t.cannot("PsrCmtGetTotalRmid", err)
		_, err = t.Host.PsrCmtGetL3CacheSize(0)
		t.cannot("PsrCmtGetL3CacheSize", err)
		_, err = t.Host.PsrCmtGetCacheOccupancy(g.Domid, 0)
		t.cannot("PsrCmtGetCacheOccupancy", err)
		_, _, err = t.Host.PsrCmtGetSample(g.Domid, libxl.PsrCmtTypeCacheOccupancy, 0)
		t.cannot("PsrCmtGetSample", err)
	}

	caches, err := t.Host.PsrCatGetL3Info()
	if err == nil {
		again, err := t.Host.PsrCatGetInfo(3)
		t.ok(err, "PsrCatGetInfo")
		info, err := t.Host.PsrGetHwInfo(libxl.PsrFeatTypeCat, 3)
		t.ok(err, "PsrGetHwInfo")
		if len(caches) == 0 || len(again) != len(caches) || len(info) != len(caches) || info[0].Type != libxl.PsrFeatTypeCat {
			t.Errorf("%+v, %+v, %+v", caches, again, info)
		}
		mask, err := t.Host.PsrCatGetCbm(g.Domid, libxl.PsrCbmTypeL3Cbm, caches[0].Id)
		t.ok(err, "PsrCatGetCbm")
		t.ok(t.Host.PsrCatSetCbm(g.Domid, libxl.PsrCbmTypeL3Cbm, libxl.BitmapOf(int(caches[0].Id)), mask), "PsrCatSetCbm")
	} else {
		t.cannot("PsrCatGetL3Info", err)
		_, err = t.Host.PsrCatGetInfo(2)
		t.cannot("PsrCatGetInfo", err)
		_, err = t.Host.PsrGetHwInfo(libxl.PsrFeatTypeMba, 0)
		t.cannot("PsrGetHwInfo", err)
		_, err = t.Host.PsrCatGetCbm(g.Domid, libxl.PsrCbmTypeL3Cbm, 0)
		t.cannot("PsrCatGetCbm", err)
		t.cannot("PsrCatSetCbm", t.Host.PsrCatSetCbm(g.Domid, libxl.PsrCbmTypeL3Cbm, libxl.BitmapOf(0), 3))
		_, err = t.Host.PsrGetVal(g.Domid, libxl.PsrCbmTypeL2Cbm, 0)
		t.cannot("PsrGetVal", err)
		t.cannot("PsrSetVal", t.Host.PsrSetVal(g.Domid, libxl.PsrCbmTypeL2Cbm, libxl.BitmapOf(0), 3))
	}
	_, err = t.Host.PsrCatGetInfo(7)
	wantField(t, "PsrCatGetInfo of level 7", err, "level")
	_, err = t.Host.PsrGetHwInfo(libxl.PsrFeatTypeCat, 0)
	wantField(t, "PsrGetHwInfo of level 0", err, "level")
	_, err = t.Host.PsrGetHwInfo(77, 3)
	wantField(t, "PsrGetHwInfo of no feature", err, "kind")
}

func checkFlask(t *T) {
	const dom0 = "system_u:system_r:dom0_t"
	enforcing, err := t.Host.FlaskGetenforce()
	if err == nil {
		sid, err := t.Host.FlaskContextToSid(dom0)
		t.ok(err, "FlaskContextToSid")
		context, err := t.Host.FlaskSidToContext(sid)
		t.ok(err, "FlaskSidToContext")
		equal(t, "the context of dom0's number", context, dom0)
		t.ok(t.Host.FlaskSetenforce(enforcing), "FlaskSetenforce")
	} else {
		t.cannotErrno("FlaskGetenforce", err)
		_, err = t.Host.FlaskContextToSid(dom0)
		t.cannotErrno("FlaskContextToSid", err)
		_, err = t.Host.FlaskSidToContext(1)
		t.cannotErrno("FlaskSidToContext", err)
		t.cannotErrno("FlaskSetenforce", t.Host.FlaskSetenforce(false))
	}
	t.cannotErrno("FlaskLoadpolicy of no policy", t.Host.FlaskLoadpolicy([]byte("this is no policy")))
	wantField(t, "FlaskLoadpolicy of nothing", t.Host.FlaskLoadpolicy(nil), "policy")
	_, err = t.Host.FlaskContextToSid("a\x00b")
	wantField(t, "FlaskContextToSid of a context with NUL", err, "context")
}

// cannotErrno is cannot for functions that answer with an errno.
func (t *T) cannotErrno(what string, err error) {
	t.cannot(what, err)
	var errno syscall.Errno
	if !errors.As(err, &errno) || errno == 0 {
		t.Errorf("%s: got %v, want an errno", what, err)
	}
}

func checkGenid(t *T) {
	a, err := t.Host.MsVmGenidGenerate()
	t.ok(err, "MsVmGenidGenerate")
	b, err := t.Host.MsVmGenidGenerate()
	t.ok(err, "MsVmGenidGenerate")
	if a.IsZero() || b.IsZero() || a == b {
		t.Errorf("MsVmGenidGenerate: %v, %v", a, b)
	}
}

func checkDeviceEvents(t *T) {
	cmd := t.instead("devices", 0)
	out, err := cmd.StdoutPipe()
	t.ok(err, "a pipe")
	t.ok(cmd.Start(), cmd.Path)
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	t.ok(err, "what the handler's process says")
	t.ok(cmd.Process.Kill(), "ending the process")
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("the process ended by itself: %v", err)
	}
	equal(t, "what the handler's process says", strings.TrimSpace(string(buf[:n])), handling)
	t.inCopy("libxl_device_events_handler")
}

// handling is what a copy of the program says when it is in
// libxl_device_events_handler.
const handling = "handling"

func checkConsoleAnnounced(t *T) {
	g := t.startTiny(t.plain(), "")
	number := func(key string) uint {
		n, err := strconv.ParseUint(g.key(key), 10, 64)
		t.ok(err, key)
		return uint(n)
	}
	port, ring := number("console/port"), number("console/ring-ref")
	// As if libxl had not done so when it made the domain.
	err := t.Host.ConsoleAddXenstore(t.ctx, g.Domid, 0, uint32(port), ring)
	if t.release() < 18 {
		wantUnsupported(t, "ConsoleAddXenstore", err)
		return
	}
	t.ok(err, "ConsoleAddXenstore")
	equal(t, "console/port", number("console/port"), port)
	equal(t, "console/ring-ref", number("console/ring-ref"), ring)
	equal(t, "console/type", g.key("console/type"), "xenconsoled")
	equal(t, "console/tty, which is xenconsoled's to tell", g.key("console/tty"), "")
	g.count(3)
}

func checkSpecialErrors(t *T) {
	err := t.Host.ConsoleAddXenstore(t.ctx, nobody, 0, 1, 0)
	if t.release() < 18 {
		wantUnsupported(t, "ConsoleAddXenstore", err)
	} else {
		wantError(t, "ConsoleAddXenstore of no domain", err)
	}
	if err := t.Host.DtOverlay(make([]byte, 64), 1); runtime.GOARCH == "amd64" || t.release() < 18 {
		wantUnsupported(t, "DtOverlay", err)
	} else {
		wantCode(t, "DtOverlay of no device tree", err, libxl.ErrorFail)
	}
	if err := t.Host.DtOverlayDomain(0, make([]byte, 64), 1); runtime.GOARCH == "amd64" || t.release() < 19 {
		wantUnsupported(t, "DtOverlayDomain", err)
	} else {
		wantCode(t, "DtOverlayDomain of no device tree", err, libxl.ErrorFail)
	}
	if err := t.Host.DtOverlay(nil, 1); errors.Is(err, libxl.ErrorFail) {
		t.Errorf("DtOverlay of nothing reached libxl: %v", err)
	}
}
