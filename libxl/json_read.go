package libxl

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader reads the JSON of structs. It knows what to expect everywhere, so
// it never goes deeper than the types do.
type jsonReader struct {
	data []byte
	pos  int
}

// jsonParser is a pointer to any of the structs.
type jsonParser interface{ readJSON(r *jsonReader) error }

// unmarshalJSON reads all of data to x, which has its defaults.
func unmarshalJSON(data []byte, x jsonParser) error {
	r := jsonReader{data: data}
	if err := x.readJSON(&r); err != nil {
		return err
	}
	if r.peek() != 0 || r.pos < len(data) {
		return r.syntax("the end")
	}
	return nil
}

// readUnder puts a member's name before the path of an error.
func readUnder(name string, err error) error {
	if e, ok := err.(*JSONError); ok {
		return e.under(name)
	}
	return err
}

// peek skips white space and returns the next byte, 0 at the end.
func (r *jsonReader) peek() byte {
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) take(c byte) bool {
	if r.peek() != c || r.pos >= len(r.data) {
		return false
	}
	r.pos++
	return true
}

// want is the error for a value of a wrong type, or for no value at all.
func (r *jsonReader) want(what string) error {
	c := r.peek()
	switch {
	case r.pos >= len(r.data):
		return jsonProblem("want %s, got the end of the text", what)
	case c == '{':
		return jsonProblem("want %s, got an object", what)
	case c == '[':
		return jsonProblem("want %s, got an array", what)
	case c == '"':
		start := r.pos
		if _, err := r.rawString(); err != nil {
			return err
		}
		return jsonProblem("want %s, got %s", what, shorten(r.data[start:r.pos]))
	}
	if token := r.token(); len(token) > 0 {
		return jsonProblem("want %s, got %s", what, shorten(token))
	}
	return r.syntax(what)
}

// syntax is the error for text that is no JSON.
func (r *jsonReader) syntax(what string) error {
	r.peek()
	if r.pos >= len(r.data) {
		return jsonProblem("want %s, got the end of the text", what)
	}
	return jsonProblem("want %s at byte %d, got %q", what, r.pos, shorten(r.data[r.pos:]))
}

func shorten(b []byte) string {
	const most = 40
	if len(b) <= most {
		return string(b)
	}
	return string(bytes.ToValidUTF8(b[:most], nil)) + "..."
}

// token reads a number, true, false or null, as far as it looks like one.
func (r *jsonReader) token() []byte {
	r.peek()
	start := r.pos
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' {
				break
			}
		}
		r.pos++
	}
	return r.data[start:r.pos]
}

// word takes a token if it is the word.
func (r *jsonReader) word(word string) bool {
	start := r.pos
	if string(r.token()) == word {
		return true
	}
	r.pos = start
	return false
}

// elements reads what is between brackets, with commas.
func (r *jsonReader) elements(open, end byte, what string, element func(i int) error) error {
	if !r.take(open) {
		return r.want(what)
	}
	for i := 0; !r.take(end); i++ {
		if i > 0 && !r.take(',') {
			return r.syntax("a comma or " + string(rune(end)))
		}
		if err := element(i); err != nil {
			return err
		}
	}
	return nil
}

// object reads an object; member reads the value that follows a key.
func (r *jsonReader) object(member func(key []byte) error) error {
	return r.elements('{', '}', "an object", func(int) error {
		if r.peek() != '"' {
			return r.syntax("a key")
		}
		key, err := r.rawString()
		if err != nil {
			return err
		}
		if !r.take(':') {
			return r.syntax("a colon")
		}
		if err := member(key); err != nil {
			return readUnder(string(key), err)
		}
		return nil
	})
}

// jsonSeen are the members that an object has had.
type jsonSeen [2]uint64

// add takes the result of reading member n.
func (s *jsonSeen) add(n int, err error) error {
	if s[n/64]&(1<<(n%64)) != 0 {
		return jsonProblem("is there twice")
	}
	s[n/64] |= 1 << (n % 64)
	return err
}

func (r *jsonReader) unknown() error { return jsonProblem("unknown key") }

// empty reads an object without members.
func (r *jsonReader) empty() error {
	return r.object(func([]byte) error { return r.unknown() })
}

// rawString reads a string; the result may share memory with the text.
func (r *jsonReader) rawString() ([]byte, error) {
	if !r.take('"') {
		return nil, r.want("a string")
	}
	start := r.pos
	var out []byte // once there was an escape
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; {
		case c == '"':
			s := r.data[start:r.pos]
			r.pos++
			if out != nil {
				s = append(out, s...)
			}
			if !utf8.Valid(s) {
				return nil, jsonProblem("%q is not valid UTF-8", s)
			}
			return s, nil
		case c == '\\':
			out = append(out, r.data[start:r.pos]...)
			var err error
			if out, err = r.escape(out); err != nil {
				return nil, err
			}
			start = r.pos
		case c < ' ':
			return nil, jsonProblem("byte %#02x in a string", c)
		default:
			r.pos++
		}
	}
	return nil, jsonProblem("want a string, got the end of the text")
}

// escape reads a backslash and what follows it.
func (r *jsonReader) escape(out []byte) ([]byte, error) {
	r.pos++
	if r.pos >= len(r.data) {
		return nil, jsonProblem("want a string, got the end of the text")
	}
	c := r.data[r.pos]
	r.pos++
	if i := bytes.IndexByte([]byte(`"\/bfnrt`), c); i >= 0 {
		return append(out, "\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return nil, jsonProblem("bad escape \\%c in a string", c)
	}
	n, ok := r.hex4()
	if ok && utf16.IsSurrogate(n) {
		low := rune(0)
		if ok = bytes.HasPrefix(r.data[r.pos:], []byte(`\u`)); ok {
			r.pos += 2
			low, ok = r.hex4()
		}
		n = utf16.DecodeRune(n, low)
		ok = ok && n != utf8.RuneError
	}
	if !ok {
		return nil, jsonProblem("bad escape \\u in a string")
	}
	return utf8.AppendRune(out, n), nil
}

func (r *jsonReader) hex4() (rune, bool) {
	if len(r.data)-r.pos < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.data[r.pos:r.pos+4]), 16, 16)
	r.pos += 4
	return rune(n), err == nil
}

// text reads a string, or null, which libxl takes for none.
func (r *jsonReader) text(p *string) error {
	if r.word("null") {
		*p = ""
		return nil
	}
	return r.textNotNull(p)
}

func (r *jsonReader) textNotNull(p *string) error {
	s, err := r.rawString()
	if err != nil {
		return err
	}
	if bytes.IndexByte(s, 0) >= 0 {
		return jsonProblem("contains NUL")
	}
	*p = string(s)
	return nil
}

// never is for a member that libxl's JSON leaves out for good.
func (r *jsonReader) never() error { return jsonProblem("libxl's JSON has no place for it") }

func (r *jsonReader) bool(p *bool) error {
	switch {
	case r.word("true"):
		*p = true
	case r.word("false"):
		*p = false
	default:
		return r.want("true or false")
	}
	return nil
}

// number reads an integer between lo and hi.
func (r *jsonReader) number(lo int64, hi uint64) (uint64, error) {
	c := r.peek()
	if c != '-' && (c < '0' || c > '9') {
		return 0, r.want("a number")
	}
	token := r.token()
	digits := bytes.TrimPrefix(token, []byte("-"))
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return 0, jsonProblem("want a number, got %s", shorten(token))
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, jsonProblem("want a whole number, got %s", shorten(token))
		}
	}
	if c == '-' {
		n, err := strconv.ParseInt(string(token), 10, 64)
		if err != nil || n < lo {
			return 0, jsonProblem("want a number from %d to %d, got %s", lo, hi, shorten(token))
		}
		return uint64(n), nil
	}
	n, err := strconv.ParseUint(string(token), 10, 64)
	if err != nil || n > hi {
		return 0, jsonProblem("want a number from %d to %d, got %s", lo, hi, shorten(token))
	}
	return n, nil
}

// readUint reads a number of any unsigned type.
func readUint[T ~uint8 | ~uint16 | ~uint32 | ~uint64](r *jsonReader, p *T) error {
	n, err := r.number(0, uint64(^T(0)))
	if err == nil {
		*p = T(n)
	}
	return err
}

// readInt reads a C int.
func readInt[T ~int | ~int32](r *jsonReader, p *T) error {
	n, err := r.number(math.MinInt32, math.MaxInt32)
	if err == nil {
		*p = T(n)
	}
	return err
}

// readEnum reads a value's name, in capitals or not, as libxl does.
func readEnum[T ~int32](r *jsonReader, t *enumTable, p *T) error {
	s, err := r.rawString()
	if err != nil {
		return err
	}
	v, err := parseEnum[T](t, string(s))
	if err != nil {
		return jsonProblem("%q is no %s", shorten(s), t.goName)
	}
	*p = v
	return nil
}

func (r *jsonReader) defbool(p *Defbool) error {
	s, err := r.rawString()
	if err != nil {
		return err
	}
	for _, v := range []Defbool{DefboolDefault, DefboolTrue, DefboolFalse} {
		if string(s) == v.String() {
			*p = v
			return nil
		}
	}
	return jsonProblem(`want "True", "False" or "<default>", got %q`, shorten(s))
}

func (r *jsonReader) uuid(p *Uuid) error {
	s, err := r.rawString()
	if err != nil {
		return err
	}
	if *p, err = ParseUuid(string(s)); err != nil {
		return jsonProblem("%q is no UUID", shorten(s))
	}
	return nil
}

func (r *jsonReader) mac(p *Mac) error {
	s, err := r.rawString()
	if err != nil {
		return err
	}
	if *p, err = ParseMac(string(s)); err != nil {
		return jsonProblem("%q is no MAC address", shorten(s))
	}
	return nil
}

func (r *jsonReader) genid(p *MsVmGenid) error { return readNumbers(r, p[:], len(p)) }

// hwcap reads the four words that libxl writes, or up to all eight.
func (r *jsonReader) hwcap(p *Hwcap) error {
	*p = Hwcap{}
	return readNumbers(r, p[:], 4)
}

// readNumbers reads an array of at least so many numbers.
func readNumbers[T ~uint8 | ~uint32](r *jsonReader, list []T, least int) error {
	n := 0
	err := r.array(func(i int) error {
		if n = i + 1; n > len(list) {
			return jsonProblem("there are only %d", len(list))
		}
		return readUint(r, &list[i])
	})
	if err == nil && n < least {
		return jsonProblem("want an array of %d numbers, got %d", least, n)
	}
	return err
}

func (r *jsonReader) array(element func(i int) error) error {
	return r.elements('[', ']', "an array", func(i int) error {
		if err := element(i); err != nil {
			return readUnder(jsonIndex(i), err)
		}
		return nil
	})
}

func (r *jsonReader) bitmap(p *Bitmap) error {
	var b Bitmap
	err := r.array(func(int) error {
		n, err := r.number(0, maxParsedBit)
		if err == nil {
			b.Set(int(n))
		}
		return err
	})
	if err == nil {
		*p = b
	}
	return err
}

func (r *jsonReader) stringList(p *StringList) error {
	var list StringList
	err := r.array(func(int) error {
		list = append(list, "")
		return r.textNotNull(&list[len(list)-1])
	})
	if err == nil {
		*p = list
	}
	return err
}

func (r *jsonReader) keyValueList(p *KeyValueList) error {
	var list KeyValueList
	err := r.object(func(key []byte) error {
		if bytes.IndexByte(key, 0) >= 0 {
			return jsonProblem("contains NUL")
		}
		k, v := string(key), ""
		if _, ok := list[k]; ok {
			return jsonProblem("is there twice")
		}
		if list == nil {
			list = make(KeyValueList)
		}
		err := r.text(&v)
		list[k] = v
		return err
	})
	if err == nil {
		*p = list
	}
	return err
}

// readArray reads an array whose elements begin as init.
func readArray[T any](r *jsonReader, p *[]T, init T, read func(r *jsonReader, x *T) error) error {
	var list []T
	err := r.array(func(i int) error {
		list = append(list, init)
		return read(r, &list[i])
	})
	if err == nil {
		*p = list
	}
	return err
}

// readStruct reads an element of an array.
func readStruct[T any, P interface {
	*T
	jsonParser
}](r *jsonReader, x *T) error {
	return P(x).readJSON(r)
}
