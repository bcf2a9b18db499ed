module github.com/go-xenlight/xenlight

go 1.26.0

require (
	github.com/ebitengine/purego v0.11.3
	go.starlark.net v0.0.0-20260908191801-89a6a09411d5
	golang.org/x/sys v0.49.0
)
