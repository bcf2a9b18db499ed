package xenlight_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/go-xenlight/xenlight"
)

// TestMethodsOfAHostThatIsNotOpen calls all methods that can fail, with zeros, on
// Hosts that were never opened: the error is ErrClosed, whatever the arguments.
func TestMethodsOfAHostThatIsNotOpen(t *testing.T) {
	failure := reflect.TypeFor[error]()
	for what, host := range map[string]*xenlight.Host{"nil": nil, "zero": {}} {
		v := reflect.ValueOf(host)
		called := 0
		for i := range v.NumMethod() {
			method, name := v.Method(i), v.Type().Method(i).Name
			n := method.Type().NumOut()
			if n == 0 || method.Type().Out(n-1) != failure || name == "CloseContext" {
				continue
			}
			if name == "Close" {
				if err := host.Close(); err != nil {
					t.Errorf("Close of a Host that is %s: %v", what, err)
				}
				continue
			}
			called++
			if err := callWithZeros(t, what+" Host."+name, method); err != nil && !errors.Is(err, xenlight.ErrClosed) {
				t.Errorf("%s of a Host that is %s: got %v, want ErrClosed", name, what, err)
			}
		}
		t.Logf("%d methods of a Host that is %s", called, what)
	}
}

// callWithZeros calls a method and returns its error.
func callWithZeros(t *testing.T, name string, method reflect.Value) (err error) {
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s panics: %v", name, r)
			err = xenlight.ErrClosed
		}
	}()
	var args []reflect.Value
	for i := range method.Type().NumIn() {
		arg := method.Type().In(i)
		switch {
		case method.Type().IsVariadic() && i == method.Type().NumIn()-1:
		case arg == reflect.TypeFor[context.Context]():
			args = append(args, reflect.ValueOf(t.Context()))
		default:
			args = append(args, reflect.Zero(arg))
		}
	}
	out := method.Call(args)
	err, _ = out[len(out)-1].Interface().(error)
	if err == nil {
		t.Errorf("%s succeeds", name)
	}
	return err
}
