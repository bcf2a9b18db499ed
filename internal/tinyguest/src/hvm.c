/* A guest whose memory Xen translates (PVH, and every guest on Arm) asks the
 * hypervisor for what it is connected to. */
#include "tiny.h"

static u64 parameter(u32 index)
{
	struct hvm_param p = { .domid = DOMID_SELF, .index = index };

	hypercall_at(HVM_OP, HVMOP_get_param, &p);
	return p.value;
}

void hvm_connect(void)
{
	/* Xen's page takes the place of ours. */
	struct add_to_physmap map = { .domid = DOMID_SELF, .gfn = (u64)&shared_info / PAGE };

	hypercall_at(MEMORY_OP, XENMEM_add_to_physmap, &map);
	machine.console = (void *)(parameter(HVM_PARAM_CONSOLE_PFN) * PAGE);
	machine.console_port = parameter(HVM_PARAM_CONSOLE_EVTCHN);
	machine.store = (void *)(parameter(HVM_PARAM_STORE_PFN) * PAGE);
	machine.store_port = parameter(HVM_PARAM_STORE_EVTCHN);
}
