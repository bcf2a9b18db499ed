/* The parts of the tiny guest and what they know of each other. */
#pragma once

#include "xen.h"

/* What the machine has found out at boot; all but the first two anew after
 * each resume. */
struct machine {
	const char *kind;
	const char *cmdline;
	struct console_ring *console;
	struct store_ring *store;
	u32 console_port, store_port;
};
extern struct machine machine;
extern struct shared_info shared_info;

/* tiny.c: where the machine's start ends. */
void tiny(void);
void notify(u32 port);
void wait(void);

/* store.c: the client of xenstore. */
void store_request(u32 type, const char *path, const char *value, u32 size);
void store_read(const char *path, char *value, u32 size);
int store_watch_fired(void);
int store_has_reply(void);

/* hvm.c: the connections of a guest whose memory Xen translates. */
void hvm_connect(void);

/* amd64.c, arm64.c: the machine. */
long hypercall(u32 op, u64 a, u64 b, u64 c);
void machine_suspend(u32 reason); /* returns when resumed and connected again */
void machine_halt(void);    /* no vCPU is left, which ends the domain too */

static inline long hypercall_at(u32 op, u64 sub, void *arg)
{
	return hypercall(op, sub, (u64)arg, 0);
}

static inline int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* after gives what follows a prefix in a text, null if it begins differently. */
static inline const char *after(const char *text, const char *prefix)
{
	while (*prefix && *text == *prefix)
		text++, prefix++;
	return *prefix ? 0 : text;
}

/* The two ends of a ring see each other's writes in this order: first what is
 * in it, then the index. */
static inline u32 load(const u32 *index)
{
	return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

static inline void store(u32 *index, u32 value)
{
	__atomic_store_n(index, value, __ATOMIC_RELEASE);
}
