package web

import (
	"bytes"
	"math"
	"strconv"
	"sync"

	"dla/internal/run"
)

// mostPoints is how many points of a curve a page gets at once. Of a run with more epochs it gets means over several.
const mostPoints = 2000

// curve is the metrics of a run. Pages that show it are told of new epochs.
type curve struct {
	key string

	mu     sync.Mutex
	tail   run.Tail
	epochs []run.Epoch
	err    error
	pages  map[*page]struct{}
	whole  []byte // the frame with all of it, nil after a change
}

func newCurve(key, dir string) *curve {
	return &curve{key: key, tail: run.Tail{Dir: dir}, pages: map[*page]struct{}{}}
}

// curve returns the curve of the run with the key, nil where there is no such run.
func (t *tree) curve(key string) *curve {
	t.mu.Lock()
	defer t.mu.Unlock()
	it := t.byKey[key]
	if it == nil {
		return nil
	}
	if it.curve == nil {
		it.curve = newCurve(key, it.dir)
	}
	return it.curve
}

// advance reads what was recorded since the last time and tells the pages.
func (c *curve) advance() {
	c.mu.Lock()
	defer c.mu.Unlock()
	epochs, again, err := c.tail.Next()
	if len(epochs) == 0 && !again && (err == nil) == (c.err == nil) {
		return
	}
	if again {
		c.epochs = nil
	}
	from := len(c.epochs)
	c.epochs, c.err, c.whole = append(c.epochs, epochs...), err, nil
	if len(c.pages) == 0 {
		return
	}
	frame := c.frame(from, epochs, 1)
	if again || err != nil || len(epochs) > mostPoints {
		frame = c.all()
	}
	for p := range c.pages {
		p.send(frame)
	}
}

// last returns the last epoch and how many there are.
func (c *curve) last() (e run.Epoch, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n = len(c.epochs); n > 0 {
		e = c.epochs[n-1]
	}
	return e, n
}

// join returns the frame with all of c so far. p is told of what follows.
func (c *curve) join(p *page) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages[p] = struct{}{}
	return c.all()
}

// leave undoes join.
func (c *curve) leave(p *page) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pages, p)
}

// all returns the frame with all of c.
func (c *curve) all() []byte {
	if c.whole == nil {
		each := 1
		for len(c.epochs)/each > mostPoints { // powers of two, so that the points of several seeds stay at the same epochs
			each *= 2
		}
		c.whole = c.frame(0, c.epochs, each)
	}
	return c.whole
}

// frame returns the event with epochs, which begin at the place from, as means over each of them.
func (c *curve) frame(from int, epochs []run.Epoch, each int) []byte {
	var b bytes.Buffer
	b.WriteString(`event: curve` + "\n" + `data: {"key":"` + c.key + `","from":` + strconv.Itoa(from) + `,"each":` +
		strconv.Itoa(each) + `,"n":` + strconv.Itoa(from+len(epochs)))
	if c.err != nil {
		b.WriteString(`,"broken":true`)
	}
	b.WriteString(`,"points":[`)
	for i := 0; i < len(epochs); i += each {
		if i > 0 {
			b.WriteByte(',')
		}
		part := epochs[i:min(i+each, len(epochs))]
		e := part[len(part)-1]
		b.WriteByte('[')
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(e.Epoch), 10))
		b.WriteByte(',')
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(e.Step), 10))
		for _, of := range measured {
			b.WriteByte(',')
			b.Write(number(mean(part, of)).append(b.AvailableBuffer()))
		}
		b.WriteByte(']')
	}
	b.WriteString("]}\n\n")
	return b.Bytes()
}

// measured are the numbers of a point after its epoch and step.
var measured = []func(run.Epoch) float64{
	func(e run.Epoch) float64 { return e.LR },
	func(e run.Epoch) float64 { return e.Train.Loss },
	func(e run.Epoch) float64 { return e.Train.Accuracy },
	func(e run.Epoch) float64 { return e.Val.Loss },
	func(e run.Epoch) float64 { return e.Val.Accuracy },
	func(e run.Epoch) float64 {
		if e.GradNorm == nil {
			return math.NaN()
		}
		return *e.GradNorm
	},
}

// mean returns the mean of what was measured in part, NaN where nothing was.
func mean(part []run.Epoch, of func(run.Epoch) float64) float64 {
	if len(part) == 1 {
		return of(part[0])
	}
	sum, n := 0.0, 0
	for _, e := range part {
		if v := of(e); !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	return sum / float64(n)
}
