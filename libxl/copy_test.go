package libxl_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/go-xenlight/xenlight/internal/abi/abitest"
	"github.com/go-xenlight/xenlight/libxl"
)

// sharedMemory names a slice, map or pointer that both values have.
func sharedMemory(x, y any) string {
	return shared("", reflect.ValueOf(x).Elem(), reflect.ValueOf(y).Elem())
}

func shared(path string, x, y reflect.Value) string {
	switch x.Kind() {
	case reflect.Struct:
		for i := range x.NumField() {
			if s := shared(path+"."+x.Type().Field(i).Name, x.Field(i), y.Field(i)); s != "" {
				return s
			}
		}
	case reflect.Slice:
		if x.Len() > 0 && x.Pointer() == y.Pointer() {
			return path
		}
		for i := range x.Len() {
			if s := shared(fmt.Sprintf("%s[%d]", path, i), x.Index(i), y.Index(i)); s != "" {
				return s
			}
		}
	case reflect.Map:
		if x.Len() > 0 && x.Pointer() == y.Pointer() {
			return path
		}
	case reflect.Interface:
		if !x.IsNil() {
			return shared(path, x.Elem(), y.Elem())
		}
	case reflect.Pointer:
		if !x.IsNil() && x.Pointer() == y.Pointer() && x.Elem().Type().Size() > 0 {
			return path
		}
		if !x.IsNil() {
			return shared(path, x.Elem(), y.Elem())
		}
	}
	return ""
}

// changed changes one thing in a value, the n-th that there is. It returns how
// many it has passed over.
func changed(v reflect.Value, n int) (left int, done bool) {
	switch v.Kind() {
	case reflect.Struct:
		if !v.CanInterface() {
			return n, false
		}
		if b, ok := v.Addr().Interface().(*libxl.Bitmap); ok {
			if n == 0 {
				b.Set(b.Len() + 3)
			}
			return n - 1, n == 0
		}
		for i := range v.NumField() {
			if n, done = changed(v.Field(i), n); done {
				return n, true
			}
		}
		return n, false
	case reflect.Interface:
		if v.IsNil() {
			return n, false
		}
		return changed(v.Elem(), n)
	case reflect.Pointer:
		return changed(v.Elem(), n)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if n, done = changed(v.Index(i), n); done {
				return n, true
			}
		}
		if v.Kind() == reflect.Array {
			return n, false
		}
	}
	if n > 0 {
		return n - 1, false
	}
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf("new"), reflect.ValueOf(""))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "!")
	case reflect.Int, reflect.Int8, reflect.Int32:
		v.SetInt(v.Int() ^ 1)
	default:
		v.SetUint(v.Uint() ^ 1)
	}
	return 0, true
}

func TestEqualSeesEveryChange(t *testing.T) {
	r := abitest.NewFiller(3)
	for _, typ := range abitest.Types {
		for range 3 {
			x := r.Random(typ)
			for n := 0; ; n++ {
				y := typ.Clone(x)
				if _, done := changed(reflect.ValueOf(y), n); !done {
					break
				}
				if typ.Equal(x, y) || typ.Equal(y, x) {
					t.Fatalf("%s: change %d is not seen:\n%+v\n%+v", typ.Go, n, x, y)
				}
			}
		}
	}
}

func TestEqualTakesNilForEmpty(t *testing.T) {
	x, y := libxl.NewDomainConfig(), libxl.NewDomainConfig()
	y.Disks = []libxl.DeviceDisk{}
	y.CInfo.Xsdata = libxl.KeyValueList{}
	y.BInfo.Extra = libxl.StringList{}
	y.BInfo.AvailVcpus = libxl.NewBitmap(100)
	if !x.Equal(y) || !y.Equal(x) {
		t.Error("nil and empty differ")
	}
	var none *libxl.DomainConfig
	if none.Equal(x) || x.Equal(nil) || !none.Equal(nil) || none.Clone() != nil {
		t.Error("nil is not equal to nil only")
	}
	x.BInfo.TypeUnion = (*libxl.DomainBuildInfoTypeUnionPvh)(nil)
	if x.Equal(y) || y.Equal(x) || !x.Equal(x.Clone()) {
		t.Error("a union with a nil pointer")
	}
}
