package xenlight_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/go-xenlight/xenlight"
	"github.com/go-xenlight/xenlight/libxl"
)

func ExampleHost_SetVcpuaffinity() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	const domid, vcpu = 7, 0
	// The vCPU may run on the CPUs 2 to 5 and runs best on 2 and 3.
	if err := host.SetVcpuaffinity(domid, vcpu, libxl.BitmapOf(2, 3, 4, 5), libxl.BitmapOf(2, 3)); err != nil {
		log.Fatal(err)
	}
	vcpus, err := host.ListVcpu(domid)
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range vcpus {
		fmt.Printf("vCPU %d is on CPU %d of %s\n", v.Vcpuid, v.Cpu, v.Cpumap)
	}
}

func ExampleHost_SetVcpuonline() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The guest is to use its first two vCPUs only.
	if err := host.SetVcpuonline(ctx, 7, libxl.BitmapOf(0, 1)); err != nil {
		log.Fatal(err)
	}
}

func ExampleHost_DomainSchedParamsSet() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	params := libxl.NewDomainSchedParams() // all parameters stay as they are
	params.Weight = 512                    // twice the default's share
	params.Cap = 150                       // and at most one and a half CPUs
	if err := host.DomainSchedParamsSet(7, params); err != nil {
		log.Fatal(err)
	}
}

func ExampleHost_CpupoolCreate() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	// A CPU goes from pool 0 to a pool of its own, and domain 7 with it.
	const cpu = 3
	if err := host.CpupoolCpuremove(0, cpu); err != nil {
		log.Fatal(err)
	}
	pool, err := host.CpupoolCreate("quiet", libxl.SchedulerCredit2, libxl.BitmapOf(cpu), libxl.NewUuid(), libxl.CpupoolPoolidAny)
	if err != nil {
		log.Fatal(err)
	}
	if err := host.CpupoolMovedomain(pool, 7); err != nil {
		log.Fatal(err)
	}
}

func ExampleHost_XenConsoleRead() {
	host, err := xenlight.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()

	if err := host.SendDebugKeys("r"); err != nil { // the run queues
		log.Fatal(err)
	}
	text, err := host.XenConsoleRead(false)
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(text) {
		fmt.Print(line)
	}
}
