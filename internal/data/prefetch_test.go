package data

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"dla/internal/rng"
)

// TestPrefetchGivesTheSameBatches: in order, over epochs, from the middle as after a resume, back and forth.
func TestPrefetchGivesTheSameBatches(t *testing.T) {
	s := All(numbered(50))
	a := Augment{Flip: true, Crop: 4}
	plain := NewAugmentedLoader(s, 8, 3, a)
	var inOrder, resumed, wild []position
	for epoch := range 3 {
		for step := range plain.Steps() {
			inOrder = append(inOrder, position{epoch, step})
		}
	}
	resumed = inOrder[10:]
	r := rng.New(1, "wild", 0, 0)
	for range 60 {
		wild = append(wild, position{r.IntN(3), r.IntN(plain.Steps())})
	}
	for name, order := range map[string][]position{"in order": inOrder, "resumed": resumed,
		"one again and again": slices.Repeat(inOrder[:1], 5), "any order": wild} {
		for _, ahead := range []int{0, 1, 3} {
			p := NewPrefetch(NewAugmentedLoader(s, 8, 3, a), ahead)
			if p.Len() != 50 || p.Steps() != 7 {
				t.Errorf("%d images in %d steps", p.Len(), p.Steps())
			}
			got, want := Batch{X: make([]float32, 8*3072), Y: make([]int32, 8)}, Batch{X: make([]float32, 8*3072),
				Y: make([]int32, 8)}
			for _, at := range order {
				p.Batch(at.epoch, at.step, &got)
				plain.Batch(at.epoch, at.step, &want)
				if got.Rows != want.Rows || !slices.Equal(got.X[:got.Rows*3072], want.X[:want.Rows*3072]) ||
					!slices.Equal(got.Y[:got.Rows], want.Y[:want.Rows]) {
					t.Fatalf("%s, %d ahead: batch %+v is another", name, ahead, at)
				}
			}
			p.Close()
		}
	}
}

// TestPrefetchCloses: no goroutine is left, whether batches were asked for or not, and closing twice is one.
func TestPrefetchCloses(t *testing.T) {
	s := All(numbered(50))
	before := runtime.NumGoroutine()
	for i := range 20 {
		p := NewPrefetch(NewLoader(s, 8, true, 1), 2)
		b := Batch{X: make([]float32, 8*3072), Y: make([]int32, 8)}
		for step := range i % 5 {
			p.Batch(0, step, &b)
		}
		p.Close()
		p.Close()
	}
	for range 100 { // a goroutine that has told it is done may be on its last instructions
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestPrefetchDoesNotAllocate(t *testing.T) {
	p := NewPrefetch(NewAugmentedLoader(All(numbered(50)), 8, 1, Augment{Flip: true, Crop: 4}), 2)
	defer p.Close()
	b := Batch{X: make([]float32, 8*3072), Y: make([]int32, 8)}
	i := 0
	if n := testing.AllocsPerRun(50, func() { p.Batch(i/7, i%7, &b); i++ }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

// TestPrefetchMistakes: they are the caller's, and panic on its goroutine.
func TestPrefetchMistakes(t *testing.T) {
	room := &Batch{X: make([]float32, 8*3072), Y: make([]int32, 8)}
	for name, call := range map[string]func(p *Prefetch){
		"no room":      func(p *Prefetch) { p.Batch(0, 0, &Batch{}) },
		"no such step": func(p *Prefetch) { p.Batch(0, 7, room) },
		"after Close":  func(p *Prefetch) { p.Close(); p.Batch(0, 0, room) },
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPrefetch(NewLoader(All(numbered(50)), 8, true, 1), 2)
			defer p.Close()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call(p)
		})
	}
}

func BenchmarkPrefetch(b *testing.B) {
	p := NewPrefetch(NewAugmentedLoader(All(drawShapes("train", 2000)), 128, 1, Augment{Flip: true, Crop: 4}), 2)
	defer p.Close()
	batch := Batch{X: make([]float32, 128*3072), Y: make([]int32, 128)}
	b.ReportAllocs()
	waited := time.Duration(0)
	for i := range b.N {
		time.Sleep(time.Millisecond) // the step
		began := time.Now()
		p.Batch(i/p.Steps(), i%p.Steps(), &batch)
		waited += time.Since(began)
	}
	b.ReportMetric(float64(waited.Microseconds())/float64(b.N), "µs-waited/op")
}
