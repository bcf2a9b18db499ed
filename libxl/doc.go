// Package libxl has libxl's types as plain Go: structs, enumerations and the
// builtin types (UUIDs, MAC addresses, bitmaps ...), generated from libxl's own
// interface description. It needs neither Xen nor C and builds on any system.
//
// Names follow libxl's: the struct libxl_domain_build_info is DomainBuildInfo,
// its member max_memkb is MaxMemkb, and LIBXL_DOMAIN_TYPE_PVH is DomainTypePvh.
// A union is an interface that holds a pointer to one of a few structs; the
// field before it, the key, says which.
//
// The types have what the newest release has. What "since Xen 4.xx" marks needs
// at least that release; what has no such mark exists since 4.14.
//
// The zero value of a struct is not its default: many fields of libxl have
// defaults other than zero. Begin with New, as in
//
//	cfg := libxl.NewDomainConfig()
//	cfg.BInfo.Type = libxl.DomainTypePvh
//	cfg.Disks = append(cfg.Disks, *libxl.NewDeviceDisk())
package libxl
