/* What the tiny guest needs of Xen's public interface: numbers and layouts. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define PAGE 4096

/* Hypercalls, and of each the operations that are used. */
enum {
	MEMORY_OP = 12,
	UPDATE_VA_MAPPING = 14,
	VCPU_OP = 24,
	SCHED_OP = 29,
	EVENT_CHANNEL_OP = 32,
	HVM_OP = 34,
};
enum { XENMEM_current_reservation = 3, XENMEM_add_to_physmap = 7 };
enum { UVMF_INVLPG = 2 };
enum { VCPUOP_down = 2 };
enum { SCHEDOP_shutdown = 2, SCHEDOP_poll = 3 };
enum { EVTCHNOP_send = 4 };
enum { HVMOP_set_param, HVMOP_get_param };

enum { DOMID_SELF = 0x7ff0 };

/* The reasons of SCHEDOP_shutdown. */
enum {
	SHUTDOWN_poweroff,
	SHUTDOWN_reboot,
	SHUTDOWN_suspend,
	SHUTDOWN_crash,
	SHUTDOWN_watchdog,
	SHUTDOWN_soft_reset,
};

struct sched_poll {
	u32 *ports;
	u32 count;
	u64 timeout; /* 0 for none */
};

struct add_to_physmap {
	u16 domid;
	u16 size;
	u32 space; /* 0: the shared info */
	u64 index;
	u64 gfn;
};

struct hvm_param {
	u16 domid;
	u32 index;
	u64 value;
};
enum {
	HVM_PARAM_CALLBACK_IRQ = 0,
	HVM_PARAM_STORE_PFN = 1,
	HVM_PARAM_STORE_EVTCHN = 2,
	HVM_PARAM_CONSOLE_PFN = 17,
	HVM_PARAM_CONSOLE_EVTCHN = 18,
};

/* The page that Xen shares with a domain, nothing else is in it. The vCPUs' part
 * differs in size. */
#ifdef __x86_64__
enum { VCPU_INFO = 32 * 64 };
#else
enum { VCPU_INFO = 48 };
#endif
struct shared_info {
	u8 vcpu_info[VCPU_INFO];
	u64 pending[64]; /* a bit for each event channel */
	u64 mask[64];
	u32 wall_clock[4];
	/* For whoever saves a PV guest: where it keeps the list of its frames. */
	u64 max_pfn;
	u64 frame_list_list;
	u64 nmi_reason;
	u64 p2m_cr3;
	u64 p2m_vaddr;
	u64 p2m_generation;
} __attribute__((aligned(PAGE)));

/* The page of the PV console. */
struct console_ring {
	u8 in[1024];
	u8 out[2048];
	u32 in_cons, in_prod, out_cons, out_prod;
};

/* The page of the xenstore connection, and the head of what goes through it. */
struct store_ring {
	u8 req[1024];
	u8 rsp[1024];
	u32 req_cons, req_prod, rsp_cons, rsp_prod;
};
struct store_head {
	u32 type, request, transaction, length;
};
enum { XS_READ = 2, XS_WATCH = 4, XS_WRITE = 11, XS_WATCH_EVENT = 15, XS_ERROR = 16 };

/* What a PV guest finds when it starts, and again when it resumes. */
struct start_info {
	char magic[32];
	u64 pages;
	u64 shared_info; /* a machine address */
	u32 flags;
	u64 store_mfn;
	u32 store_port;
	u64 console_mfn;
	u32 console_port;
	u64 page_tables; /* from here on only when it starts */
	u64 page_table_count;
	u64 mfn_list;
	u64 module, module_size;
	char cmdline[1024];
};

/* What a PVH guest finds when it starts. */
struct hvm_start_info {
	u32 magic, version, flags, modules;
	u64 module_list;
	u64 cmdline;
};
