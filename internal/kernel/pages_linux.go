package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// largePage is the size of the large pages of most processors, in bytes.
const largePage = 2 << 20

// largePages asks for large pages for what of s can lie in them. The values of a Winograd convolution lie in dozens of
// rows far apart, and weights are read megabytes at a time: with pages of 4 KB the processor would look addresses up
// most of the time. A system that has no large pages says no, and all is as before.
func largePages(s []float32) {
	begin := uintptr(unsafe.Pointer(&s[0]))
	from, to := (begin+largePage-1)&^(largePage-1)-begin, (begin+uintptr(4*len(s)))&^(largePage-1)-begin
	if begin+uintptr(4*len(s)) < begin+from+largePage {
		return
	}
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 4*len(s))[from:to], unix.MADV_HUGEPAGE)
}
