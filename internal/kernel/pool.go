// Package kernel holds the arithmetic: what a model's ops compute, on plain slices.
//
// A kernel splits its work into chunks by the shapes alone, never by the number of threads, and a
// chunk writes only what is its own, adding in a fixed order. So results are the same bits on any
// number of threads, and the pool may hand chunks to workers as they come free.
//
// The inner loops are generated vector code (asm/ has the generator) with a twin in plain Go, one set
// for each level of instructions; see level.go.
package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Task is work in numbered chunks, which may run at the same time and in any order.
type Task interface {
	Chunk(i int)
}

// task is a Task of this package, whose chunks use the lane they run on.
type task interface {
	chunk(l *lane, i int)
}

// phase is one step of a kernel K as a task: do is a method of K, as a method expression. To choose it needs no
// switch in each chunk, and, unlike a method value, allocates nothing. A kernel holds its own phase, and runs one after
// the other.
type phase[K any] struct {
	of *K
	do func(k *K, l *lane, i int)
}

func (p *phase[K]) chunk(l *lane, i int) { p.do(p.of, l, i) }

// run performs chunks 0 … chunks-1 of do.
func (p *phase[K]) run(k *K, do func(k *K, l *lane, i int), chunks int) {
	p.of, p.do = k, do
	run(p, chunks)
	p.of, p.do = nil, nil
}

// lane is what a thread of the pool lends the chunk it runs: an argument block for the microkernels
// (which escapes, since they are called through a table) and scratch memory.
type lane struct {
	brgemm
	dropout dropoutArgs
	end     [16]float32
	scratch []float32
	outputs []float32 // of a convolution that pools them, by pass
	pass    winoPass
	inputs  []float32 // of a convolution whose Before makes them, by source
	source  winoPass
}

// floats is scratch memory of n floats, aligned to 64 bytes, its content arbitrary.
func (l *lane) floats(n int) []float32 {
	if n > len(l.scratch) {
		l.scratch = Alloc(n)
	}
	return l.scratch[:n]
}

// outer runs a Task of another package.
type outer struct{ t Task }

func (o *outer) chunk(_ *lane, i int) { o.t.Chunk(i) }

// pool is the set of persistent workers. One Run is served at a time.
var pool struct {
	mu      sync.Mutex // held by the Run being served
	threads int
	workers []*worker
	caller  lane // of the goroutine that called Run
	outer   outer

	task    task
	shares  []share      // of the threads that serve this Run, the caller's first
	pending atomic.Int32 // workers still busy with this Run
	done    chan struct{}
}

// share is the chunks a thread begins with: a stretch of all, the same in every Run of as many chunks,
// so that what a thread wrote is still in its cache when the next kernel reads it. A thread that is
// through takes from the others' shares.
type share struct {
	next atomic.Int32
	end  int32
	_    [56]byte // a cache line each
}

// worker is one goroutine of the pool. Between two Runs it spins for a while, since a training step is
// a row of short Runs and waking a sleeping thread costs as much as a small one; then it sleeps.
type worker struct {
	lane
	index int // of its share
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
		drain(pool.task, w.index, &w.lane)
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

// Threads returns how many threads Run uses, that of the caller included.
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
	pool.outer.t = t
	serve(&pool.outer, chunks)
	pool.outer.t = nil
}

// run is Run for a task of this package.
func run(t task, chunks int) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	serve(t, chunks)
}

func serve(t task, chunks int) {
	if chunks <= 1 || pool.threads == 1 {
		for i := range chunks {
			t.chunk(&pool.caller, i)
		}
		return
	}
	for len(pool.workers) < pool.threads-1 {
		w := &worker{wake: make(chan struct{}, 1), index: len(pool.workers) + 1}
		pool.workers = append(pool.workers, w)
		go w.loop()
	}
	helpers := min(len(pool.workers), chunks-1)
	pool.task = t
	if cap(pool.shares) < pool.threads {
		pool.shares = make([]share, pool.threads)
	}
	pool.shares = pool.shares[:helpers+1]
	for i := range pool.shares {
		pool.shares[i].next.Store(int32(cut(chunks, i, helpers+1)))
		pool.shares[i].end = int32(cut(chunks, i+1, helpers+1))
	}
	pool.pending.Store(int32(helpers))
	for _, w := range pool.workers[:helpers] {
		w.tell(work)
	}
	drain(t, 0, &pool.caller)
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

// drain runs the chunks of share own, and then what others have left.
func drain(t task, own int, l *lane) {
	for i := range pool.shares {
		s := &pool.shares[(own+i)%len(pool.shares)]
		for {
			c := s.next.Add(1) - 1
			if c >= s.end {
				break
			}
			t.chunk(l, int(c))
		}
	}
}

// workspace is memory for what a kernel keeps between its phases: packed operands, partial sums.
// Kernels that need it take turns, so a network needs no more of it than its hungriest layer.
var workspace struct {
	mu  sync.Mutex
	buf []float32
}

// borrow lends n floats, aligned to 64 bytes, their content arbitrary, until giveBack.
func borrow(n int) []float32 {
	workspace.mu.Lock()
	if n > len(workspace.buf) {
		workspace.buf = Alloc(n)
	}
	return workspace.buf[:n]
}

func giveBack() { workspace.mu.Unlock() }

// Alloc returns n zeros whose first element lies on a 64-byte boundary. Much memory lies in large pages, where the
// system has them.
func Alloc(n int) []float32 {
	const line = 16 // floats in 64 bytes
	buf := make([]float32, n+line)
	off := 0
	if r := int(uintptr(unsafe.Pointer(&buf[0])) % 64); r != 0 {
		off = (64 - r) / 4
	}
	largePages(buf)
	return buf[off : off+n : off+n]
}
