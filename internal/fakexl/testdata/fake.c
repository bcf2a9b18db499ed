/*
 * A libxenlight without Xen, for tests of what drives one. Its operations do as
 * they are told: libxl_domain_pause(domid) is one of the kinds below, and lasts
 * for as many milliseconds as the rest of domid says. It keeps libxl's rules for
 * contexts, operations, events, children and its log, and aborts when its caller
 * breaks them. Domains are a table that all contexts share.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "layout.h"

enum kind {
    INLINE,      /* ends well before the call returns */
    INLINE_FAIL, /* ends badly before the call returns */
    REFUSED,     /* the call itself fails */
    WAIT,        /* ends well later; can be aborted */
    STUBBORN,    /* the same, but aborting it does nothing */
    FOREVER,     /* ends only if it is aborted */
    CHILD,       /* a child that logs does it; aborting kills it */
    BLOCK,       /* the call itself lasts, with the context locked; tells of progress before */
    HALF_WAY,    /* logs an error, and ends badly later */
    FD,          /* ends well when a descriptor says so; can be aborted */
    FINISH,      /* aborting it makes it end well at once */
    DISASTER,    /* libxl breaks down */
    CHILD_FAIL,  /* like CHILD, but it fails */
    MEMORY,      /* leaves two megabytes behind, which the next one frees */
    THREAD,      /* leaves a thread behind, for as long as it is to last; 0 is for ever */
    ABORT_FAIL,  /* ends well later; aborting it makes it end badly */
};

#define KIND(script) ((script) & 15)
#define MSEC(script) ((script) >> 4 & 0xfff)
#define REASON(script) ((int)((script) >> 16 & 15) - 1)

enum { FAIL = -3, INVAL = -6, BUFFERFULL = -13, NOT_READY = -11, NOTFOUND = -23, DOMAIN_NOTFOUND = -21, ABORTED = -22 };
enum { SHUTDOWN = 1, DEATH, EJECT, COMPLETE, CONSOLE };
enum { DEBUG = 1, INFO = 5, WARN = 7, ERROR = 8 };
enum { REMOVE = 1, END };
enum { SAVED = 4096 };

struct how { void *callback; uint64_t user; };
struct progress { void *callback; uint64_t user; void *user_callback; };
struct logger { FILE *file; int level; };
struct event_hooks { uint64_t mask; void *occurs; void (*disaster)(void *, int, const char *, int); };
struct queued { struct queued *next; char ev[SIZE_libxl_event]; };
struct evgen { struct evgen *next; uint32_t domid; uint64_t user; bool told, dead; };

struct op {
    struct op *next;
    enum kind kind;
    uint32_t domid;
    uint64_t user;
    int rc, fd, then;
    bool aborted;
    pid_t child;
    int64_t due; /* in ms; 0 for never */
    uint32_t *result, made;
};

struct childproc { int owner; pid_t (*fork)(void *); };

struct ctx {
    struct ctx *next;
    pthread_mutex_t lock;
    struct logger *log;
    struct event_hooks *hooks;
    void *hooks_user;
    bool mainloop;
    pid_t (*fork)(void *);
    void *user;
    int polling;
    int wake[2];
    struct op *ops;
    struct queued *first, **last;
    struct evgen *evgens, *ejects;
    bool released;
};

struct domain { struct domain *next; uint32_t domid; uint8_t uuid[16]; int reason, later; bool shut; };

static pthread_mutex_t global = PTHREAD_MUTEX_INITIALIZER;
static struct ctx *contexts;
static struct domain dom0 = { .later = -1 }, *domains = &dom0;
static uint32_t last_domid;
static void *volatile lost;

#define FIELD(p, type, off) (*(type *)((char *)(p) + (off)))

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fake libxenlight: %s\n", what);
    abort();
}

static void lock(struct ctx *c) { must(pthread_mutex_lock(&c->lock) == 0, "lock"); }
static void unlock(struct ctx *c) { must(pthread_mutex_unlock(&c->lock) == 0, "unlock"); }

/* In pieces, as libxl's logger does it. */
static void say(struct ctx *c, int level, uint32_t domid, int line, const char *fmt, ...)
{
    va_list ap;

    if (level < c->log->level)
        return;
    fprintf(c->log->file, "libxl: %s: ", level >= ERROR ? "error" : level >= WARN ? "warning" : level >= INFO ? "info" : "debug");
    fprintf(c->log->file, "fake.c:%d:say: ", line);
    if (domid != ~0u)
        fprintf(c->log->file, "Domain %u:", domid);
    va_start(ap, fmt);
    vfprintf(c->log->file, fmt, ap);
    va_end(ap);
    putc('\n', c->log->file);
    fflush(c->log->file);
}

static void *queue(struct ctx *c, int type, uint32_t domid, uint64_t user)
{
    struct queued *q = calloc(1, sizeof(*q));

    libxl_event_init(q->ev);
    FIELD(q->ev, int, OFF_libxl_event_type) = type;
    FIELD(q->ev, uint32_t, OFF_libxl_event_domid) = domid;
    FIELD(q->ev, uint64_t, OFF_libxl_event_for_user) = user;
    *c->last = q;
    c->last = &q->next;
    return q->ev;
}

/* Something has happened to a domain: xenstore's @releaseDomain. */
static void release(void)
{
    for (struct ctx *c = contexts; c; c = c->next) {
        __atomic_store_n(&c->released, true, __ATOMIC_SEQ_CST);
        must(write(c->wake[1], "", 1) == 1 || errno == EAGAIN, "wake");
    }
}

static struct domain **find(uint32_t domid)
{
    struct domain **d = &domains;

    while (*d && (*d)->domid != domid)
        d = &(*d)->next;
    return d;
}

/* Both want the global lock. */
static void shut(struct domain *d, int reason)
{
    d->shut = true;
    d->reason = reason;
    release();
}

static void removed(struct domain **d)
{
    struct domain *gone = *d;

    if (!gone)
        return;
    *d = gone->next;
    free(gone);
    release();
}

static uint32_t make_domain(char *cfg, int later)
{
    struct domain *d = calloc(1, sizeof(*d)), **at = &domains;

    pthread_mutex_lock(&global);
    d->domid = ++last_domid;
    d->later = later;
    memcpy(d->uuid, cfg + OFF_libxl_domain_config_c_info + OFF_libxl_domain_create_info_uuid, 16);
    while (*at && (*at)->domid < d->domid)
        at = &(*at)->next;
    d->next = *at;
    *at = d;
    pthread_mutex_unlock(&global);
    return d->domid;
}

static void complete(struct ctx *c, struct op *op, int rc)
{
    struct op **p = &c->ops;

    while (*p != op)
        p = &(*p)->next;
    *p = op->next;
    if (op->then == REMOVE && rc == 0) {
        pthread_mutex_lock(&global);
        removed(find(op->domid));
        pthread_mutex_unlock(&global);
    }
    if (op->result && rc && !op->aborted) { /* a failed creation cleans up, unless that is aborted too */
        pthread_mutex_lock(&global);
        removed(find(op->made));
        pthread_mutex_unlock(&global);
    }
    if (op->result) /* it must still be there */
        *op->result = op->made;
    must(op->child == 0, "an operation ends before its child");
    if (op->fd >= 0)
        close(op->fd);
    FIELD(queue(c, COMPLETE, op->domid, op->user), int, OFF_libxl_event_u_operation_complete_rc) = rc;
    free(op);
}

static int64_t now_ms(void)
{
    struct timeval tv;

    gettimeofday(&tv, NULL);
    return tv.tv_sec * 1000LL + tv.tv_usec / 1000;
}

/* Sleeps; signals do not cut it short. */
static void nap(intptr_t ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

/* As libxl's logger does with what its save helper tells. */
static void progress(struct ctx *c, int ms)
{
    if (c->log->level > 4)
        return;
    fprintf(c->log->file, "xc: progress: Saving nothing: %d/%d  %3d%%\n", ms / 2, ms, 50);
    fflush(c->log->file);
}

static void child(struct ctx *c, struct op *op, int ms)
{
    op->child = c->fork(c->user);
    must(op->child >= 0, "fork");
    if (op->child)
        return;
    progress(c, ms);
    say(c, op->kind == CHILD_FAIL ? ERROR : INFO, op->domid, __LINE__, "a child logs for %llu", (unsigned long long)op->user);
    nap(ms);
    _exit(op->kind == CHILD_FAIL);
}

static void *linger(void *ms)
{
    if (!ms)
        pause();
    nap((intptr_t)ms);
    return NULL;
}

/* Starts an operation; the context is locked. */
static int begin(struct ctx *c, uint32_t script, uint32_t domid, const struct how *how, int then, uint32_t *result, uint32_t made)
{
    struct op *op;
    int ms = MSEC(script);

    must(how && !how->callback, "an operation that completes by an event");
    for (op = c->ops; op; op = op->next)
        must(op->user != how->user, "two operations with one handle");
    if (KIND(script) == REFUSED)
        return INVAL;
    op = calloc(1, sizeof(*op));
    *op = (struct op){ .next = c->ops, .kind = KIND(script), .domid = domid, .user = how->user, .fd = -1,
                       .then = then, .result = result, .made = made };
    c->ops = op;
    switch (op->kind) {
    case BLOCK:
        progress(c, ms);
        nap(ms);
        /* fall through */
    case INLINE:
        complete(c, op, 0);
        break;
    case INLINE_FAIL:
        say(c, ERROR, domid, __LINE__, "fails at once");
        complete(c, op, FAIL);
        break;
    case HALF_WAY:
        say(c, ERROR, domid, __LINE__, "fails half-way in %llu", (unsigned long long)op->user);
        op->rc = FAIL;
        /* fall through */
    case WAIT:
    case STUBBORN:
    case FINISH:
    case ABORT_FAIL:
        op->due = now_ms() + ms;
        break;
    case CHILD:
    case CHILD_FAIL:
        must(c->mainloop, "children need the owner's main loop");
        child(c, op, ms);
        break;
    case FD: {
        struct itimerspec at = { .it_value = { ms / 1000, ms % 1000 * 1000000 + 1 } };

        op->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        must(op->fd >= 0 && timerfd_settime(op->fd, 0, &at, NULL) == 0, "timerfd");
        break;
    }
    case MEMORY:
        if (lost)
            free(lost), lost = NULL;
        else
            lost = malloc(2 << 20);
        complete(c, op, 0);
        break;
    case THREAD: {
        pthread_t id;

        must(pthread_create(&id, NULL, linger, (void *)(intptr_t)ms) == 0 && pthread_detach(id) == 0, "thread");
        complete(c, op, 0);
        break;
    }
    case DISASTER:
        c->hooks->disaster(c->hooks_user, 0, "the fake was told so", EIO);
        break;
    default:
        break;
    }
    return 0;
}

int libxl_domain_pause(struct ctx *c, uint32_t domid, const struct how *how)
{
    lock(c);
    int rc = begin(c, domid, domid, how, 0, NULL, 0);
    unlock(c);
    return rc;
}

/* As libxl does, it chooses the number at once. */
int libxl_device_nic_add(struct ctx *c, uint32_t domid, char *nic, const struct how *how)
{
    lock(c);
    FIELD(nic, int, OFF_libxl_device_nic_devid) = 7;
    int rc = begin(c, domid, domid, how, 0, NULL, 0);
    unlock(c);
    return rc;
}

/* The configuration's c_info.ssidref is the script; how the guest ends when it
 * runs is in it too. */
int libxl_domain_create_new(struct ctx *c, char *cfg, uint32_t *domid, const struct how *how, const struct progress *progress)
{
    uint32_t script = FIELD(cfg, uint32_t, OFF_libxl_domain_config_c_info + OFF_libxl_domain_create_info_ssidref), made;
    int rc;

    lock(c);
    made = KIND(script) == REFUSED || KIND(script) == INLINE_FAIL ? ~0u : make_domain(cfg, REASON(script));
    if (progress)
        queue(c, CONSOLE, made, progress->user);
    rc = begin(c, script, made, how, 0, domid, made);
    unlock(c);
    return rc;
}

/* A stream is SAVED bytes, all of which are there before the operation ends. */
int libxl_domain_suspend(struct ctx *c, uint32_t domid, int fd, int flags, const struct how *how)
{
    char text[SAVED] = "";

    (void)flags;
    must(write(fd, text, SAVED) == SAVED, "write");
    return libxl_domain_pause(c, domid, how);
}

/* It reads nothing. */
int libxl_domain_create_restore(struct ctx *c, char *cfg, uint32_t *domid, int fd, int back, const void *params,
                                const struct how *how, const struct progress *progress)
{
    (void)fd, (void)back, (void)params;
    return libxl_domain_create_new(c, cfg, domid, how, progress);
}

static int on_domain(struct ctx *c, uint32_t domid, const struct how *how, int reason)
{
    struct domain *d;

    lock(c);
    pthread_mutex_lock(&global);
    d = *find(domid);
    if (d && reason >= 0)
        shut(d, reason);
    pthread_mutex_unlock(&global);
    int rc = d ? begin(c, INLINE, domid, how, 0, NULL, 0) : DOMAIN_NOTFOUND;
    unlock(c);
    return rc;
}

int libxl_domain_unpause(struct ctx *c, uint32_t domid, const struct how *how)
{
    pthread_mutex_lock(&global);
    struct domain *d = *find(domid);
    int reason = d ? d->later : -1;
    pthread_mutex_unlock(&global);
    return on_domain(c, domid, how, reason);
}

int libxl_domain_shutdown(struct ctx *c, uint32_t domid, const struct how *how) { return on_domain(c, domid, how, 0); }
int libxl_domain_reboot(struct ctx *c, uint32_t domid, const struct how *how) { return on_domain(c, domid, how, 1); }

int libxl_domain_destroy(struct ctx *c, uint32_t domid, const struct how *how)
{
    lock(c);
    pthread_mutex_lock(&global);
    bool there = *find(domid);
    pthread_mutex_unlock(&global);
    int rc = there ? begin(c, CHILD, domid, how, REMOVE, NULL, 0) : DOMAIN_NOTFOUND;
    unlock(c);
    return rc;
}

int libxl_ao_abort(struct ctx *c, const struct how *how)
{
    struct op *op;
    int rc = 0;

    lock(c);
    for (op = c->ops; op && op->user != how->user; op = op->next)
        ;
    if (!op)
        rc = NOTFOUND;
    else if (op->aborted)
        rc = ABORTED;
    else {
        op->aborted = true;
        switch (op->kind) {
        case STUBBORN:
            break;
        case CHILD:
        case CHILD_FAIL:
            kill(op->child, SIGKILL);
            break;
        default:
            complete(c, op, op->kind == FINISH ? 0 : op->kind == ABORT_FAIL ? FAIL : ABORTED);
        }
    }
    unlock(c);
    return rc;
}

#include "context.h"
