package libxl

import (
	"fmt"
	"strconv"
	"strings"
)

// In JSON a CPUID policy is an array of leaves, each with the registers that it
// changes: {"leaf": 7, "subleaf": 0, "ebx": "xxxx..."}, one character for each
// bit. Go has such a leaf as the string "0x7,0x0:ebx=xxxx...". A feature's name,
// as in "avx2=0", is libxl's to translate into a leaf: JSON cannot have it.
//
// Since Xen 4.18 libxl writes {"cpuid": [...], "msr": [...]}, but still reads
// the array, which all releases know: it is what is written here. MSRs come from
// features' names only, so there is no place for them in Go.

var cpuidRegisters = []string{"eax", "ebx", "ecx", "edx"}

// cpuidLeaf is one element of a policy, a number being -1 where there is none.
type cpuidLeaf struct {
	leaf, subleaf int64
	registers     [4]string
}

func (c *cpuidLeaf) String() string {
	s := fmt.Sprintf("%#x", c.leaf)
	if c.subleaf >= 0 {
		s += fmt.Sprintf(",%#x", c.subleaf)
	}
	sep := ":"
	for i, bits := range c.registers {
		if bits != "" {
			s += sep + cpuidRegisters[i] + "=" + bits
			sep = ","
		}
	}
	return s
}

// set sets a register by its name.
func (c *cpuidLeaf) set(register, bits string) error {
	if len(bits) != 32 || strings.Trim(bits, "01xks") != "" {
		return jsonProblem("%q is not 32 of the characters 0, 1, x, k and s", bits)
	}
	for i, name := range cpuidRegisters {
		if name == register {
			if c.registers[i] != "" {
				return jsonProblem("%s is there twice", register)
			}
			c.registers[i] = bits
			return nil
		}
	}
	return jsonProblem("%q is no register", register)
}

// parseCpuidLeaf reads what String gives, and decimal numbers.
func parseCpuidLeaf(s string) (cpuidLeaf, error) {
	c := cpuidLeaf{leaf: -1, subleaf: -1}
	numbers, registers, ok := strings.Cut(s, ":")
	if !ok {
		return c, jsonProblem("libxl's JSON has the bits of registers: cannot write %q, but 0x7,0x0:ebx=xxxx...", s)
	}
	leaf, subleaf, hasSub := strings.Cut(numbers, ",")
	n, err := strconv.ParseUint(leaf, 0, 32)
	c.leaf = int64(n)
	if err == nil && hasSub {
		n, err = strconv.ParseUint(subleaf, 0, 32)
		c.subleaf = int64(n)
	}
	const unused = 1<<32 - 1 // means "none" to libxl
	if err != nil || c.leaf == unused || c.subleaf == unused {
		return c, jsonProblem("%q is no leaf and subleaf", numbers)
	}
	for part := range strings.SplitSeq(registers, ",") {
		name, bits, _ := strings.Cut(part, "=")
		if err := c.set(name, bits); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (w *jsonWriter) cpuidPolicy(name string, list CpuidPolicyList) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.open('[')
	seen := make(map[[2]int64]bool)
	for i, s := range list {
		c, err := parseCpuidLeaf(s)
		if err == nil && seen[[2]int64{c.leaf, c.subleaf}] {
			err = jsonProblem("the leaf of %q is there twice", s)
		}
		if err != nil {
			w.fail(name+jsonIndex(i), "%s", err.(*JSONError).Problem)
			break
		}
		seen[[2]int64{c.leaf, c.subleaf}] = true
		w.next()
		w.open('{')
		w.uint("leaf", uint64(c.leaf), 1<<64-1)
		if c.subleaf >= 0 {
			w.uint("subleaf", uint64(c.subleaf), 1<<64-1)
		}
		for i, bits := range c.registers {
			w.string(cpuidRegisters[i], bits)
		}
		w.close('}')
	}
	w.close(']')
}

func (r *jsonReader) cpuidPolicy(p *CpuidPolicyList) error {
	if r.peek() != '{' {
		return r.cpuidLeaves(p)
	}
	var seen jsonSeen
	return r.object(func(key []byte) error {
		switch string(key) {
		case "cpuid":
			return seen.add(0, r.cpuidLeaves(p))
		case "msr":
			return seen.add(1, r.array(func(int) error {
				return jsonProblem("policies of MSRs cannot be told in Go")
			}))
		}
		return r.unknown()
	})
}

func (r *jsonReader) cpuidLeaves(p *CpuidPolicyList) error {
	var list CpuidPolicyList
	err := r.array(func(int) error {
		c := cpuidLeaf{leaf: -1, subleaf: -1}
		var seen jsonSeen
		err := r.object(func(key []byte) error {
			switch string(key) {
			case "leaf":
				return seen.add(0, r.cpuidNumber(&c.leaf))
			case "subleaf":
				return seen.add(1, r.cpuidNumber(&c.subleaf))
			case "eax", "ebx", "ecx", "edx":
				bits, err := r.rawString()
				if err != nil {
					return err
				}
				return c.set(string(key), string(bits))
			}
			return r.unknown()
		})
		if err == nil && c.leaf < 0 {
			err = jsonProblem("has no leaf")
		}
		if err == nil && c.registers == [4]string{} {
			err = jsonProblem("has no register")
		}
		list = append(list, c.String())
		return err
	})
	if err == nil {
		*p = list
	}
	return err
}

func (r *jsonReader) cpuidNumber(p *int64) error {
	n, err := r.number(0, 1<<32-2)
	*p = int64(n)
	return err
}
