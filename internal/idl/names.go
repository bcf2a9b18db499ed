package idl

import "strings"

// goName turns a C name into a Go name as Xen's own Go binding does: the words
// between underscores get capitals, and so does a letter after a digit
// (altp2m is Altp2M), like Python's str.title.
func goName(c string) string {
	var b strings.Builder
	letter := false
	for _, r := range strings.ToLower(c) {
		if r == '_' {
			letter = false
			continue
		}
		isLetter := 'a' <= r && r <= 'z'
		if isLetter && !letter {
			r += 'A' - 'a'
		}
		letter = isLetter
		b.WriteRune(r)
	}
	return b.String()
}

// lowerFirst makes a Go name unexported.
func lowerFirst(name string) string { return strings.ToLower(name[:1]) + name[1:] }
