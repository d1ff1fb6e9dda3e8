//go:build !windows

package cli

import (
	"os"
	"os/exec"
	"syscall"
)

var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1}

// apart keeps the terminal's signals from c: its parent passes on what it gets.
func apart(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
