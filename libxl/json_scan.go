package libxl

import (
	"bytes"
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
