# Everything that one does with xenlight. "make help" lists it.

SUITES ?= bookworm trixie
XENBOX  = bin/xenbox

export PATH := $(CURDIR)/bin/toolchain/bin:$(PATH)
export CGO_ENABLED = 0

# Without -buildvcs=false a checkout of another user's cannot be built.
BUILD = go build -trimpath -buildvcs=false -o bin/
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.DEFAULT_GOAL := help

help: ## this text
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: demo-setup ## boot a Xen host in QEMU and let a Go program create a guest there
	@mkdir -p bin
	$(BUILD) ./cmd/xenbox ./examples/firstguest
	$(XENBOX) run -again -- bin/firstguest

test: setup build lint generated unit library arm64 host ## everything: about half an hour on two CPUs without KVM
	@echo "make test: every part has passed"

# Dom0 on the other architecture runs an xenbox of its own.
build: ## compile the programs to bin/, and everything for amd64 and arm64
	@mkdir -p bin
	$(BUILD) ./cmd/... ./examples/...
	GOARCH=amd64 $(BUILD)amd64/ ./cmd/xenbox
	GOARCH=arm64 $(BUILD)arm64/ ./cmd/xenbox
	GOARCH=amd64 go build ./...
	GOARCH=arm64 go build ./...

# With the tag xlidl needs no generated file, so that it runs when those are broken.
XLIDL = go run -tags bootstrap ./cmd/xlidl

generate: ## write all generated files anew from idl/
	$(XLIDL) generate

generated: ## fail if a generated file is not as "make generate" would write it
	$(XLIDL) generate -check
	go mod tidy -diff

lint: ## gofmt, go vet, staticcheck; golangci-lint too if it is installed
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed, run gofmt -w:"; gofmt -l .; exit 1; }
	go vet ./...
	GOARCH=arm64 go vet ./...
	GOOS=darwin go vet ./libxl ./internal/idl ./internal/abi
	go run $(STATICCHECK) ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: not run"; fi

golangci: ## golangci-lint; building it takes minutes the first time
	go run $(GOLANGCI) run

# The cache of go test does not notice that a compiler or a library has come.
unit: ## tests that need neither a Xen library nor QEMU
	go test -short -count=1 ./...

library: setup ## tests against libxl's headers of three releases and the installed libxenlight, with the race detector too
	XENLIGHT_TEST_MUSL=1 go test -count=1 -run 'CrossBuild|Musl' .
	XENLIGHT_TEST_HEADERS=1 go test -count=1 ./internal/idl ./internal/layout
	XENLIGHT_TEST_HEADERS=1 XENLIGHT_TEST_LIBRARY=1 XENLIGHT_TEST_ROUNDS=100000 go test -count=1 -skip CrossBuild . ./internal/capi ./internal/loop ./internal/leak
	XENLIGHT_TEST_LIBRARY=1 CGO_ENABLED=1 go test -count=1 -race -skip 'CrossBuild|Musl' .
	XENLIGHT_TEST_LIBRARY=1 CGO_ENABLED=1 go test -count=1 -race ./internal/capi ./internal/abi ./internal/loop ./internal/leak
	XENLIGHT_TEST_LIBRARY=1 CGO_ENABLED=1 go test -count=1 -asan -short -skip '$(NOT_ASAN)' ./internal/capi

# These count blocks, ask malloc, or preload something themselves.
NOT_ASAN = AllocationsAre|EveryBlock|Oracle|HeapTells

# Under an emulator a test cannot start itself again, so the oracle is started
# as its own child would be.
arm64: setup ## the same against arm64's libxenlight, under qemu-user
	@mkdir -p bin
	GOARCH=arm64 go test -c -o bin/capi.arm64.test ./internal/capi
	aarch64-linux-gnu-gcc -shared -fPIC -nostdlib -o bin/shim.arm64.so internal/capi/testdata/shim.c
	root=$$(scripts/fetch-xen bookworm arm64) && cd internal/capi && \
	export XENLIGHT_TEST_LIBRARY=1 XENLIGHT_LIBRARY=$$root/usr/lib/aarch64-linux-gnu/libxenlight.so.4.17 && \
	qemu-aarch64 -L $$root $(CURDIR)/bin/capi.arm64.test -test.short -test.skip 'Oracle|EveryBlock|Doctored|Unproven' && \
	XENLIGHT_SHIMMED=1 qemu-aarch64 -L $$root -E LD_PRELOAD=$(CURDIR)/bin/shim.arm64.so \
		$(CURDIR)/bin/capi.arm64.test -test.run '^TestOracle$$'

host: build $(SUITES:%=host-%) ## xltest, the examples and the library tests on real Xen, for each of SUITES
	go test -count=1 -exec '$(CURDIR)/$(XENBOX) run -again -cpus 4 --' -run ExamplesOnXen .
	XENBOX_TEST=1 go test -count=1 -timeout 20m ./internal/xenbox

# Dom0 has no compiler for what the library tests preload.
SHIM = $(patsubst internal/capi/testdata/%.c,$(CURDIR)/bin/%.so,$(wildcard internal/capi/testdata/shim.c))

$(CURDIR)/bin/shim.so: internal/capi/testdata/shim.c
	@mkdir -p bin
	gcc -shared -fPIC -o $@ $<

# Xltest looks for it beside itself.
TINY = bin/tiny.$(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(shell uname -m)))

tiny: bin/tiny.amd64 bin/tiny.arm64 ## compile the tiny guest, a kernel of a few KB for tests

bin/tiny.%: scripts/tinyguest $(wildcard internal/tinyguest/src/*)
	@mkdir -p bin
	scripts/tinyguest $* $@

host-%: build $(SHIM) $(TINY)
	XENLIGHT_TEST_LIBRARY=1 XENLIGHT_SHIM=$(SHIM) go test -count=1 -short \
		-exec '$(CURDIR)/$(XENBOX) run -suite $* $(SHIM:%=-send %) --' ./internal/capi
	$(XENBOX) run -again -suite $* -- bin/firstguest
	$(XENBOX) matrix -targets $*-amd64 -reports bin/matrix -send $(TINY) -- bin/xltest
	$(XENBOX) run -suite $* -cpus 4 -numa 2 -send $(TINY) -fetch /tmp/report:bin/numa.$*.json -- \
		bin/xltest -strict -json /tmp/report -run '$(ON_NODES)' -kill-xenstored
	bin/xlidl coverage bin/matrix/$*-amd64.json bin/numa.$*.json

# What means more on a host with several NUMA nodes, which is lost in the end.
ON_NODES = NUMA|Numainfo|Topology|topology|affinity|CPU pool|in and out of pools

MINUTES ?= 10

soak: build $(SUITES:%=soak-%) ## MINUTES of load on real Xen, for each of SUITES, and the death of xenstored; reports what leaks per hour

soak-%: build $(TINY)
	$(XENBOX) run -suite $* -send $(TINY) -- bin/xltest -strict -soak $(MINUTES)m -kill-xenstored

# One xltest for all hosts of an architecture.
matrix: setup build tiny ## xltest on real Xen of every suite and architecture; writes README's table. Hours without KVM; HOSTS=a,b for some
	@scripts/setup matrix
	GOARCH=amd64 $(BUILD)amd64/ ./cmd/...
	GOARCH=arm64 $(BUILD)arm64/ ./cmd/...
	$(if $(findstring bullseye-amd64,$(or $(HOSTS),bullseye-amd64)),$(RTDS))
	$(XENBOX) matrix $(if $(HOSTS),-targets $(HOSTS)) -reports bin/matrix -readme README.md -send bin/tiny.{arch} -- \
		bin/{arch}/xltest -tiny bin/tiny.{arch}

# What needs the scheduler rtds, which of Debian's hypervisors 4.14's has, from the boot on.
RTDS = $(XENBOX) run -suite bullseye -xen-args sched=rtds -send bin/tiny.amd64 -fetch /tmp/report:bin/rtds.bullseye.json -- \
	bin/amd64/xltest -strict -json /tmp/report -tiny bin/tiny.amd64 -run 'scheduler parameters: rtds'

bench: setup ## benchmarks
	go test -run '^$$' -bench . ./...

setup: ## install what building and testing need (apt-get, sudo when not root)
	@scripts/setup test

demo-setup:
	@scripts/setup demo

clean: ## remove what was built; the images stay in the user's cache folder
	rm -rf bin

# The parts of test follow each other; go uses all CPUs by itself.
.NOTPARALLEL:
.PHONY: help demo test build generate generated lint golangci unit library arm64 tiny host soak matrix bench setup demo-setup clean
