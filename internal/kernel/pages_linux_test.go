package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestLargePages checks that the middle of much memory may lie in large pages, and that it is zero and aligned.
func TestLargePages(t *testing.T) {
	s := Alloc(3 * largePage / 4)
	begin, middle := uintptr(unsafe.Pointer(&s[0])), uintptr(unsafe.Pointer(&s[len(s)/2]))
	if begin%64 != 0 || slices.Max(s) != 0 || slices.Min(s) != 0 {
		t.Errorf("memory at %x is not aligned zeros", begin)
	}
	probe, err := unix.Mmap(-1, 0, 2*largePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(probe)
	if err := unix.Madvise(probe, unix.MADV_HUGEPAGE); errors.Is(err, unix.EINVAL) {
		t.Skip("this system has no large pages")
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer maps.Close()
	inside := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			inside = from <= middle && middle < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && inside {
			if !slices.Contains(strings.Fields(flags), "hg") {
				t.Errorf("memory at %x has the flags%s, without hg", middle, flags)
			}
			return
		}
	}
	t.Skip("the system does not say which memory may lie in large pages")
}
