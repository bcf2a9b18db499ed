package capi

import (
	"os"
	"testing"

	"github.com/go-xenlight/xenlight/internal/leak"
)

func TestMain(m *testing.M) {
	if os.Getenv(shimmed) != "" {
		os.Exit(leak.Main(m)) // libxl's own readers of JSON, which this process asks, leak C memory
	}
	os.Exit(leak.Main(m, Heap))
}
