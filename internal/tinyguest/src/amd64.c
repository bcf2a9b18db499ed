/*
 * The machine on amd64: a PV guest, or a PVH guest in 64-bit mode. Both have
 * all their memory mapped at its own address, the PV guest by the toolstack,
 * the PVH guest by amd64.S.
 */
#include "tiny.h"

extern char hypercall_page[]; /* amd64.S; Xen puts an entry for each hypercall there */

static struct start_info *start; /* null if PVH */

long hypercall(u32 op, u64 a, u64 b, u64 c)
{
	long result = (long)hypercall_page + op * 32;

	__asm__ volatile("call *%%rax"
		: "+a"(result), "+D"(a), "+S"(b), "+d"(c)
		:: "rcx", "r8", "r9", "r10", "r11", "memory");
	return result;
}

static u64 frame_of(const void *page)
{
	return ((u64 *)start->mfn_list)[(u64)page / PAGE];
}

static void *page_of(u64 frame)
{
	u64 page = 0;

	while (page < start->pages - 1 && frame_of((void *)(page * PAGE)) != frame)
		page++;
	return (void *)(page * PAGE);
}

/* map puts a page of memory at the shared info's place. */
static void map(u64 address)
{
	enum { PRESENT = 1, WRITABLE = 2, USER = 4, ACCESSED = 0x20, DIRTY = 0x40 };

	hypercall(UPDATE_VA_MAPPING, (u64)&shared_info, address | PRESENT | WRITABLE | USER | ACCESSED | DIRTY, UVMF_INVLPG);
}

/* list_frames tells where the list of the guest's frames is, as older toolstacks
 * look for it: 4.14's resumes a PV guest only if it finds it so. */
static void list_frames(void)
{
	enum { PER_PAGE = PAGE / sizeof(u64) };
	static u64 lists[PER_PAGE] __attribute__((aligned(PAGE)));
	static u64 frames[PER_PAGE] __attribute__((aligned(PAGE)));

	lists[0] = frame_of(frames);
	for (u64 i = 0; i < PER_PAGE && i * PER_PAGE < start->pages; i++)
		frames[i] = frame_of((char *)start->mfn_list + i * PAGE);
	shared_info.frame_list_list = frame_of(lists);
}

static void pv_connect(void)
{
	map(start->shared_info);
	machine.console = page_of(start->console_mfn);
	machine.console_port = start->console_port;
	machine.store = page_of(start->store_mfn);
	machine.store_port = start->store_port;
	/* Without this list nobody can save the domain. */
	shared_info.max_pfn = start->pages; /* one more than the last */
	shared_info.p2m_cr3 = frame_of((void *)start->page_tables) * PAGE;
	shared_info.p2m_vaddr = start->mfn_list;
	list_frames();
}

/* The frames of a PV guest are others when it resumes. What it knows by frame
 * it gives away as pages: the toolstack puts the new frames in, unless the
 * suspension is called off, which the hypercall's result tells. */
static void pv_suspend(u32 reason)
{
	start->console_mfn = (u64)machine.console / PAGE;
	start->store_mfn = (u64)machine.store / PAGE;
	map(frame_of(&shared_info) * PAGE);
	if (hypercall(SCHED_OP, SCHEDOP_shutdown, (u64)&reason, frame_of(start))) {
		start->console_mfn = frame_of(machine.console);
		start->store_mfn = frame_of(machine.store);
	}
	pv_connect();
}

void pv_main(struct start_info *info)
{
	start = info;
	machine.kind = "pv";
	machine.cmdline = info->cmdline;
	pv_connect();
	tiny();
}

/* The leaf of CPUID that says by which register Xen fills a hypercall page. */
enum { XEN_HYPERCALLS = 0x40000002 };

static void pvh_connect(void)
{
	u32 eax = XEN_HYPERCALLS, msr, ecx = 0, edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(msr), "+c"(ecx), "=d"(edx));
	__asm__ volatile("wrmsr" :: "c"(msr), "a"((u32)(u64)hypercall_page), "d"(0) : "memory");
	hvm_connect();
}

/* A guest with a device model has the toolstack's firmware files as modules, and
 * this kernel in the place of hvmloader. Unless it takes interrupts, by vector
 * 0xf3 here, the toolstack does not ask it to suspend but stops it anywhere; it
 * never enables them. */
static void take_interrupts(void)
{
	struct hvm_param p = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 2ull << 56 | 0xf3 };

	hypercall_at(HVM_OP, HVMOP_set_param, &p);
}

void pvh_main(struct hvm_start_info *info)
{
	machine.kind = info->modules ? "hvm" : "pvh";
	machine.cmdline = info->cmdline ? (char *)info->cmdline : "";
	pvh_connect();
	if (info->modules)
		take_interrupts();
	tiny();
}

void machine_suspend(u32 reason)
{
	if (start) {
		pv_suspend(reason);
		return;
	}
	hypercall_at(SCHED_OP, SCHEDOP_shutdown, &reason);
	pvh_connect();
}

void machine_halt(void)
{
	hypercall(VCPU_OP, VCPUOP_down, 0, 0);
}
