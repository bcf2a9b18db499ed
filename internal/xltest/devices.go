package xltest

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"strconv"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

// deviceChecks are of the devices whose functions are alike. Dom0 has drivers
// for none of them: the check plays them.
var deviceChecks = []check{
	{"Devices: VKB", "keyboards come and go", vkbs.check},
	{"Devices: VTPM", "TPMs come and go", vtpms.check},
	{"Devices: VDISPL", "displays come and go", vdispls.check},
	{"Devices: VSND", "sound cards come and go", vsnds.check},
	{"Devices: VFB", "framebuffers come and go", vfbs.check},
	{"Devices: 9P", "9P filesystems come and go", p9s.check},
	{"Devices: PVCALLS", "interfaces for PV calls leave", checkPvcalls},
	{"Xenstore quotas", "quotas are told and set, or are not of this release", checkQuotas},
}

type (
	// change is a function that changes a domain's device.
	change[D any] func(*xenlight.Host, context.Context, libxl.Domid, *D) error

	// family is what is to be known of a sort of device. D describes one, and I is
	// what getinfo tells.
	family[D, I any] struct {
		front, back string // names in xenstore
		describe    func(*T) *D
		keys        map[string]string // what the guest finds in xenstore

		add, remove, destroy change[D]

		list    func(*xenlight.Host, libxl.Domid) ([]D, error)
		getinfo func(*xenlight.Host, libxl.Domid, *D) (I, error)
		find    func(*xenlight.Host, libxl.Domid, int) (D, error)

		same      func(t *T, listed, added D) // compares what libxl reads back
		overwrite bool                        // add puts a device where one is
		since     int                         // the release that has add
	}

	// noInfo is of families without getinfo.
	noInfo struct{}
)

var vkbs = family[libxl.DeviceVkb, libxl.Vkbinfo]{
	front: "vkbd", back: "vinput", overwrite: true,
	describe: func(_ *T) *libxl.DeviceVkb {
		d := libxl.NewDeviceVkb()
		d.BackendType, d.UniqueId, d.FeatureAbsPointer, d.Width, d.Height = libxl.VkbBackendLinux, "xltest", true, 640, 480
		return d
	},
	add: (*xenlight.Host).DeviceVkbAdd, remove: (*xenlight.Host).DeviceVkbRemove, destroy: (*xenlight.Host).DeviceVkbDestroy,
	list: (*xenlight.Host).DeviceVkbList, getinfo: (*xenlight.Host).DeviceVkbGetinfo, find: (*xenlight.Host).DevidToDeviceVkb,
	same: func(t *T, listed, added libxl.DeviceVkb) { equal(t, "the keyboard", listed, added) },
}

var vtpms = family[libxl.DeviceVtpm, libxl.Vtpminfo]{
	front: "vtpm", back: "vtpm", keys: map[string]string{"handle": "0"},
	describe: func(_ *T) *libxl.DeviceVtpm {
		d := libxl.NewDeviceVtpm()
		d.Uuid = libxl.NewUuid()
		return d
	},
	add: (*xenlight.Host).DeviceVtpmAdd, remove: (*xenlight.Host).DeviceVtpmRemove, destroy: (*xenlight.Host).DeviceVtpmDestroy,
	list: (*xenlight.Host).DeviceVtpmList, getinfo: (*xenlight.Host).DeviceVtpmGetinfo,
	find: func(h *xenlight.Host, domid libxl.Domid, devid int) (libxl.DeviceVtpm, error) {
		d, err := h.DevidToDeviceVtpm(domid, devid)
		if err != nil {
			return d, err
		}
		again, err := h.UuidToDeviceVtpm(domid, d.Uuid)
		if err == nil && again.Devid != d.Devid {
			err = errors.New("it is another by its UUID")
		}
		return again, err
	},
	same: func(t *T, listed, added libxl.DeviceVtpm) { equal(t, "Uuid", listed.Uuid, added.Uuid) },
}

var vdispls = family[libxl.DeviceVdispl, libxl.Vdisplinfo]{
	front: "vdispl", back: "vdispl",
	keys: map[string]string{"be-alloc": "1", "0/unique-id": "left", "0/resolution": "640x480", "1/unique-id": "right", "1/resolution": "800x600"},
	describe: func(_ *T) *libxl.DeviceVdispl {
		d := libxl.NewDeviceVdispl()
		d.BeAlloc = true
		d.Connectors = []libxl.ConnectorParam{{UniqueId: "left", Width: 640, Height: 480}, {UniqueId: "right", Width: 800, Height: 600}}
		return d
	},
	add: (*xenlight.Host).DeviceVdisplAdd, remove: (*xenlight.Host).DeviceVdisplRemove, destroy: (*xenlight.Host).DeviceVdisplDestroy,
	list: (*xenlight.Host).DeviceVdisplList, find: (*xenlight.Host).DevidToDeviceVdispl,
	getinfo: func(h *xenlight.Host, domid libxl.Domid, d *libxl.DeviceVdispl) (libxl.Vdisplinfo, error) {
		info, err := h.DeviceVdisplGetinfo(domid, d)
		if err == nil && (!info.BeAlloc || len(info.Connectors) != 2 || info.Connectors[1].UniqueId != "right" || info.Connectors[1].Width != 800) {
			err = errors.New("not what was added")
		}
		return info, err
	},
}

var vsnds = family[libxl.DeviceVsnd, libxl.Vsndinfo]{
	front: "vsnd", back: "vsnd",
	keys: map[string]string{"short-name": "xltest", "sample-rates": "8000,48000", "channels-max": "2", "0/name": "pcm", "0/0/unique-id": "out", "0/0/type": "p"},
	describe: func(_ *T) *libxl.DeviceVsnd {
		d := libxl.NewDeviceVsnd()
		d.ShortName, d.LongName = "xltest", "a card of xltest"
		d.Params = libxl.VsndParams{SampleRates: []uint32{8000, 48000}, SampleFormats: []libxl.VsndPcmFormat{libxl.VsndPcmFormatS16Le}, ChannelsMin: 1, ChannelsMax: 2}
		d.Pcms = []libxl.VsndPcm{{Name: "pcm", Streams: []libxl.VsndStream{{UniqueId: "out", Type: libxl.VsndStreamTypeP}}}}
		return d
	},
	add: (*xenlight.Host).DeviceVsndAdd, remove: (*xenlight.Host).DeviceVsndRemove, destroy: (*xenlight.Host).DeviceVsndDestroy,
	list: (*xenlight.Host).DeviceVsndList, getinfo: (*xenlight.Host).DeviceVsndGetinfo, find: (*xenlight.Host).DevidToDeviceVsnd,
	same: func(t *T, listed, added libxl.DeviceVsnd) {
		equal(t, "ShortName", listed.ShortName, added.ShortName)
		equal(t, "number of streams", len(listed.Pcms[0].Streams), 1)
		equal(t, "the highest rate", listed.Params.SampleRates[1], 48000)
	},
}

var vfbs = family[libxl.DeviceVfb, noInfo]{
	front: "vfb", back: "vfb", overwrite: true,
	describe: func(_ *T) *libxl.DeviceVfb { return libxl.NewDeviceVfb() },
	add:      (*xenlight.Host).DeviceVfbAdd, remove: (*xenlight.Host).DeviceVfbRemove, destroy: (*xenlight.Host).DeviceVfbDestroy,
}

var p9s = family[libxl.DeviceP9, noInfo]{
	front: "9pfs", back: "xen_9pfs", keys: map[string]string{"tag": "share"}, since: 19,
	describe: func(t *T) *libxl.DeviceP9 {
		d := libxl.NewDeviceP9()
		d.Tag, d.Path, d.SecurityModel = "share", "/tmp", "none"
		if t.release() >= 19 {
			// libxl would start the daemon if it were not there.
			d.Type = libxl.P9TypeXen9Pfsd
			const daemon = "/local/domain/0/libxl/xen-9pfs"
			x := t.xenbus()
			if _, err := x.Read(daemon + "/state"); err != nil {
				t.ok(x.Write(daemon+"/state", "running"), daemon)
				t.Cleanup(func() { t.ok(x.Remove(daemon), daemon) })
			}
		}
		return d
	},
	add: (*xenlight.Host).Device9PfsAdd, remove: (*xenlight.Host).DeviceP9Remove, destroy: (*xenlight.Host).DeviceP9Destroy,
}

// field is a field that all devices, or all infos, have.
func field(x any, name string) reflect.Value {
	return reflect.Indirect(reflect.ValueOf(x)).FieldByName(name)
}

func devid(x any) int { return int(field(x, "Devid").Int()) }

func (f family[D, I]) check(t *T) {
	g := t.still()
	f.refused(t, g)
	if t.release() < f.since {
		wantUnsupported(t, "add", f.add(t.Host, t.ctx, g.Domid, f.describe(t)))
		for what, leave := range map[string]change[D]{"remove": f.remove, "destroy": f.destroy} {
			none := f.describe(t)
			field(none, "Devid").SetInt(0)
			t.ok(leave(t.Host, t.ctx, g.Domid, none), what+" of one that is not there")
		}
		return
	}
	g.playBackend(f.back)
	for what, leave := range map[string]change[D]{"remove": f.remove, "destroy": f.destroy} {
		before := xenstoreKeys(t)
		d := f.describe(t)
		t.ok(f.add(t.Host, t.ctx, g.Domid, d), "add")
		f.there(t, g, d)
		if !f.overwrite {
			wantCode(t, "add of one that is there", f.add(t.Host, t.ctx, g.Domid, d), libxl.ErrorDeviceExists)
		}
		t.ok(leave(t.Host, t.ctx, g.Domid, d), what)
		if f.list != nil {
			all, err := f.list(t.Host, g.Domid)
			t.ok(err, "list")
			equal(t, "number of devices after "+what, len(all), 0)
		}
		for _, line := range differ("xenstore", before, listXenstore()) {
			t.Errorf("after %s: %s", what, line)
		}
	}
}

// there demands that a device is where the guest and libxl look for it.
func (f family[D, I]) there(t *T, g *guest, d *D) {
	front, back := g.frontendPath(f.front, devid(d)), g.backendPath(f.back, devid(d))
	want := map[string]string{"backend": back, "backend-id": "0", "state": "1"}
	maps.Copy(want, f.keys)
	x := t.xenbus()
	for key, value := range want {
		got, _ := x.Read(front + "/" + key)
		equal(t, front+"/"+key, got, value)
	}
	if f.list == nil {
		return
	}
	all, err := f.list(t.Host, g.Domid)
	t.ok(err, "list")
	if len(all) != 1 || devid(all[0]) != devid(d) {
		t.Fatalf("list: %+v, want one with the number %d", all, devid(d))
	}
	found, err := f.find(t.Host, g.Domid, devid(d))
	t.ok(err, "find by number")
	equal(t, "the number of the one found", devid(found), devid(d))
	if f.same != nil {
		f.same(t, all[0], *d)
		f.same(t, found, *d)
	}
	info, err := f.getinfo(t.Host, g.Domid, d)
	t.ok(err, "getinfo")
	equal(t, "Backend", field(info, "Backend").String(), back)
	equal(t, "Frontend", field(info, "Frontend").String(), front)
	equal(t, "FrontendId", field(info, "FrontendId").Uint(), uint64(g.Domid))
	equal(t, "State (initialising)", field(info, "State").Int(), 1)
	equal(t, "Devid", devid(info), devid(d))
}

// refused tries what no function of the family takes.
func (f family[D, I]) refused(t *T, g *guest) {
	nul := f.describe(t)
	field(nul, "BackendDomname").SetString("a\x00b")
	for what, change := range map[string]change[D]{"add": f.add, "remove": f.remove, "destroy": f.destroy} {
		if what == "add" && t.release() < f.since {
			continue
		}
		wantError(t, what+" of nothing", change(t.Host, t.ctx, g.Domid, nil))
		wantField(t, what+" with NUL in the backend's name", change(t.Host, t.ctx, g.Domid, nul), "BackendDomname")
		wantError(t, what+" in no domain", change(t.Host, t.ctx, nobody, f.describe(t)))
	}
	if f.list == nil {
		return
	}
	_, err := f.list(t.Host, nobody)
	wantError(t, "list of no domain", err)
	none := f.describe(t)
	field(none, "Devid").SetInt(7)
	_, err = f.getinfo(t.Host, g.Domid, none)
	wantError(t, "getinfo of one that is not there", err)
	_, err = f.find(t.Host, g.Domid, 7)
	wantError(t, "finding one that is not there", err)
}

func checkPvcalls(t *T) {
	c := t.tiny(libxl.DomainTypePvh, "")
	c.Pvcallsifs = []libxl.DevicePvcallsif{*libxl.NewDevicePvcallsif(), *libxl.NewDevicePvcallsif()}
	g := t.create(c)
	g.playBackend("pvcalls")
	for i, leave := range []change[libxl.DevicePvcallsif]{(*xenlight.Host).DevicePvcallsifRemove, (*xenlight.Host).DevicePvcallsifDestroy} {
		key := g.frontendPath("pvcalls", i) + "/backend"
		got, _ := xenstoreRead(key)
		equal(t, key, got, g.backendPath("pvcalls", i))
		d := libxl.NewDevicePvcallsif()
		d.Devid = libxl.Devid(i)
		t.ok(leave(t.Host, t.ctx, g.Domid, d), "leaving of interface "+strconv.Itoa(i))
		if _, ok := xenstoreRead(key); ok {
			t.Errorf("%s is still there", key)
		}
		wantError(t, "an interface of no domain", leave(t.Host, t.ctx, nobody, d))
		wantError(t, "no interface", leave(t.Host, t.ctx, g.Domid, nil))
	}
}

func checkQuotas(t *T) {
	global, err := t.Host.XsQuotaGlobalGet()
	if t.release() < 22 {
		wantUnsupported(t, "XsQuotaGlobalGet", err)
		wantUnsupported(t, "XsQuotaGlobalSet", t.Host.XsQuotaGlobalSet(&global))
		_, err = t.Host.XsQuotaDomainGet(0)
		wantUnsupported(t, "XsQuotaDomainGet", err)
		wantUnsupported(t, "XsQuotaDomainSet", t.Host.XsQuotaDomainSet(0, &global))
		return
	}
	t.ok(err, "XsQuotaGlobalGet")
	t.ok(t.Host.XsQuotaGlobalSet(&global), "XsQuotaGlobalSet of what it was")
	g := t.still()
	quotas, err := t.Host.XsQuotaDomainGet(g.Domid)
	t.ok(err, "XsQuotaDomainGet")
	t.ok(t.Host.XsQuotaDomainSet(g.Domid, &quotas), "XsQuotaDomainSet of what it was")
	_, err = t.Host.XsQuotaDomainGet(nobody)
	wantError(t, "XsQuotaDomainGet of no domain", err)
}
