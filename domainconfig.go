package xenlight

import (
	"strings"

	"github.com/go-xenlight/xenlight/internal/capi"
	"github.com/go-xenlight/xenlight/libxl"
)

// UserdataStore keeps data with a domain in place of what was kept under that
// name: a file in dom0 that is deleted when the domain is destroyed. The name is
// that of the program whose data it is; libxl-json and domain-userdata-lock are
// libxl's own. Data cannot be empty: [Host.UserdataUnlink] removes it.
//
// libxl.ErrorLockFail means that there is no such domain. It calls
// libxl_userdata_store, which waits for the lock on the domain's data.
func (h *Host) UserdataStore(domid libxl.Domid, userid string, data []byte) error {
	f := h.beginDomain(capi.FnUserdataStore, domid)
	name := f.userid(userid)
	if len(data) == 0 {
		f.refuse("data", "is empty")
	}
	bytes, n := f.bytes(string(data)), f.integer("data", len(data))
	return f.call(func(c capi.Ctx) int32 { return h.lib.UserdataStore(c, uint32(domid), name, bytes, n) })
}

// UserdataRetrieve returns what [Host.UserdataStore] has kept under a name, nil
// if there is nothing. libxl.ErrorLockFail means that there is no such domain. It
// calls libxl_userdata_retrieve, which waits for the lock on the domain's data.
func (h *Host) UserdataRetrieve(domid libxl.Domid, userid string) (data []byte, err error) {
	f := h.beginDomain(capi.FnUserdataRetrieve, domid)
	name := f.userid(userid)
	err = f.call(func(c capi.Ctx) int32 { return f.retrieve(c, name, &data) })
	return data, err
}

// retrieve reads what is kept with the domain under a name.
func (f *frame) retrieve(c capi.Ctx, name capi.Ptr, data *[]byte) int32 {
	var p capi.Ptr
	var n int32
	rc := f.h.lib.UserdataRetrieve(c, uint32(*f.domid), name, &p, &n)
	*data = f.h.lib.TakeBytes(p, n)
	return rc
}

// UserdataUnlink removes what [Host.UserdataStore] has kept under a name;
// libxl.ErrorFail if there is nothing, libxl.ErrorLockFail if there is no such
// domain. It calls libxl_userdata_unlink, which waits for the lock on the
// domain's data.
func (h *Host) UserdataUnlink(domid libxl.Domid, userid string) error {
	f := h.beginDomain(capi.FnUserdataUnlink, domid)
	name := f.userid(userid)
	return f.call(func(c capi.Ctx) int32 { return h.lib.UserdataUnlink(c, uint32(domid), name) })
}

// userid is the name of userdata, which becomes part of a file's.
func (f *frame) userid(s string) capi.Ptr {
	if s == "" || strings.Contains(s, "/") {
		f.refuse("userid", "%q cannot be part of a file's name", s)
	}
	return f.str("userid", s)
}
