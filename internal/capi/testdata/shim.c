/*
 * What a libxl_ctx needs of a Xen host, answered without one: enough to turn
 * structs to JSON and back, and to wait for what does not come. Preloaded, so that it goes before Xen's libraries:
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

/* Watches never fire. */

extern int *__errno_location(void);
extern int pipe(int fds[2]);

_Bool xs_watch(void *xsh, const char *path, const char *token)
{
    (void)xsh, (void)path, (void)token;
    return 1;
}

_Bool xs_unwatch(void *xsh, const char *path, const char *token)
{
    (void)xsh, (void)path, (void)token;
    return 1;
}

char **xs_check_watch(void *xsh)
{
    (void)xsh;
    *__errno_location() = 11; /* EAGAIN */
    return NULL;
}

int xs_fileno(void *xsh)
{
    static int fds[2] = { -1, -1 };

    (void)xsh;
    if (fds[0] < 0)
        pipe(fds);
    return fds[0];
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
