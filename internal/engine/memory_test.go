package engine

import (
	"strings"
	"testing"
)

func TestMemory(t *testing.T) {
	for text, want := range map[string]int64{"MemTotal:       24684092 kB\nMemFree: 1 kB\n": 24684092 << 10,
		"MemFree: 1 kB\nMemTotal: 8 kB\n": 8 << 10, "": 0, "MemTotal: many kB\n": 0} {
		if got := parseMemory(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	defer func(m func() int64) { Memory = m }(Memory)
	Memory = func() int64 { return 8e9 }
	if err := Fits("weights", 8e9); err != nil {
		t.Error(err)
	}
	if err := Fits("weights", 9e9); err == nil || !strings.HasPrefix(err.Error(),
		"weights take 9.0 GB, and this machine has 8.0 GB of memory; ") {
		t.Errorf("error %v", err)
	}
	Memory = func() int64 { return 0 } // a system that does not tell
	if err := Fits("weights", 1<<62); err != nil {
		t.Error(err)
	}
}
