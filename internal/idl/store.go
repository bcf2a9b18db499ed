package idl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// lineWidth is where a value of idl/libxl.json is broken into several lines.
const lineWidth = 110

// Encode returns the schema as the text of idl/libxl.json.
func Encode(s *Schema) ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := layOut(&b, raw, 0, 0); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// Decode reads the text of idl/libxl.json.
func Decode(data []byte) (*Schema, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	s := new(Schema)
	if err := dec.Decode(s); err != nil {
		return nil, err
	}
	if s.Format != Format {
		return nil, fmt.Errorf("format is %q, this xlidl reads %q", s.Format, Format)
	}
	if len(s.Releases) == 0 {
		return nil, fmt.Errorf("no releases")
	}
	return s, nil
}

// Load reads a file such as idl/libxl.json.
func Load(name string) (*Schema, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.file = name
	return s, nil
}

// layOut writes a JSON value on one line where it fits and with one member or
// element a line where it does not, so that a diff shows what changed.
func layOut(b *bytes.Buffer, raw json.RawMessage, depth, column int) error {
	if line := spaced(raw); column+2*depth+len(line) <= lineWidth || (raw[0] != '{' && raw[0] != '[') {
		b.WriteString(line)
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	open, err := dec.Token()
	if err != nil {
		return err
	}
	indent := "\n" + strings.Repeat("  ", depth+1)
	fmt.Fprint(b, open)
	for first := true; dec.More(); first = false {
		if !first {
			b.WriteByte(',')
		}
		b.WriteString(indent)
		column := 1
		if raw[0] == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			n, _ := fmt.Fprintf(b, "%q: ", key)
			column += n
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := layOut(b, value, depth+1, column); err != nil {
			return err
		}
	}
	b.WriteString(indent[:len(indent)-2])
	b.WriteByte(raw[len(raw)-1])
	return nil
}

// spaced is a compact JSON value with a blank after each colon and comma.
func spaced(raw []byte) string {
	var b strings.Builder
	quoted, escaped := false, false
	for _, c := range raw {
		b.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ':' || c == ','):
			b.WriteByte(' ')
		}
	}
	return b.String()
}
