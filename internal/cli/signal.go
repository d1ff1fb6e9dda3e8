package cli

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// exitUser is the exit code of a command that SIGUSR1 stopped, as a cluster's scheduler does before a time limit.
const exitUser = 138

// interruptible derives a context that the first SIGINT, SIGTERM or SIGUSR1 cancels, so that a training can save its
// state; a second SIGINT or SIGTERM exits at once. code returns the exit code for the signal (130, 143, 138), 0 before
// any.
func interruptible(parent context.Context) (ctx context.Context, code func() int, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, stopSignals...)
	var got atomic.Int32
	go func() {
		hurry := false // one that a person or the system sent has come
		for sig := range ch {
			exit := exitOf(sig)
			got.CompareAndSwap(0, exit)
			if exit != exitUser {
				if hurry {
					os.Exit(int(exit))
				}
				hurry = true
			}
			cancel()
		}
	}()
	return ctx, func() int { return int(got.Load()) }, func() { signal.Stop(ch); close(ch); cancel() }
}

// exitOf returns the exit code for a signal.
func exitOf(sig os.Signal) int32 {
	switch sig {
	case os.Interrupt:
		return 130
	case syscall.SIGTERM:
		return 143
	}
	return exitUser
}
