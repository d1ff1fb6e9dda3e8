// Package kernel holds the arithmetic: what a model's ops compute, on plain slices.
//
// A kernel splits its work into chunks by the shapes alone, never by the number of threads, and a
// chunk writes only what is its own, adding in a fixed order. So results are the same bits on any
// number of threads, and the pool may hand chunks to workers as they come free.
//
// Each kernel has a portable Go form; gemm_amd64.go and its neighbours put vector code behind the same
// functions where the processor has it.
package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Task is work in numbered chunks that may run at the same time, in any order.
type Task interface {
	Chunk(i int)
}

// pool is the set of persistent workers. One Run is served at a time.
var pool struct {
	mu      sync.Mutex // held by the Run being served
	threads int
	workers []*worker

	task    Task
	chunks  int32
	next    atomic.Int32
	pending atomic.Int32 // workers still busy with this Run
	done    chan struct{}
}

// worker is one goroutine of the pool. Between two Runs it spins for a while, since a training step is
// a row of short Runs and waking a sleeping thread costs as much as a small one; then it sleeps.
type worker struct {
	state atomic.Int32
	wake  chan struct{} // one token for each time work or leave replaced asleep
}

// The states of a worker.
const (
	idle int32 = iota
	asleep
	work
	leave
)

// spins is how often a worker looks for work before it sleeps: some 20 microseconds.
const spins = 10000

// tell gives the worker its next state.
func (w *worker) tell(s int32) {
	if w.state.Swap(s) == asleep {
		w.wake <- struct{}{}
	}
}

// wait returns work or leave.
func (w *worker) wait() int32 {
	for i := range spins {
		if s := w.state.Load(); s != idle {
			return s
		}
		if i%256 == 255 {
			runtime.Gosched() // there may be more goroutines than processors
		}
	}
	if w.state.CompareAndSwap(idle, asleep) {
		<-w.wake
	}
	return w.state.Load()
}

func (w *worker) loop() {
	for w.wait() == work {
		drain(pool.task, pool.chunks)
		w.state.Store(idle)
		if pool.pending.Add(-1) == 0 {
			select {
			case pool.done <- struct{}{}:
			default:
			}
		}
	}
}

func init() {
	pool.threads = runtime.GOMAXPROCS(0)
	pool.done = make(chan struct{}, 1)
}

// Threads is how many threads a Run uses, the caller's included.
func Threads() int {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	return pool.threads
}

// SetThreads sets the number of threads, at least 1. Results do not depend on it.
func SetThreads(n int) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	pool.threads = max(1, n)
	for _, w := range pool.workers {
		w.tell(leave)
	}
	pool.workers = nil
}

// Run performs chunks 0 … chunks-1 of t and returns when all are done. A Task must not call Run.
// It allocates nothing once the workers have started.
func Run(t Task, chunks int) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if chunks <= 1 || pool.threads == 1 {
		for i := range chunks {
			t.Chunk(i)
		}
		return
	}
	for len(pool.workers) < pool.threads-1 {
		w := &worker{wake: make(chan struct{}, 1)}
		pool.workers = append(pool.workers, w)
		go w.loop()
	}
	helpers := min(len(pool.workers), chunks-1)
	pool.task, pool.chunks = t, int32(chunks)
	pool.next.Store(0)
	pool.pending.Store(int32(helpers))
	for _, w := range pool.workers[:helpers] {
		w.tell(work)
	}
	drain(t, int32(chunks))
	// The other threads have at most a chunk each left: a short spin is cheaper than to sleep. A
	// token in done may be left over from an earlier Run, so pending alone decides.
	for spin := 0; pool.pending.Load() > 0; spin++ {
		switch {
		case spin > 2000:
			<-pool.done
		case spin > 500:
			runtime.Gosched()
		}
	}
	pool.task = nil
}

func drain(t Task, chunks int32) {
	for {
		i := pool.next.Add(1) - 1
		if i >= chunks {
			return
		}
		t.Chunk(int(i))
	}
}

// Alloc returns n zeros whose first element lies on a 64-byte boundary.
func Alloc(n int) []float32 {
	const line = 16 // floats in 64 bytes
	buf := make([]float32, n+line)
	off := 0
	if r := int(uintptr(unsafe.Pointer(&buf[0])) % 64); r != 0 {
		off = (64 - r) / 4
	}
	return buf[off : off+n : off+n]
}
