/*
 * The tiny guest: a domain for tests that boots in no time, needs next to no
 * memory, and does what it is told on its console, on its kernel command line
 * (words "tiny=COMMAND") and in xenstore's control/shutdown.
 *
 * It has one vCPU and takes no interrupts. When there is nothing to do it polls
 * its two event channels inside the hypervisor, which needs no CPU time.
 */
#include "tiny.h"

struct machine machine;
struct shared_info shared_info;

static int ignoring; /* control/shutdown is not watched */
static int spinning;
static u64 count;

void notify(u32 port)
{
	hypercall_at(EVENT_CHANNEL_OP, EVTCHNOP_send, &port);
}

/* wait blocks until one of the event channels has something to tell, and takes
 * that back. Whoever calls it looks at both rings before it is called again. */
void wait(void)
{
	u32 ports[] = { machine.console_port, machine.store_port };
	struct sched_poll poll = { .ports = ports, .count = 2 };

	hypercall_at(SCHED_OP, SCHEDOP_poll, &poll);
	for (u32 i = 0; i < 2; i++)
		__atomic_fetch_and(&shared_info.pending[ports[i] / 64], ~(1ul << ports[i] % 64), __ATOMIC_SEQ_CST);
}

/* print prints texts, up to a null pointer, and waits while the ring is full. */
static void print(const char *const *texts)
{
	struct console_ring *ring = machine.console;

	for (; *texts; texts++)
		for (const char *c = *texts; *c; c++) {
			while (ring->out_prod - load(&ring->out_cons) == sizeof ring->out) {
				notify(machine.console_port);
				wait();
			}
			ring->out[ring->out_prod % sizeof ring->out] = *c;
			store(&ring->out_prod, ring->out_prod + 1);
		}
	notify(machine.console_port);
}

#define say(...) print((const char *const[]){ "tiny: ", __VA_ARGS__, "\n", 0 })

static void say_number(const char *what, u64 n)
{
	char digits[21], *p = digits + sizeof digits;

	*--p = 0;
	do
		*--p = '0' + n % 10;
	while (n /= 10);
	say(what, " ", p);
}

static int has_input(void)
{
	return machine.console->in_cons != load(&machine.console->in_prod);
}

/* listen asks to be told when the toolstack wants the guest to shut down, and
 * says what it can be asked for. */
static void listen(void)
{
	static const char features[][32] = { "control/feature-poweroff", "control/feature-reboot",
		"control/feature-halt", "control/feature-suspend" };

	for (u32 i = 0; i < sizeof features / sizeof *features; i++)
		store_request(XS_WRITE, features[i], "1", 1);
	store_request(XS_WATCH, "control/shutdown", "tiny", sizeof "tiny");
}

static void shut_down(u32 reason)
{
	if (reason == SHUTDOWN_suspend || reason == SHUTDOWN_soft_reset) {
		machine_suspend(reason);
		say("resumed");
		if (!ignoring)
			listen();
		return;
	}
	hypercall_at(SCHED_OP, SCHEDOP_shutdown, &reason);
}

/* write_store does the command "write PATH VALUE". */
static void write_store(const char *argument)
{
	char path[96];
	u32 n = 0, size = 0;

	while (*argument && *argument != ' ' && n < sizeof path - 1)
		path[n++] = *argument++;
	path[n] = 0;
	if (*argument)
		argument++;
	while (argument[size])
		size++;
	store_request(XS_WRITE, path, argument, size);
}

/* execute does a command: a word, perhaps with an argument after a space. */
static void execute(const char *command)
{
	static const struct { char name[12]; u32 reason; } reasons[] = {
		{ "poweroff", SHUTDOWN_poweroff }, { "reboot", SHUTDOWN_reboot },
		{ "suspend", SHUTDOWN_suspend }, { "crash", SHUTDOWN_crash },
		{ "watchdog", SHUTDOWN_watchdog }, { "soft-reset", SHUTDOWN_soft_reset },
	};
	u16 self = DOMID_SELF;

	for (u32 i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (equal(command, reasons[i].name)) {
			shut_down(reasons[i].reason);
			return;
		}
	if (equal(command, "halt")) {
		machine_halt();
	} else if (equal(command, "hang")) {
		for (;;)
			wait();
	} else if (equal(command, "ignore")) {
		ignoring = 1;
	} else if (equal(command, "spin")) {
		spinning = 1;
	} else if (equal(command, "idle")) {
		spinning = 0;
	} else if (equal(command, "count")) {
		say_number("count", ++count);
	} else if (equal(command, "mem")) {
		say_number("pages", hypercall_at(MEMORY_OP, XENMEM_current_reservation, &self));
	} else if (after(command, "write ")) {
		write_store(after(command, "write "));
	} else if (after(command, "echo ")) {
		say(after(command, "echo "));
	} else if (*command) {
		say("unknown command: ", command);
	}
}

/* read_lines does the commands that have been typed. A command can put another
 * ring in the place of this one. */
static void read_lines(void)
{
	static char line[128];
	static u32 n;

	while (has_input()) {
		struct console_ring *ring = machine.console;
		char c = ring->in[ring->in_cons % sizeof ring->in];
		store(&ring->in_cons, ring->in_cons + 1);
		if (c != '\n' && c != '\r') {
			if (n < sizeof line - 1)
				line[n++] = c;
			continue;
		}
		line[n] = 0;
		n = 0;
		notify(machine.console_port);
		execute(line);
	}
}

/* execute_cmdline does the commands of the kernel command line. */
static void execute_cmdline(void)
{
	for (const char *p = machine.cmdline; *p;) {
		char word[128];
		u32 n = 0;
		while (*p == ' ')
			p++;
		for (; *p && *p != ' '; p++)
			if (n < sizeof word - 1)
				word[n++] = *p;
		word[n] = 0;
		if (after(word, "tiny="))
			execute(after(word, "tiny="));
	}
}

/* obey does what the toolstack asks for, after telling it that it has been
 * heard. */
static void obey(void)
{
	char wish[16];

	store_read("control/shutdown", wish, sizeof wish);
	if (ignoring || !*wish)
		return;
	store_request(XS_WRITE, "control/shutdown", "", 0);
	execute(wish);
}

void tiny(void)
{
	say("up ", machine.kind, " cmdline=", machine.cmdline);
	execute_cmdline();
	if (!ignoring)
		listen();
	for (;;) {
		read_lines();
		if (store_watch_fired())
			obey();
		if (!spinning && !has_input() && !store_has_reply())
			wait();
	}
}
