package abi

import (
	"os"
	"testing"

	"github.com/go-xenlight/xenlight/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
