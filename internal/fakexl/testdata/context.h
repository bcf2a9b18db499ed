/* The rest of the fake: contexts, their events, children and polling, and what
 * tells of domains. */

struct logger *xtl_createlogger_stdiostream(FILE *f, int level, unsigned flags)
{
    struct logger *lg = malloc(sizeof(*lg));

    (void)flags;
    *lg = (struct logger){ f, level };
    return lg;
}

void xtl_logger_destroy(struct logger *lg) { free(lg); }

int libxl_ctx_alloc(struct ctx **out, int version, unsigned flags, struct logger *lg)
{
    pthread_mutexattr_t attr;
    struct ctx *c = calloc(1, sizeof(*c));

    (void)version, (void)flags;
    must(lg != NULL, "no logger");
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&c->lock, &attr);
    c->log = lg;
    c->last = &c->first;
    must(pipe2(c->wake, 02000000 | 04000) == 0, "pipe");
    pthread_mutex_lock(&global);
    c->next = contexts;
    contexts = c;
    pthread_mutex_unlock(&global);
    *out = c;
    return 0;
}

static void drop(struct evgen **list)
{
    while (*list) {
        struct evgen *e = *list;
        *list = e->next;
        free(e);
    }
}

int libxl_ctx_free(struct ctx *c)
{
    struct ctx **p = &contexts;

    lock(c);
    must(!c->ops, "a context is freed while an operation runs");
    pthread_mutex_lock(&global);
    while (*p != c)
        p = &(*p)->next;
    *p = c->next;
    pthread_mutex_unlock(&global);
    drop(&c->evgens);
    drop(&c->ejects);
    while (c->first) {
        struct queued *q = c->first;
        c->first = q->next;
        free(q);
    }
    close(c->wake[0]);
    close(c->wake[1]);
    unlock(c);
    pthread_mutex_destroy(&c->lock);
    memset(c, 0xa5, sizeof(*c));
    free(c);
    return 0;
}

void libxl_childproc_setmode(struct ctx *c, const struct childproc *hooks, void *user)
{
    must(hooks && hooks->fork, "libxl's own fork, after which locks may be taken for ever");
    c->mainloop = hooks->owner == 1;
    c->fork = hooks->fork;
    c->user = user;
}

void libxl_childproc_sigchld_occurred(struct ctx *c)
{
    struct op *op, *next;
    int status;

    lock(c);
    for (op = c->ops; op; op = next) {
        next = op->next;
        if (!op->child)
            continue;
        pid_t got = waitpid(op->child, &status, WNOHANG);
        must(got >= 0, "somebody else has reaped the child");
        if (got != op->child)
            continue;
        op->child = 0;
        complete(c, op, status == 0 ? 0 : op->aborted ? ABORTED : FAIL);
    }
    unlock(c);
}

void libxl_event_register_callbacks(struct ctx *c, struct event_hooks *hooks, void *user)
{
    c->hooks = hooks;
    c->hooks_user = user;
}

int libxl_event_check(struct ctx *c, char **event, uint64_t mask, void *predicate, void *user)
{
    (void)mask, (void)predicate, (void)user;
    lock(c);
    struct queued *q = c->first;
    if (q && !(c->first = q->next))
        c->last = &c->first;
    unlock(c);
    if (!q)
        return NOT_READY;
    *event = q->ev;
    return 0;
}

void libxl_event_free(struct ctx *c, char *event)
{
    struct queued *q = (struct queued *)(event - offsetof(struct queued, ev));

    (void)c;
    if (FIELD(event, int, OFF_libxl_event_type) == EJECT)
        free(FIELD(event, char *, OFF_libxl_event_u_disk_eject_disk + OFF_libxl_device_disk_vdev));
    memset(q, 0x5a, sizeof(*q));
    free(q);
}

int libxl_evenable_domain_death(struct ctx *c, uint32_t domid, uint64_t user, struct evgen **out)
{
    struct evgen *e = calloc(1, sizeof(*e));

    lock(c);
    *e = (struct evgen){ .next = c->evgens, .domid = domid, .user = user };
    if (!c->evgens) { /* a new watch fires at once */
        c->released = true;
        must(write(c->wake[1], "", 1) == 1 || errno == EAGAIN, "wake");
    }
    c->evgens = e;
    unlock(c);
    *out = e;
    return 0;
}

void libxl_evdisable_domain_death(struct ctx *c, struct evgen *e)
{
    struct evgen **p = &c->evgens;

    lock(c);
    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    unlock(c);
    free(e);
}

/* Each domain has a disk and a CD-ROM drive. */

char *libxl_device_disk_list(struct ctx *c, uint32_t domid, int *n)
{
    char *list = calloc(2, SIZE_libxl_device_disk);

    (void)c, (void)domid;
    FIELD(list, char *, OFF_libxl_device_disk_vdev) = strdup("xvda");
    list += SIZE_libxl_device_disk;
    FIELD(list, char *, OFF_libxl_device_disk_vdev) = strdup("hdc");
    FIELD(list, int, OFF_libxl_device_disk_is_cdrom) = 1;
    *n = 2;
    return list - SIZE_libxl_device_disk;
}

void libxl_device_disk_list_free(char *list, int n)
{
    while (n-- > 0)
        free(FIELD(list + n * SIZE_libxl_device_disk, char *, OFF_libxl_device_disk_vdev));
    free(list);
}

int libxl_evenable_disk_eject(struct ctx *c, uint32_t domid, const char *vdev, uint64_t user, struct evgen **out)
{
    struct evgen *e = calloc(1, sizeof(*e));

    must(!strcmp(vdev, "hdc"), "it is the CD-ROM drive");
    *e = (struct evgen){ .domid = domid, .user = user };
    lock(c);
    e->next = c->ejects;
    c->ejects = e;
    unlock(c);
    *out = e;
    return 0;
}

void libxl_evdisable_disk_eject(struct ctx *c, struct evgen *e)
{
    struct evgen **p = &c->ejects;

    lock(c);
    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    unlock(c);
    free(e);
}

/* The guest ejects the medium, and has given the drive a name of its own: only
 * the first who listens is told. */
int libxl_cdrom_insert(struct ctx *c, uint32_t domid, void *disk, const struct how *how)
{
    (void)disk;
    lock(c);
    for (struct evgen *e = c->ejects; e; e = e->next)
        if (e->domid == domid) {
            char *ev = queue(c, EJECT, domid, e->user);
            FIELD(ev, char *, OFF_libxl_event_u_disk_eject_disk + OFF_libxl_device_disk_vdev) = strdup("guest");
            break;
        }
    int rc = begin(c, INLINE, domid, how, 0, NULL, 0);
    unlock(c);
    return rc;
}

int libxl_get_memory_target(struct ctx *c, uint32_t domid, uint64_t *target)
{
    (void)c, (void)domid;
    *target = 0;
    return 0;
}

/* No domain has a configuration, but as all operations it waits for the context. */
int libxl_retrieve_domain_configuration(struct ctx *c, uint32_t domid, void *cfg, const struct how *how)
{
    (void)domid, (void)cfg, (void)how;
    lock(c);
    unlock(c);
    return FAIL;
}

/* Ends before it returns, as without a how; the event of its console remains. */
int libxl_domain_soft_reset(struct ctx *c, void *cfg, uint32_t domid, const struct how *how, const struct progress *progress)
{
    (void)cfg;
    must(!how, "a soft reset that is no operation");
    lock(c);
    if (progress)
        queue(c, CONSOLE, domid, progress->user);
    unlock(c);
    return 0;
}

static void tell(struct ctx *c)
{
    pthread_mutex_lock(&global);
    for (struct evgen *e = c->evgens; e; e = e->next) {
        struct domain *d = *find(e->domid);
        if (!d && !e->dead) {
            e->dead = true;
            queue(c, DEATH, e->domid, e->user);
        }
        if (d && d->shut && !e->told) {
            e->told = true;
            FIELD(queue(c, SHUTDOWN, e->domid, e->user), uint8_t, OFF_libxl_event_u_domain_shutdown_shutdown_reason) = d->reason;
        }
    }
    pthread_mutex_unlock(&global);
}

int libxl_osevent_beforepoll(struct ctx *c, int *nfds, struct pollfd *fds, int *timeout, struct timeval now)
{
    int64_t ms = now.tv_sec * 1000LL + now.tv_usec / 1000;
    int n = 0, room = *nfds;

    lock(c);
    if (n++ < room)
        fds[0] = (struct pollfd){ .fd = c->wake[0], .events = POLLIN };
    for (struct op *op = c->ops; op; op = op->next) {
        if (op->fd >= 0 && n++ < room)
            fds[n - 1] = (struct pollfd){ .fd = op->fd, .events = POLLIN };
        if (op->due && (*timeout < 0 || op->due - ms < *timeout))
            *timeout = op->due > ms ? op->due - ms : 0;
    }
    unlock(c);
    *nfds = n;
    return n > room ? BUFFERFULL : 0;
}

void libxl_osevent_afterpoll(struct ctx *c, int nfds, const struct pollfd *fds, struct timeval now)
{
    int64_t ms = now.tv_sec * 1000LL + now.tv_usec / 1000;
    struct op *op, *next;
    char buf[256];

    must(__atomic_add_fetch(&c->polling, 1, __ATOMIC_SEQ_CST) == 1, "two threads poll");
    lock(c);
    while (read(c->wake[0], buf, sizeof(buf)) > 0)
        ;
    if (__atomic_exchange_n(&c->released, false, __ATOMIC_SEQ_CST))
        tell(c);
    for (op = c->ops; op; op = next) {
        next = op->next;
        bool ready = op->due && op->due <= ms;
        for (int i = 0; op->fd >= 0 && i < nfds; i++)
            ready |= fds[i].fd == op->fd && fds[i].revents;
        if (ready)
            complete(c, op, op->rc);
    }
    unlock(c);
    __atomic_sub_fetch(&c->polling, 1, __ATOMIC_SEQ_CST);
}

static void describe(const struct domain *d, char *info)
{
    libxl_dominfo_init(info);
    FIELD(info, uint32_t, OFF_libxl_dominfo_domid) = d->domid;
    memcpy(info + OFF_libxl_dominfo_uuid, d->uuid, 16);
    FIELD(info, bool, OFF_libxl_dominfo_shutdown) = d->shut;
    FIELD(info, int, OFF_libxl_dominfo_shutdown_reason) = d->shut ? d->reason : -1;
}

int libxl_domain_info(struct ctx *c, char *info, uint32_t domid)
{
    (void)c;
    pthread_mutex_lock(&global);
    struct domain *d = *find(domid);
    if (d && info)
        describe(d, info);
    pthread_mutex_unlock(&global);
    return d ? 0 : DOMAIN_NOTFOUND;
}

char *libxl_list_domain(struct ctx *c, int *n)
{
    char *list = NULL;

    (void)c;
    *n = 0;
    pthread_mutex_lock(&global);
    for (struct domain *d = domains; d; d = d->next) {
        list = realloc(list, (*n + 1) * SIZE_libxl_dominfo);
        describe(d, list + (*n)++ * SIZE_libxl_dominfo);
    }
    pthread_mutex_unlock(&global);
    return list;
}

void libxl_dominfo_list_free(char *list, int n)
{
    (void)n;
    free(list);
}

/* Figures for the tests: bytes of C memory in use, open contexts,
 * drives that are listened to, operations. */

int libxl_get_free_memory(struct ctx *c, uint64_t *memkb)
{
    struct mallinfo2 m = mallinfo2();

    (void)c;
    *memkb = m.uordblks + m.hblkhd;
    return 0;
}

int libxl_get_max_cpus(struct ctx *c)
{
    int n = 0;

    (void)c;
    pthread_mutex_lock(&global);
    for (struct ctx *p = contexts; p; p = p->next)
        n++;
    pthread_mutex_unlock(&global);
    return n;
}

int libxl_get_max_nodes(struct ctx *c)
{
    int n = 0;

    lock(c);
    for (struct evgen *e = c->ejects; e; e = e->next)
        n++;
    unlock(c);
    return n;
}

int libxl_get_online_cpus(struct ctx *c)
{
    int n = 0;

    lock(c);
    for (struct op *op = c->ops; op; op = op->next)
        n++;
    unlock(c);
    return n;
}
