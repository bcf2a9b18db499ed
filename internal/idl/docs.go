package idl

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// docs are the hand-written texts of idl/docs.json: by the C name of a type,
// then by that of a field or a value, the type's own under the empty name.
type docs map[string]map[string]string

func loadDocs(name string) (docs, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var d docs
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// text returns the text on a type's member.
func (d docs) text(typ, member string) string { return d[typ][member] }

// check refuses texts on things that do not exist.
func (d docs) check(m *model) error {
	known := make(map[string]map[string]bool)
	for _, e := range m.enums {
		known[e.Name] = map[string]bool{"": true}
		for _, v := range e.Values {
			known[e.Name][strings.ToLower(v.Name)] = true
		}
	}
	for _, st := range m.structs {
		known[st.name] = map[string]bool{"": true}
		for _, f := range st.fields {
			known[st.name][f.Name] = true
			if f.union != nil {
				known[st.name][f.union.keyName] = true
			}
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(d)) {
		for _, member := range slices.Sorted(maps.Keys(d[typ])) {
			if !known[typ][member] {
				return fmt.Errorf("docs: there is no %s %s", typ, member)
			}
		}
	}
	return nil
}
