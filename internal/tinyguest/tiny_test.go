package tinyguest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const script = "../../scripts/tinyguest"

// maxSize is what the guest's file may have, in bytes.
const maxSize = 32 << 10

// compile compiles the guest, and skips the test where there is no compiler.
func compile(t *testing.T, arch, compiler string) []byte {
	if _, err := os.Stat(script); err != nil && os.Getenv("XENBOX") != "" {
		t.Skip("the sources are not here")
	}
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("no %s: the guest was not compiled", compiler)
	}
	file := filepath.Join(t.TempDir(), "tiny")
	if out, err := exec.Command(script, arch, file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	guest, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(guest) > maxSize {
		t.Errorf("the guest has %d bytes, more than %d", len(guest), maxSize)
	}
	return guest
}

// TestPVAndPVH looks for what Xen's toolstack looks for in a kernel.
func TestPVAndPVH(t *testing.T) {
	guest, err := elf.NewFile(bytes.NewReader(compile(t, "amd64", "x86_64-linux-gnu-gcc")))
	if err != nil {
		t.Fatal(err)
	}
	var notes []byte
	var low, high uint64
	for _, p := range guest.Progs {
		switch {
		case p.Type == elf.PT_NOTE:
			notes = make([]byte, p.Filesz)
			if _, err := p.ReadAt(notes, 0); err != nil {
				t.Fatal(err)
			}
		case p.Type == elf.PT_LOAD && low == 0:
			low, high = p.Paddr, p.Paddr+p.Memsz
		case p.Type == elf.PT_LOAD:
			high = p.Paddr + p.Memsz
		}
	}
	if high > 1<<20 {
		t.Errorf("the guest is at 0x%x to 0x%x, but a PVH guest of 1 MB has to have room for it", low, high)
	}

	found := xenNotes(t, notes)
	for name, note := range map[string]uint32{"XEN_VERSION": 5, "LOADER": 8} {
		if len(found[note]) == 0 {
			t.Errorf("there is no note %s", name)
		}
	}
	for name, note := range map[string]uint32{"ENTRY": 1, "HYPERCALL_PAGE": 2, "PHYS32_ENTRY": 18} {
		address := make([]byte, 8)
		copy(address, found[note])
		if a := binary.LittleEndian.Uint64(address); a < low || a >= high {
			t.Errorf("note %s is 0x%x, the guest is at 0x%x to 0x%x", name, a, low, high)
		}
	}
}

// xenNotes takes notes apart.
func xenNotes(t *testing.T, notes []byte) map[uint32][]byte {
	found := map[uint32][]byte{}
	for len(notes) > 0 {
		var head struct {
			NameSize, Size, Type uint32
			Name                 [4]byte
		}
		n, err := binary.Decode(notes, binary.LittleEndian, &head)
		if err != nil || string(head.Name[:]) != "Xen\x00" || n+int(head.Size) > len(notes) {
			t.Fatalf("bad note: %q", notes)
		}
		found[head.Type] = notes[n:][:head.Size]
		notes = notes[min(n+int(head.Size+3)&^3, len(notes)):]
	}
	return found
}

func TestARM64(t *testing.T) {
	guest := compile(t, "arm64", "aarch64-linux-gnu-gcc")
	if len(guest) < 64 || string(guest[56:60]) != "ARM\x64" {
		t.Errorf("not an Image: %q", guest[:min(64, len(guest))])
	}
}
