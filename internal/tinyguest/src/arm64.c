/* The machine on arm64. */
#include "tiny.h"

long hypercall(u32 op, u64 a, u64 b, u64 c)
{
	register u64 x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x16 __asm__("x16") = op;

	__asm__ volatile("hvc #0xea1" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x16) :: "x3", "x4", "memory");
	return x0;
}

static u32 big_endian(const u32 *p)
{
	return __builtin_bswap32(*p);
}

/* find_bootargs finds the kernel command line in the device tree: the value of
 * the one property with that name. */
static const char *find_bootargs(const u32 *tree)
{
	enum { MAGIC = 0xd00dfeed, BEGIN_NODE = 1, END_NODE, PROPERTY, NOTHING, END = 9 };

	if (big_endian(tree) != MAGIC)
		return "";
	const u32 *p = tree + big_endian(tree + 2) / 4;
	const char *names = (const char *)tree + big_endian(tree + 3);
	for (;;)
		switch (big_endian(p++)) {
		case BEGIN_NODE: /* a name */
			while (*p & 0xff && *p & 0xff00 && *p & 0xff0000 && *p & 0xff000000)
				p++;
			p++;
			break;
		case PROPERTY: /* the value's size, the name, the value */
			if (equal(names + big_endian(p + 1), "bootargs"))
				return (const char *)(p + 2);
			p += 2 + (big_endian(p) + 3) / 4;
			break;
		case END_NODE:
		case NOTHING:
			break;
		default:
			return "";
		}
}

void arm_main(const u32 *tree)
{
	machine.kind = "pvh";
	machine.cmdline = find_bootargs(tree);
	hvm_connect();
	tiny();
}

void machine_suspend(u32 reason)
{
	hypercall_at(SCHED_OP, SCHEDOP_shutdown, &reason);
	hvm_connect();
}

/* On Arm a domain without vCPUs does not end, but PSCI has SYSTEM_OFF. */
void machine_halt(void)
{
	register u64 x0 __asm__("x0") = 0x84000008;

	__asm__ volatile("hvc #0" : "+r"(x0) :: "x1", "x2", "x3", "memory");
}
