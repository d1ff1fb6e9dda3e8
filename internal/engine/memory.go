package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is the machine's memory in bytes, or what this process may have of it; 0 where the system does not tell.
// Tests replace it.
var Memory = func() int64 {
	total := int64(0)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		total = parseMemory(string(b))
	}
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil { // of a container; "max" where there is no limit
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 &&
			(total == 0 || n < total) {
			total = n
		}
	}
	return total
}

// parseMemory finds the line "MemTotal:   16384 kB"; 0 where there is none.
func parseMemory(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		rest, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			continue
		}
		if kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10,
			64); err == nil && kB > 0 {
			return kB << 10
		}
	}
	return 0
}

// Fits returns an error if what needs more bytes than the machine has memory. Allocating them would later end the
// process without a message, or slow down the whole machine.
func Fits(what string, bytes int64) error {
	if total := Memory(); total > 0 && bytes > total {
		return fmt.Errorf("%s take %.1f GB, and this machine has %.1f GB of memory; choose a smaller network or smaller batches", what, float64(bytes)/1e9, float64(total)/1e9)
	}
	return nil
}
