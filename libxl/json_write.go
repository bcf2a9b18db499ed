package libxl

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonWriter writes the JSON of structs, member by member: one that has its
// default is left out. After an error it goes on, but the result is void.
type jsonWriter struct {
	b   []byte
	err *JSONError // the first
}

// jsonAppender is a pointer to any of the structs.
type jsonAppender interface{ writeJSON(w *jsonWriter) }

// appendJSON is AppendJSON of all structs.
func appendJSON(b []byte, x jsonAppender) ([]byte, error) {
	w := jsonWriter{b: b}
	x.writeJSON(&w)
	if w.err != nil {
		return b, w.err
	}
	return w.b, nil
}

func (w *jsonWriter) fail(path, format string, args ...any) {
	if w.err == nil {
		w.err = jsonProblem(format, args...).under(path)
	}
}

func (w *jsonWriter) open(c byte)  { w.b = append(w.b, c) }
func (w *jsonWriter) close(c byte) { w.b = append(w.b, c) }

// next sets off an element from the one before.
func (w *jsonWriter) next() {
	if c := w.b[len(w.b)-1]; c != '{' && c != '[' {
		w.b = append(w.b, ',')
	}
}

// key begins a member whose name needs no escapes.
func (w *jsonWriter) key(name string) {
	w.next()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *jsonWriter) bool(name string, v bool) {
	if v {
		w.key(name)
		w.b = append(w.b, "true"...)
	}
}

func (w *jsonWriter) uint(name string, v, def uint64) {
	if v != def {
		w.key(name)
		w.b = strconv.AppendUint(w.b, v, 10)
	}
}

// int writes a C int.
func (w *jsonWriter) int(name string, v, def int64) {
	if v == def {
		return
	}
	if v < math.MinInt32 || v > math.MaxInt32 {
		w.fail(name, "%d does not fit a C int", v)
	}
	w.key(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

func (w *jsonWriter) enum(name string, t *enumTable, v, def int32) {
	if v == def {
		return
	}
	w.key(name)
	w.enumValue(name, t, v)
}

func (w *jsonWriter) enumValue(path string, t *enumTable, v int32) {
	text := t.name(v)
	if text == "" {
		w.fail(path, "%s is no known value", t.format(v))
	}
	w.quoted(text)
}

func (w *jsonWriter) string(name, v string) {
	if v != "" {
		w.key(name)
		w.check(name, w.text(v))
	}
}

// check fails if there is a problem.
func (w *jsonWriter) check(path, problem string) {
	if problem != "" {
		w.fail(path, "%s", problem)
	}
}

// never is for a member that libxl's JSON leaves out for good.
func (w *jsonWriter) never(name, v string) {
	if v != "" {
		w.fail(name, "libxl's JSON has no place for it")
	}
}

func (w *jsonWriter) defbool(name string, v Defbool) {
	switch v {
	case DefboolDefault:
		return
	case DefboolTrue, DefboolFalse:
	default:
		w.fail(name, "%d is not a value of Defbool", int8(v))
	}
	w.key(name)
	w.quoted(v.String())
}

func (w *jsonWriter) uuid(name string, v Uuid) {
	if !v.IsNil() {
		w.key(name)
		w.quoted(v.String())
	}
}

func (w *jsonWriter) mac(name string, v Mac) {
	if !v.IsZero() {
		w.key(name)
		w.quoted(v.String())
	}
}

func (w *jsonWriter) genid(name string, v MsVmGenid) {
	if !v.IsZero() {
		w.key(name)
		writeNumbers(w, v[:])
	}
}

// hwcap writes four of the eight words, always, as libxl does.
func (w *jsonWriter) hwcap(name string, v Hwcap) {
	w.key(name)
	writeNumbers(w, v[:4])
}

func writeNumbers[T byte | uint16 | uint32 | uint64](w *jsonWriter, list []T) {
	w.open('[')
	for _, n := range list {
		w.next()
		w.b = strconv.AppendUint(w.b, uint64(n), 10)
	}
	w.close(']')
}

func (w *jsonWriter) bitmap(name string, v Bitmap) {
	if !v.IsEmpty() {
		w.key(name)
		w.bits(v)
	}
}

func (w *jsonWriter) bits(v Bitmap) {
	w.open('[')
	for bit := range v.All() {
		w.next()
		w.b = strconv.AppendInt(w.b, int64(bit), 10)
	}
	w.close(']')
}

func (w *jsonWriter) stringList(name string, list StringList) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.open('[')
	for i, s := range list {
		w.next()
		if problem := w.text(s); problem != "" {
			w.fail(name+jsonIndex(i), "%s", problem)
		}
	}
	w.close(']')
}

func (w *jsonWriter) keyValueList(name string, list KeyValueList) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.open('{')
	for _, k := range slices.Sorted(maps.Keys(list)) {
		w.next()
		problem := w.text(k)
		w.b = append(w.b, ':')
		if p := w.text(list[k]); problem == "" {
			problem = p
		}
		if problem != "" {
			w.fail(fmt.Sprintf("%s[%q]", name, k), "%s", problem)
		}
	}
	w.close('}')
}

// object writes a struct, which is there even if it is empty.
func (w *jsonWriter) object(name string, x jsonAppender) {
	w.key(name)
	failed := w.err != nil
	x.writeJSON(w)
	if w.err != nil && !failed {
		w.err.under(name)
	}
}

// newObject writes a struct that only the newest releases have, unless it is
// empty.
func (w *jsonWriter) newObject(name string, x jsonAppender) {
	before := len(w.b)
	w.object(name, x)
	if bytes.HasSuffix(w.b[before:], []byte(`"`+name+`":{}`)) {
		w.b = w.b[:before]
	}
}

func writeArray[T any](w *jsonWriter, name string, list []T, write func(w *jsonWriter, x *T)) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.open('[')
	for i := range list {
		w.next()
		failed := w.err != nil
		write(w, &list[i])
		if w.err != nil && !failed {
			w.err.under(jsonIndex(i)).under(name)
		}
	}
	w.close(']')
}

// writeStruct writes an element of an array.
func writeStruct[T any, P interface {
	*T
	jsonAppender
}](w *jsonWriter, x *T) {
	P(x).writeJSON(w)
}

func writeBitmap(w *jsonWriter, x *Bitmap) { w.bits(*x) }

func writeUint[T ~byte | ~uint16 | ~uint32 | ~uint64](w *jsonWriter, x *T) {
	w.b = strconv.AppendUint(w.b, uint64(*x), 10)
}

// union writes a union's member; the key's default needs none. A value decides
// which member it is; the key may say the same or be unset.
func (w *jsonWriter) union(field, key string, t *enumTable, have, def int32, member int32, x jsonAppender) {
	name := t.name(member)
	if have != member && have != def && have != 0 {
		w.fail(key, "%s, but there is the member %s of the union %s", t.format(have), name, field)
	}
	w.object(key+"."+name, x)
}

// emptyUnion writes a union without a value.
func (w *jsonWriter) emptyUnion(key string, t *enumTable, have int32) {
	w.key(key + "." + t.name(have))
	w.b = append(w.b, "{}"...)
}

// quoted writes a string that needs no escapes.
func (w *jsonWriter) quoted(s string) { w.b = append(append(append(w.b, '"'), s...), '"') }

// text writes any string, escaped as libxl does, and says why it cannot.
func (w *jsonWriter) text(s string) (problem string) {
	if !utf8.ValidString(s) {
		problem = fmt.Sprintf("%q is not valid UTF-8", s)
	} else if strings.IndexByte(s, 0) >= 0 {
		problem = "contains NUL"
	}
	w.b = append(w.b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		w.b = append(append(w.b, s[start:i]...), '\\')
		start = i + 1
		if n := strings.IndexByte("\"\\\b\f\n\r\t", c); n >= 0 {
			w.b = append(w.b, `"\bfnrt`[n])
		} else {
			const hex = "0123456789ABCDEF"
			w.b = append(w.b, 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	w.b = append(append(w.b, s[start:]...), '"')
	return problem
}
