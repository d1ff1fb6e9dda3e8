package data

import (
	"fmt"
	"sync"
)

// Prefetch prepares the batches of a Loader ahead of the steps that use them, on a goroutine of its
// own. It has the Loader's methods and gives the same batches, asked for in whatever order; asked for
// in order, they are ready. One goroutine at a time may call Batch; Close ends the preparation.
type Prefetch struct {
	src   *Loader
	next  position // what the worker is at, once it has been told where to begin; no step before
	free  chan *prepared
	ready chan *prepared
	seek  chan position // where the worker is to go on
	quit  chan struct{}
	close sync.Once
	done  sync.WaitGroup
}

// position is a step of an epoch.
type position struct{ epoch, step int }

// prepared is a batch and which one it is.
type prepared struct {
	at    position
	batch Batch
}

// NewPrefetch prepares the batches of l, at least one and at most ahead of them, from the first call
// of Batch on. l belongs to it from then on.
func NewPrefetch(l *Loader, ahead int) *Prefetch {
	ahead = max(1, ahead)
	p := &Prefetch{src: l, next: position{step: -1}, free: make(chan *prepared, ahead), ready: make(chan *prepared, ahead),
		seek: make(chan position, 1), quit: make(chan struct{})}
	px := l.sub.Set.H * l.sub.Set.W * l.sub.Set.C
	for range ahead {
		p.free <- &prepared{batch: Batch{X: make([]float32, l.batch*px), Y: make([]int32, l.batch),
			Index: make([]int32, l.batch)}}
	}
	p.done.Go(p.work)
	return p
}

// Len is the number of images in an epoch.
func (p *Prefetch) Len() int { return p.src.Len() }

// Steps is the number of batches in an epoch; the last may be short.
func (p *Prefetch) Steps() int { return p.src.Steps() }

// Batch fills b with batch step of epoch, both from 0. It panics where b has no room, the epoch no such
// step or Close was called: mistakes of the caller.
func (p *Prefetch) Batch(epoch, step int, b *Batch) {
	want := position{epoch, step}
	if step < 0 || step >= p.Steps() {
		panic(fmt.Sprintf("data: there is no batch %d of %d", step, p.Steps()))
	}
	if want != p.next {
		p.seek <- want
	}
	for {
		select {
		case got := <-p.ready:
			if got.at == want {
				p.hand(got, b)
				return
			}
			p.free <- got // prepared for an order that was not kept
		case <-p.quit:
			panic("data: Prefetch.Batch after Close")
		}
	}
}

// hand copies got to b and gives its memory back to the worker.
func (p *Prefetch) hand(got *prepared, b *Batch) {
	rows, set := got.batch.Rows, p.src.sub.Set
	px := set.H * set.W * set.C
	mustFit(b, rows, px)
	copy(b.X, got.batch.X[:rows*px])
	copy(b.Y, got.batch.Y[:rows])
	if b.Index != nil {
		b.Index = b.Index[:copy(b.Index[:cap(b.Index)], got.batch.Index)]
	}
	b.Rows = rows
	p.next = p.after(got.at)
	p.free <- got
}

func (p *Prefetch) after(at position) position {
	if at.step+1 < p.Steps() {
		return position{at.epoch, at.step + 1}
	}
	return position{at.epoch + 1, 0}
}

// work prepares batch after batch, from where it is told to, as long as there is memory free for one.
func (p *Prefetch) work() {
	var at position
	var free chan *prepared // p.free once there is something to do
	for {
		select {
		case at = <-p.seek:
			free = p.free
		case b := <-free:
			b.at = at
			p.src.Batch(at.epoch, at.step, &b.batch)
			p.ready <- b // has room for all there are
			at = p.after(at)
		case <-p.quit:
			return
		}
	}
}

// Close ends the preparation and waits until it has ended. A second Close does nothing.
func (p *Prefetch) Close() {
	p.close.Do(func() { close(p.quit) })
	p.done.Wait()
}
