/*
 * What a libxl_ctx needs of a Xen host, answered without one: enough to turn
 * structs to JSON and back, and to wait for what does not come. Preloaded, so that it goes before Xen's libraries:
 *
 *     gcc -shared -fPIC -o shim.so shim.c
 */
#include <stddef.h>

/* Libc's, without its headers: this is compiled for other machines too. */
extern void *malloc(size_t size);
extern void free(void *p);
extern int pipe2(int fds[2], int flags);
extern int close(int fd);
extern int *__errno_location(void);

#define O_CLOEXEC 02000000
#define EAGAIN 11

static char hypervisor;

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

/* A connection to xenstore is a pipe that nobody writes to: watches never fire. */

void *xs_open(unsigned long flags)
{
    int *fds = malloc(2 * sizeof(*fds));

    (void)flags;
    if (fds && pipe2(fds, O_CLOEXEC)) {
        free(fds);
        return NULL;
    }
    return fds;
}

void xs_close(void *xsh)
{
    int *fds = xsh;

    close(fds[0]);
    close(fds[1]);
    free(fds);
}

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
    *__errno_location() = EAGAIN;
    return NULL;
}

int xs_fileno(void *xsh)
{
    int *fds = xsh;

    return fds[0];
}

/* Xen 4.14 uses the older names. */

void *xs_daemon_open(void)
{
    return xs_open(0);
}

void *xs_domain_open(void)
{
    return xs_open(0);
}

void xs_daemon_close(void *xsh)
{
    xs_close(xsh);
}
