package xltest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-xenlight/xenlight/libxl"
)

// numaChecks need several NUMA nodes; xenbox run -cpus 4 -numa 2 has two.
var numaChecks = []check{
	{topologySection, "NUMA: distances are those that the firmware tells", checkDistances},
	{topologySection, "NUMA: the devices of a bus are on the node that the bus is at", checkPciNode},
	{vcpuSection, "NUMA: a domain's memory is on the node that it is told, or that libxl chooses", checkPlacement},
	{hostconfigSection, "NUMA: a CPU pool has the CPUs of a node, and a domain runs there", checkNodePool},
}

// nodes is the number of the host's NUMA nodes, of which the check needs two.
func (t *T) nodes() int {
	n, err := t.Host.GetNumainfo()
	t.ok(err, "GetNumainfo")
	if len(n) < 2 {
		t.Cannot("the host has one NUMA node")
	}
	return len(n)
}

// nodeCPUs is the CPUs of a node, by the topology.
func (t *T) nodeCPUs(node int) (cpus libxl.Bitmap) {
	topology, err := t.Host.GetCpuTopology()
	t.ok(err, "GetCpuTopology")
	for cpu, p := range topology {
		if int(p.Node) == node {
			cpus.Set(cpu)
		}
	}
	if cpus.IsEmpty() {
		t.Cannot("node %d has no CPU", node)
	}
	return cpus
}

func checkDistances(t *T) {
	nodes := t.nodes()
	info, err := t.Host.GetNumainfo()
	t.ok(err, "GetNumainfo")
	// ACPI's table: a head of 36 bytes, the number of nodes, and their distances.
	const file = "/sys/firmware/acpi/tables/SLIT"
	table, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Cannot("the firmware tells no distances: no %s", file)
	}
	t.ok(err, file)
	const head = 36 + 8
	if len(table) != head+nodes*nodes || binary.LittleEndian.Uint64(table[36:]) != uint64(nodes) {
		t.Cannot("the firmware's nodes are not the %d of the host: %x", nodes, table)
	}
	for i, n := range info {
		for j, d := range n.Dists {
			equal(t, fmt.Sprintf("the distance of node %d from node %d", j, i), d, uint32(table[head+i*nodes+j]))
		}
	}
}

func checkPciNode(t *T) {
	nodes := t.nodes()
	// Xenbox puts a bus on the last node. What the firmware of other machines
	// says of theirs, only libxl tells.
	const bus = 0x40
	there, err := filepath.Glob(fmt.Sprintf("/sys/bus/pci/devices/0000:%02x:*", bus))
	t.ok(err, "the kernel's PCI devices")
	if !throwAway() || len(there) == 0 {
		t.Cannot("no PCI bus whose node is known: it is xenbox's")
	}
	devices, err := t.Host.GetPciTopology()
	t.ok(err, "GetPciTopology")
	found := 0
	for _, d := range devices {
		name := fmt.Sprintf("the node of %02x:%02x.%x", d.Bus, d.Devfn>>3, d.Devfn&7)
		switch {
		case d.Bus == bus:
			found++
			equal(t, name, d.Node, uint32(nodes-1))
		case d.Bus < bus:
			equal(t, name, d.Node, uint32(libxl.PcitopologyInvalidEntry))
		}
	}
	equal(t, "devices on the bus", found, len(there))
}

// memoryByNode is how many of the guest's pages the hypervisor has on each node.
func (g *guest) memoryByNode() map[int]uint64 {
	// Xen 4.17 says Domain 1, and later ones d1.
	head := regexp.MustCompile(fmt.Sprintf(`(?m)(?:Domain |\bd)%d \(total: \d+\):`, g.Domid))
	dump := g.t.debugKey("u")
	at := head.FindStringIndex(dump)
	if at == nil {
		g.t.Fatalf("the hypervisor's dump lacks domain %d: %q", g.Domid, dump)
	}
	pages := map[int]uint64{}
	for line := range strings.Lines(dump[at[1]:]) {
		if m := nodePages.FindStringSubmatch(line); m != nil {
			pages[int(g.t.number(m[1]))] = g.t.number(m[2])
		} else if len(pages) > 0 {
			break
		}
	}
	return pages
}

var nodePages = regexp.MustCompile(`^(?:\(XEN\) )?(?:\[[^]]*\] )? *Node (\d+): (\d+)`)

func checkPlacement(t *T) {
	nodes := t.nodes()
	onlyOn := func(g *guest, node int) {
		affinity, err := t.Host.DomainGetNodeaffinity(g.Domid)
		t.ok(err, "DomainGetNodeaffinity")
		equal(t, "DomainGetNodeaffinity", affinity.String(), libxl.BitmapOf(node).String())
		pages := g.memoryByNode()
		equal(t, "nodes in the hypervisor's dump", len(pages), nodes)
		for n, has := range pages {
			if (has > 0) != (n == node) {
				t.Errorf("a domain of node %d has %d pages on node %d", node, has, n)
			}
		}
	}
	for node := range nodes {
		c := t.tiny(libxl.DomainTypePv, "")
		c.BInfo.NumaPlacement.Set(false)
		c.BInfo.Nodemap = libxl.BitmapOf(node)
		onlyOn(t.create(c), node)
	}
	// A domain that says nothing gets one node, and softly its CPUs.
	c := t.tiny(libxl.DomainTypePv, "")
	g := t.create(c)
	affinity, err := t.Host.DomainGetNodeaffinity(g.Domid)
	t.ok(err, "DomainGetNodeaffinity")
	equal(t, "nodes that libxl has chosen", affinity.Count(), 1)
	equal(t, "the choice in the configuration", c.BInfo.Nodemap.String(), affinity.String())
	for node := range affinity.All() {
		onlyOn(g, node)
		g.affinities("placed by libxl", [2]libxl.Bitmap{t.online(), t.nodeCPUs(node)})
	}
}

func checkNodePool(t *T) {
	node := t.nodes() - 1
	cpus := t.nodeCPUs(node)
	if cpus.Test(0) || !cpus.And(libxl.BitmapOf(t.pool0()...)).Equal(cpus) {
		t.Cannot("node %d's CPUs %s are not pool 0's to spare", node, cpus)
	}
	if pinned := t.pinned(); !pinned.And(cpus).IsEmpty() {
		t.Cannot("vCPUs are pinned to CPUs of node %d", node)
	}
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	before, err := t.Host.GetFreecpus()
	t.ok(err, "GetFreecpus")
	all := libxl.BitmapOf(t.pool0()...)
	rest := all.Clone()
	for cpu := range cpus.All() {
		rest.Clear(cpu)
	}
	counted := func(what string, n int, err error) {
		t.ok(err, what)
		equal(t, what+": CPUs", n, cpus.Count())
	}
	t.Cleanup(func() {
		for cpu := range cpus.All() {
			if !slices.Contains(t.pool0(), cpu) {
				t.ok(t.Host.CpupoolCpuadd(0, cpu), "CpupoolCpuadd to pool 0 again")
			}
		}
	})
	n, err := t.Host.CpupoolCpuremoveNode(0, node)
	counted("CpupoolCpuremoveNode from pool 0", n, err)
	equal(t, "pool 0 without the node", libxl.BitmapOf(t.pool0()...).String(), rest.String())
	t.freeIs(before.Or(cpus))
	pool := t.pool(sched, libxl.Bitmap{})
	name := "xltest-" + sched.String()
	n, err = t.Host.CpupoolCpuaddNode(pool, node)
	counted("CpupoolCpuaddNode", n, err)
	t.poolIs(pool, name, sched, 0, cpus)
	t.freeIs(before)

	g := t.still()
	g.toPool(pool)
	t.poolIs(pool, name, sched, 1, cpus)
	g.start()
	g.expect("tiny: up")
	vcpus, err := t.Host.ListVcpu(g.Domid)
	t.ok(err, "ListVcpu")
	for _, v := range vcpus {
		if v.Online && !cpus.Test(int(v.Cpu)) {
			t.Errorf("vCPU %d runs on CPU %d, not on one of node %d: %s", v.Vcpuid, v.Cpu, node, cpus)
		}
	}
	g.destroy()
	n, err = t.Host.CpupoolCpuremoveNode(pool, node)
	counted("CpupoolCpuremoveNode", n, err)
	t.poolIs(pool, name, sched, 0, libxl.Bitmap{})
	n, err = t.Host.CpupoolCpuaddNode(0, node)
	counted("CpupoolCpuaddNode to pool 0", n, err)
	equal(t, "pool 0 in the end", libxl.BitmapOf(t.pool0()...).String(), all.String())
}
