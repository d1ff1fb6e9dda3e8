//go:build !windows

package atomicfile

import (
	"errors"
	"syscall"
)

// alive says whether there is a process pid, or may be.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
