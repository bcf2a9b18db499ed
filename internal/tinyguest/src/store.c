/*
 * A client of xenstore: one request at a time, and one watch. Paths are
 * relative to the domain's own folder.
 */
#include "tiny.h"

static char reply[64]; /* the last one, cut off if it is longer */
static int fired;

int store_has_reply(void)
{
	return machine.store->rsp_cons != load(&machine.store->rsp_prod);
}

static void put(const void *data, u32 size)
{
	struct store_ring *ring = machine.store;

	for (u32 i = 0; i < size; i++) {
		while (ring->req_prod - load(&ring->req_cons) == sizeof ring->req) {
			notify(machine.store_port);
			wait();
		}
		ring->req[ring->req_prod % sizeof ring->req] = ((const u8 *)data)[i];
		store(&ring->req_prod, ring->req_prod + 1);
	}
}

/* get reads size bytes, of which it stores as many as there is room for. */
static void get(void *data, u32 room, u32 size)
{
	struct store_ring *ring = machine.store;

	for (u32 i = 0; i < size; i++) {
		while (!store_has_reply()) {
			notify(machine.store_port);
			wait();
		}
		if (i < room)
			((u8 *)data)[i] = ring->rsp[ring->rsp_cons % sizeof ring->rsp];
		store(&ring->rsp_cons, ring->rsp_cons + 1);
	}
}

/* receive reads a reply, or the news that the watch has fired. */
static u32 receive(void)
{
	struct store_head head;
	const u32 room = sizeof reply - 1;

	get(&head, sizeof head, sizeof head);
	get(reply, room, head.length);
	reply[head.length < room ? head.length : room] = 0;
	notify(machine.store_port);
	if (head.type == XS_WATCH_EVENT)
		fired = 1;
	return head.type;
}

/* store_request sends a path and, if there is one, a value, and waits for the
 * answer. Errors are not told: a watch may be there already after a resume. */
void store_request(u32 type, const char *path, const char *value, u32 size)
{
	struct store_head head = { .type = type };

	while (path[head.length++])
		;
	head.length += size;
	put(&head, sizeof head);
	put(path, head.length - size);
	put(value, size);
	notify(machine.store_port);
	for (;;) {
		u32 answer = receive();
		if (answer == XS_ERROR)
			*reply = 0;
		if (answer != XS_WATCH_EVENT)
			return;
	}
}

/* store_read gives the value at a path, cut off if need be; none is empty. */
void store_read(const char *path, char *value, u32 size)
{
	store_request(XS_READ, path, 0, 0);
	for (u32 i = 0; i < size; i++)
		value[i] = i < size - 1 ? reply[i] : 0;
}

/* store_watch_fired tells whether the watch has fired since the last time. */
int store_watch_fired(void)
{
	while (store_has_reply())
		receive();
	int was = fired;
	fired = 0;
	return was;
}
