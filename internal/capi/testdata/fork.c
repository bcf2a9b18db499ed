/* What a test of forked children needs in C. It includes nothing, so that a cross
 * compiler without headers will do. */
typedef __SIZE_TYPE__ size_t;
extern void *memcpy(void *, const void *, size_t), *memset(void *, int, size_t);
extern int fork(void), waitpid(int, int *, int), usleep(unsigned);
extern unsigned alarm(unsigned);
extern void *signal(int, void *);
extern void _exit(int) __attribute__((noreturn));
extern int pthread_create(unsigned long *, const void *, void *(*)(void *), void *), pthread_join(unsigned long, void **);

#define SIGALRM 14

struct plan {
	int (*fork)(void);
	struct { unsigned char *addr; size_t size; } zeroed[3];
};

struct handle {
	int (*restricted)(struct handle *, unsigned);
	void *links[2];
};

typedef int replacement(void *plan);
typedef void registers(struct handle *);
typedef int restricts(unsigned);

static int ended(int child)
{
	int status;

	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return status;
}

/* Fills what the child has to find zeroed; which is wrong in the child is in its
 * status. */
int fork_zeroes(replacement *fork_replacement, struct plan *plan)
{
	unsigned char kept[3][1024];
	int i, status;
	size_t j;
	int child;

	for (i = 0; i < 3; i++) {
		memcpy(kept[i], plan->zeroed[i].addr, plan->zeroed[i].size);
		memset(plan->zeroed[i].addr, 0x5a, plan->zeroed[i].size);
	}
	child = fork_replacement(plan);
	if (!child) {
		for (i = 0; i < 3; i++)
			for (j = 0; j < plan->zeroed[i].size; j++)
				if (plan->zeroed[i].addr[j])
					_exit(1 + i);
		_exit(0);
	}
	status = ended(child);
	for (i = 0; i < 3; i++)
		for (j = 0; j < plan->zeroed[i].size; j++)
			if (plan->zeroed[i].addr[j] != 0x5a)
				status = -2;
	for (i = 0; i < 3; i++)
		memcpy(plan->zeroed[i].addr, kept[i], plan->zeroed[i].size);
	return status;
}

static volatile int taken, done;
static restricts *restrict_all;

/* libxentoolcore calls it with its lock taken. */
static int hold(struct handle *h, unsigned domid)
{
	(void)h, (void)domid;
	taken = 1;
	while (!done)
		usleep(1000);
	return -1;
}

static void *holder(void *unused)
{
	restrict_all(1);
	return unused;
}

/* Forks while another thread has libxentoolcore's lock, which the child takes, or
 * ends after some seconds. */
int fork_locked(replacement *fork_replacement, struct plan *plan, registers *reg, registers *dereg, restricts *all, unsigned patience)
{
	struct handle held = { .restricted = hold }, own = { 0 };
	unsigned long thread;
	int child;
	int status;

	restrict_all = all;
	taken = done = 0;
	reg(&held);
	if (pthread_create(&thread, 0, holder, 0))
		return -3;
	while (!taken)
		usleep(1000);
	child = fork_replacement ? fork_replacement(plan) : fork();
	if (!child) {
		signal(SIGALRM, 0);
		alarm(patience);
		reg(&own);
		dereg(&own);
		_exit(0);
	}
	status = ended(child);
	done = 1;
	pthread_join(thread, 0);
	dereg(&held);
	return status;
}
