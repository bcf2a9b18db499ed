//go:build linux

package xenbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// errPacked says that a kernel can't be unpacked here; it boots packed, only
// slower.
var errPacked = errors.New("can't unpack the kernel")

// bzImagePayload finds the packed ELF kernel in an x86 bzImage.
func bzImagePayload(image []byte) ([]byte, error) {
	if len(image) < 0x260 || string(image[0x202:0x206]) != "HdrS" {
		return nil, fmt.Errorf("%w: not a bzImage", errPacked)
	}
	sectors := int64(image[0x1f1])
	if sectors == 0 {
		sectors = 4
	}
	off := (sectors+1)*512 + int64(binary.LittleEndian.Uint32(image[0x248:]))
	size := int64(binary.LittleEndian.Uint32(image[0x24c:]))
	if size < 8 || off+size > int64(len(image)) {
		return nil, fmt.Errorf("%w: payload of %d bytes at %d in a file of %d", errPacked, size, off, len(image))
	}
	return image[off : off+size-4], nil // the last four bytes are the unpacked size
}

// isArmImage tells whether a file is an arm64 kernel, which is not packed.
func isArmImage(image []byte) bool { return len(image) > 64 && string(image[56:60]) == "ARM\x64" }

// unpackKernel turns a bzImage into the ELF kernel in it: unpacking it in an
// emulated CPU takes seconds at each boot.
func unpackKernel(ctx context.Context, image []byte) ([]byte, error) {
	if isArmImage(image) {
		return image, nil
	}
	packed, err := bzImagePayload(image)
	if err != nil {
		return nil, err
	}
	var out []byte
	switch {
	case bytes.HasPrefix(packed, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		out, err = pipeThrough(ctx, packed, "xz", "-dc", "--single-stream")
	case bytes.HasPrefix(packed, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		out, err = pipeThrough(ctx, packed, "zstd", "-dcq")
	case bytes.HasPrefix(packed, []byte{0x1f, 0x8b}):
		out, err = gunzip(packed)
	default:
		return nil, fmt.Errorf("%w: unknown packing %x", errPacked, packed[:4])
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPacked, err)
	}
	if !bytes.HasPrefix(out, []byte("\x7fELF")) {
		return nil, fmt.Errorf("%w: not an ELF file inside", errPacked)
	}
	return out, nil
}

func pipeThrough(ctx context.Context, in []byte, tool string, args ...string) ([]byte, error) {
	p, ok := lookTool(tool)
	if !ok {
		return nil, &MissingToolError{Tools: []string{tool}, Packages: []string{toolPackages[tool]}}
	}
	cmd := exec.CommandContext(ctx, p, args...)
	cmd.Stdin = bytes.NewReader(in)
	return cmd.Output()
}

func gunzip(in []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return io.ReadAll(z)
}

func gunzipFile(from, to string) error {
	in, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	out, err := gunzip(in)
	if err != nil {
		return err
	}
	return os.WriteFile(to, out, 0o644)
}
