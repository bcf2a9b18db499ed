/* A malloc for tests, preloaded: it counts what the calling thread has, and on
 * demand ends every block at a page that nobody may touch. Freed blocks may not
 * be touched either, nor freed again. And it fails when told to. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

#define PAGE 4096ul
#define PAGES (1ul << 23)

static __thread long live;
static __thread int guarded;
static __thread long left = -1; /* malloc fails after this many, if not negative */
static char *arena;
static uint32_t sizes[PAGES]; /* of the block that begins in a page, plus 1 */
static uint64_t next;

long heap_live(void) { return live; }

void heap_guard(int on)
{
	if (!arena) {
		arena = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (arena == MAP_FAILED)
			abort();
	}
	guarded = on;
}

void heap_fail(long after) { left = after; }

static uint64_t pages(size_t size) { return (size + PAGE - 1) / PAGE; }

static int ours(void *p) { return arena && (char *)p >= arena && (char *)p < arena + PAGES * PAGE; }

static void *block(size_t size)
{
	uint64_t n, at;
	char *p;

	if (!size)
		size = 1;
	n = pages(size);
	at = next;
	next += n + 1;
	if (next > PAGES || mprotect(arena + at * PAGE, n * PAGE, PROT_READ | PROT_WRITE))
		return NULL;
	p = arena + (at + n) * PAGE - size;
	sizes[(p - arena) / PAGE] = size + 1;
	return p;
}

static void complain(const char *what)
{
	fprintf(stderr, "heap.c: %s\n", what);
	abort();
}

void *malloc(size_t size)
{
	if (!left)
		return NULL;
	if (left > 0)
		left--;
	live++;
	return guarded ? memset(block(size), 0xa5, size) : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	live++;
	return guarded ? block(n * size) : __libc_calloc(n, size);
}

void free(void *p)
{
	uint64_t page;
	size_t size;

	if (!p)
		return;
	live--;
	if (!ours(p)) {
		__libc_free(p);
		return;
	}
	page = ((char *)p - arena) / PAGE;
	size = sizes[page] - 1;
	if (!sizes[page])
		complain("freed twice");
	if (((char *)p - arena + size) % PAGE)
		complain("freed in the middle");
	sizes[page] = 0;
	mprotect(arena + page * PAGE, pages(size) * PAGE, PROT_NONE);
	madvise(arena + page * PAGE, pages(size) * PAGE, MADV_DONTNEED);
}

void *realloc(void *p, size_t size)
{
	void *q;
	size_t old;

	if (!p)
		return malloc(size);
	if (!ours(p) && !guarded)
		return __libc_realloc(p, size);
	if (!ours(p))
		complain("realloc of an unguarded block");
	old = sizes[((char *)p - arena) / PAGE] - 1;
	q = malloc(size);
	memcpy(q, p, old < size ? old : size);
	free(p);
	return q;
}
