package cli

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// interruptible derives a context that the first SIGINT or SIGTERM cancels, so that a training can save its state; the
// second exits at once. code returns the exit code for the signal (130, 143), 0 before any.
func interruptible(parent context.Context) (ctx context.Context, code func() int, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	var got atomic.Int32
	go func() {
		for sig := range ch {
			exit := int32(130)
			if sig == syscall.SIGTERM {
				exit = 143
			}
			if !got.CompareAndSwap(0, exit) {
				os.Exit(int(exit))
			}
			cancel()
		}
	}()
	return ctx, func() int { return int(got.Load()) }, func() { signal.Stop(ch); close(ch); cancel() }
}
