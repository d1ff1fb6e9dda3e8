//go:build unix

package bench

import (
	"os/exec"
	"syscall"
)

// endWithAll makes the end of cmd's context kill what cmd has started as well: a peer may be a script.
func endWithAll(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
