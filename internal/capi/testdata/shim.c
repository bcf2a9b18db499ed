/*
 * What a libxl_ctx needs of a Xen host, answered without one: enough to turn
 * structs to JSON and back. Preloaded, so that it goes before Xen's libraries:
 *
 *     gcc -shared -fPIC -o shim.so shim.c
 */
#include <stddef.h>

static char hypervisor, store;

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags)
{
    (void)logger, (void)dombuild_logger, (void)flags;
    return &hypervisor;
}

int xc_interface_close(void *xch)
{
    (void)xch;
    return 0;
}

void *xs_open(unsigned long flags)
{
    (void)flags;
    return &store;
}

void xs_close(void *xsh)
{
    (void)xsh;
}

/* Xen 4.14 uses the older names. */

void *xs_daemon_open(void)
{
    return &store;
}

void *xs_domain_open(void)
{
    return &store;
}

void xs_daemon_close(void *xsh)
{
    (void)xsh;
}
