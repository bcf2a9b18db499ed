package xltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-xenlight/xenlight/libxl"
)

const topologySection = "Secondary host operations"

var topologyChecks = []check{
	{topologySection, "ListVm lists the domains that ListDomain does", checkListVM},
	{topologySection, "ListCpupool: each CPU is in one pool or free, each domain in one pool", checkListCpupool},
	{topologySection, "GetCpuTopology agrees with the hypervisor's own dump and with xl", checkCPUTopology},
	{topologySection, "GetNumainfo agrees with the hypervisor's own dump and with xl", checkNumainfo},
	{topologySection, "GetPciTopology has the devices that the kernel sees", checkPciTopology},
	{topologySection, "maps of CPUs, nodes and sockets follow the topology", checkMaps},
	{topologySection, "WaitForFreeMemory waits until a domain gives its memory back", checkWaitForFreeMemory},
	{topologySection, "ClearDomidHistory forgets which numbers were used", checkDomidHistory},
}

// number is a number that a tool or the hypervisor has printed.
func (t *T) number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	t.ok(err, "a number")
	return n
}

func checkListVM(t *T) {
	g := t.still()
	t.until("the lists to agree", func() bool {
		domains, err := t.Host.ListDomain()
		t.ok(err, "ListDomain")
		vms, err := t.Host.ListVm()
		t.ok(err, "ListVm")
		uuids := map[libxl.Domid]libxl.Uuid{}
		for _, vm := range vms {
			uuids[vm.Domid] = vm.Uuid
		}
		if uuids[g.Domid] != g.Config.CInfo.Uuid {
			t.Fatalf("ListVm lacks domain %d: %+v", g.Domid, vms)
		}
		agree := len(vms) == len(uuids)
		for _, d := range domains {
			uuid, ok := uuids[d.Domid]
			if !ok { // the stub domain of a device model has a target
				_, ok = xenstoreRead(fmt.Sprintf("/local/domain/%d/target", d.Domid))
				uuid = d.Uuid
			}
			agree = agree && ok && uuid == d.Uuid
			delete(uuids, d.Domid)
		}
		return agree && len(uuids) == 0
	})
	g.destroy()
	t.until("the domain to be gone from ListVm", func() bool {
		vms, err := t.Host.ListVm()
		t.ok(err, "ListVm")
		return !slices.ContainsFunc(vms, func(vm libxl.Vminfo) bool { return vm.Uuid == g.Config.CInfo.Uuid })
	})
}

func checkListCpupool(t *T) {
	var pools []libxl.Cpupoolinfo
	t.until("pools and domains to agree", func() bool {
		var err error
		pools, err = t.Host.ListCpupool()
		t.ok(err, "ListCpupool")
		domains, err := t.Host.ListDomain()
		t.ok(err, "ListDomain")
		count := map[uint32]uint32{}
		for _, d := range domains {
			count[d.Cpupool]++
		}
		return !slices.ContainsFunc(pools, func(p libxl.Cpupoolinfo) bool { return p.NDom != count[p.Poolid] })
	})
	free, err := t.Host.GetFreecpus()
	t.ok(err, "GetFreecpus")
	topology, err := t.Host.GetCpuTopology()
	t.ok(err, "GetCpuTopology")
	for cpu, place := range topology {
		in := 0
		if free.Test(cpu) {
			in++
		}
		for _, p := range pools {
			if p.Cpumap.Test(cpu) {
				in++
			}
		}
		want := 1
		if place.Core == libxl.CputopologyInvalidEntry {
			want = 0 // offline
		}
		equal(t, fmt.Sprintf("CPU %d: pools and free", cpu), in, want)
	}
	sched, err := t.Host.GetScheduler()
	t.ok(err, "GetScheduler")
	equal(t, "the first pool", pools[0].Poolid, 0)
	equal(t, "pool 0's scheduler", pools[0].Sched, sched)
	lines, ok := t.xl("cpupool-list")
	if ok {
		equal(t, "the number of pools", len(pools), len(lines)-1)
	}
	for i, p := range pools {
		info, err := t.Host.CpupoolInfo(p.Poolid)
		t.ok(err, "CpupoolInfo")
		if !reflect.DeepEqual(info, p) {
			t.Errorf("CpupoolInfo says %+v, ListCpupool %+v", info, p)
		}
		if name, ok := xenstoreRead(fmt.Sprintf("/local/pool/%d/name", p.Poolid)); ok {
			equal(t, "PoolName", p.PoolName, name)
		}
		if ok {
			equal(t, "the pool in xl's words", fmt.Sprintln(p.PoolName, p.Cpumap.Count(), p.Sched, "y", p.NDom),
				fmt.Sprintln(lines[i+1][0], t.number(lines[i+1][1]), lines[i+1][2], lines[i+1][3], t.number(lines[i+1][4])))
		}
	}
	_, err = t.Host.CpupoolInfo(4711)
	wantCode(t, "CpupoolInfo of no pool", err, libxl.ErrorFail)
}

// table finds what xl info -n prints below a heading.
func (t *T) table(heading string) (rows [][]string, ok bool) {
	lines, ok := t.xl("info", "-n")
	if !ok {
		return nil, false
	}
	i := slices.IndexFunc(lines, func(words []string) bool { return strings.Join(words, " ") == heading })
	if i < 0 {
		t.Fatalf("xl info -n does not print %q", heading)
	}
	for _, words := range lines[i+1:] {
		if len(words) == 0 || !tableRow.MatchString(words[0]) {
			break
		}
		rows = append(rows, words)
	}
	return rows, true
}

// tableRow is how a row begins: with a number, or with a PCI device.
var tableRow = regexp.MustCompile(`^(\d+:|[0-9a-f]{4}:[0-9a-f:.]+)$`)

// shown is how xl prints an entry.
func shown(n uint32) string {
	if n == libxl.CputopologyInvalidEntry {
		return "-"
	}
	return strconv.FormatUint(uint64(n), 10)
}

var cpuOfNode = regexp.MustCompile(`CPU(\d+)(?:\.\.\.(\d+))? -> NODE(\d+)`)

func checkCPUTopology(t *T) {
	topology, err := t.Host.GetCpuTopology()
	t.ok(err, "GetCpuTopology")
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	online := 0
	cores := map[libxl.Cputopology]uint32{}
	for _, p := range topology {
		if p.Core != libxl.CputopologyInvalidEntry {
			online++
			cores[p]++
		}
	}
	equal(t, "CPUs that have a core", online, int(info.NrCpus))
	for core, threads := range cores {
		if threads > info.ThreadsPerCore && !onArm { // there all CPUs are one core
			t.Errorf("core %+v has %d threads of %d", core, threads, info.ThreadsPerCore)
		}
	}
	if !onArm { // where Xen tells nothing of nodes
		t.sameNodes(topology, online)
	}
	if rows, ok := t.table("cpu: core socket node"); ok {
		equal(t, "lines of xl", len(rows), online)
		for _, row := range rows {
			p := topology[t.number(strings.TrimSuffix(row[0], ":"))]
			equal(t, "the CPU in xl's words", fmt.Sprint(row[1:]), fmt.Sprint([]string{shown(p.Core), shown(p.Socket), shown(p.Node)}))
		}
	}
	t.Logf("%d CPUs: %+v", online, topology)
}

// sameNodes compares the nodes of the CPUs with the hypervisor's dump.
func (t *T) sameNodes(topology []libxl.Cputopology, online int) {
	found := 0
	for _, m := range cpuOfNode.FindAllStringSubmatch(t.debugKey("u"), -1) {
		last := m[1]
		if m[2] != "" {
			last = m[2]
		}
		for cpu := t.number(m[1]); cpu <= t.number(last); cpu++ {
			if cpu >= uint64(len(topology)) {
				t.Fatalf("CPU %d is missing", cpu)
			}
			equal(t, fmt.Sprintf("the node of CPU %d", cpu), uint64(topology[cpu].Node), t.number(m[3]))
			found++
		}
	}
	equal(t, "CPUs that the hypervisor tells the node of", found, online)
}

var nodeMemory = regexp.MustCompile(`NODE(\d+) start->\d+ size->(\d+) free->(\d+)`)

func checkNumainfo(t *T) {
	nodes, err := t.Host.GetNumainfo()
	t.ok(err, "GetNumainfo")
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	equal(t, "nodes", len(nodes), int(info.NrNodes))
	const page = 4096
	self := uint32(10)
	if onArm {
		self = 20 // a constant there
	}
	var free uint64
	for i, n := range nodes {
		free += n.Free
		equal(t, "distances", len(n.Dists), len(nodes))
		equal(t, "the distance to itself", n.Dists[i], self)
		for j, d := range n.Dists {
			if i != j && d <= self {
				t.Errorf("node %d is %d from node %d", j, d, i)
			}
		}
	}
	if free > info.TotalPages*page {
		t.Errorf("%d bytes are free of %d", free, info.TotalPages*page)
	}
	if !onArm {
		dump := nodeMemory.FindAllStringSubmatch(t.debugKey("u"), -1)
		equal(t, "nodes in the hypervisor's dump", len(dump), len(nodes))
		for _, m := range dump {
			equal(t, "the size of node "+m[1], nodes[t.number(m[1])].Size, t.number(m[2])*page)
		}
	}
	if rows, ok := t.table("node: memsize memfree distances"); ok {
		equal(t, "lines of xl", len(rows), len(nodes))
		for i, n := range nodes {
			var dists []string
			for _, d := range n.Dists {
				dists = append(dists, strconv.Itoa(int(d)))
			}
			row := rows[i] // "0:", MB, free MB, distances
			equal(t, "the size in xl's words", t.number(row[1]), n.Size>>20)
			equal(t, "the distances in xl's words", strings.Join(row[3:], ""), strings.Join(dists, ","))
		}
	}
	t.Logf("%+v", nodes)
}

func checkPciTopology(t *T) {
	devices, err := t.Host.GetPciTopology()
	if onArm {
		wantCode(t, "GetPciTopology on Arm", err, libxl.ErrorFail)
		return
	}
	t.ok(err, "GetPciTopology")
	var got, want []string
	onNode := 0
	nodes, err := t.Host.GetNumainfo()
	t.ok(err, "GetNumainfo")
	for _, d := range devices {
		got = append(got, fmt.Sprintf("%04x:%02x:%02x.%x", d.Seg, d.Bus, d.Devfn>>3, d.Devfn&7))
		if d.Node == libxl.PcitopologyInvalidEntry {
			continue
		}
		onNode++
		if int(d.Node) >= len(nodes) {
			t.Errorf("%s is on node %d", got[len(got)-1], d.Node)
		}
	}
	links, err := filepath.Glob("/sys/bus/pci/devices/*")
	t.ok(err, "the kernel's PCI devices")
	for _, l := range links {
		want = append(want, filepath.Base(l))
	}
	slices.Sort(got)
	slices.Sort(want)
	equal(t, "PCI devices", strings.Join(got, " "), strings.Join(want, " "))
	if rows, ok := t.table("device node"); ok {
		equal(t, "lines of xl", len(rows), onNode)
	}
	t.Logf("%+v", devices)
}

func checkMaps(t *T) {
	topology, err := t.Host.GetCpuTopology()
	t.ok(err, "GetCpuTopology")
	byNode := map[int]libxl.Bitmap{}
	var cpus, nodes, sockets libxl.Bitmap
	for cpu, p := range topology {
		if p.Socket != libxl.CputopologyInvalidEntry {
			sockets.Set(int(p.Socket))
		}
		if p.Node == libxl.CputopologyInvalidEntry {
			continue
		}
		b := byNode[int(p.Node)]
		b.Set(cpu)
		byNode[int(p.Node)] = b
		cpus.Set(cpu)
		nodes.Set(int(p.Node))
	}
	same := func(what string, got libxl.Bitmap, err error, want libxl.Bitmap) {
		t.ok(err, what)
		equal(t, what, got.String(), want.String())
	}
	for node, want := range byNode {
		got, err := t.Host.NodeToCpumap(node)
		same("NodeToCpumap", got, err, want)
		got, err = t.Host.CpumapToNodemap(want)
		same("CpumapToNodemap", got, err, libxl.BitmapOf(node))
	}
	for _, node := range []int{-1, 63, 4711} {
		if byNode[node].Len() == 0 {
			got, err := t.Host.NodeToCpumap(node)
			same("NodeToCpumap of a node that is not there", got, err, libxl.Bitmap{})
		}
	}
	got, err := t.Host.NodemapToCpumap(nodes)
	same("NodemapToCpumap", got, err, cpus)
	got, err = t.Host.NodemapToCpumap(libxl.Bitmap{})
	same("NodemapToCpumap of no node", got, err, libxl.Bitmap{})
	all := libxl.NewBitmap(1 << 12)
	all.Fill()
	got, err = t.Host.CpumapToNodemap(all)
	same("CpumapToNodemap of more CPUs than there are", got, err, nodes)
	got, err = t.Host.CpumapToNodemap(libxl.Bitmap{})
	same("CpumapToNodemap of no CPU", got, err, libxl.Bitmap{})
	got, err = t.Host.GetOnlineSocketmap()
	same("GetOnlineSocketmap", got, err, sockets)
}

func checkWaitForFreeMemory(t *T) {
	t.ok(t.Host.WaitForFreeMemory(t.ctx, 1), "WaitForFreeMemory of 1 kB")
	ctx, cancel := context.WithTimeout(t.ctx, 600*time.Millisecond)
	defer cancel()
	err := t.Host.WaitForFreeMemory(ctx, 1<<50)
	wantCode(t, "WaitForFreeMemory of more than there can be", err, libxl.ErrorNomem)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the deadline is over", err)
	}
	g := t.still()
	info, err := t.Host.GetPhysinfo()
	t.ok(err, "GetPhysinfo")
	done := make(chan error, 1)
	go func() { done <- t.Host.WaitForFreeMemory(t.ctx, info.FreePages*4+g.Config.BInfo.MaxMemkb/2) }()
	select {
	case err := <-done:
		t.Fatalf("WaitForFreeMemory has not waited: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	g.destroy()
	t.ok(<-done, "WaitForFreeMemory")
}

// domidHistory is where libxl notes which numbers were used, see
// libxl__domid_history_path.
const domidHistory = "/run/xen/domid-history"

func checkDomidHistory(t *T) {
	if !throwAway() {
		t.Cannot("it would let others on this host meet a domain's number again")
	}
	g := t.still()
	g.destroy()
	has := func() bool {
		_, err := os.Stat(domidHistory)
		return err == nil
	}
	if !has() {
		t.Fatalf("no %s after a domain was destroyed", domidHistory)
	}
	t.ok(t.Host.ClearDomidHistory(), "ClearDomidHistory")
	if has() {
		t.Errorf("%s is still there", domidHistory)
	}
	t.ok(t.Host.ClearDomidHistory(), "ClearDomidHistory without a history")
}
