package libxl

import (
	"bytes"
	"math"
	"strconv"
)

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
