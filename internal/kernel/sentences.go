package kernel

import "math"

// SentencePool makes one vector of each sentence of x [tokens, Width], sentence s of which has the rows from
// Offsets[s] to Offsets[s+1]; none may be empty. Its methods allocate nothing.
type SentencePool struct {
	Offsets []int32
	Width   int

	dst, src []float32
	op       sentenceOp
}

type sentenceOp int

const (
	sentenceMean sentenceOp = iota
	sentenceMeanGrad
	sentenceFirst
	sentenceFirstGrad
)

// Mean is y [sentences, Width], the mean of each sentence's rows.
func (p *SentencePool) Mean(y, x []float32) { p.run(y, x, sentenceMean) }

// MeanGrad is dx [tokens, Width] from dy [sentences, Width].
func (p *SentencePool) MeanGrad(dx, dy []float32) { p.run(dx, dy, sentenceMeanGrad) }

// First is y [sentences, Width], the first row of each sentence: the token [CLS] or <s>.
func (p *SentencePool) First(y, x []float32) { p.run(y, x, sentenceFirst) }

// FirstGrad is dx [tokens, Width] from dy [sentences, Width].
func (p *SentencePool) FirstGrad(dx, dy []float32) { p.run(dx, dy, sentenceFirstGrad) }

func (p *SentencePool) run(dst, src []float32, op sentenceOp) {
	p.dst, p.src, p.op = dst, src, op
	run(p, len(p.Offsets)-1)
	p.dst, p.src = nil, nil
}

func (p *SentencePool) chunk(_ *lane, s int) {
	o0, o1, w := int(p.Offsets[s]), int(p.Offsets[s+1]), p.Width
	one := func(m []float32) []float32 { return m[s*w:][:w] }
	row := func(m []float32, i int) []float32 { return m[i*w:][:w] }
	switch p.op {
	case sentenceFirst:
		copy(one(p.dst), row(p.src, o0))
	case sentenceFirstGrad:
		copy(row(p.dst, o0), one(p.src))
		clear(p.dst[(o0+1)*w : o1*w])
	case sentenceMean:
		y := one(p.dst)
		clear(y)
		for i := o0; i < o1; i++ {
			addTo(y, row(p.src, i))
		}
		n := float32(o1 - o0)
		for c := range y {
			y[c] /= n
		}
	case sentenceMeanGrad:
		n := float32(o1 - o0)
		for i := o0; i < o1; i++ {
			dx := row(p.dst, i)
			for c, v := range one(p.src) {
				dx[c] = v / n
			}
		}
	}
}

// shortest is the length below which a vector is not stretched to 1, as torch.nn.functional.normalize has it.
const shortest = 1e-12

// Normalize is y = x/|x| row by row, for x [rows, width]; the length counts as at least 1e-12. y may be x.
func Normalize(y, x []float32, rows, width int) {
	for r := range rows {
		row, out := x[r*width:][:width], y[r*width:][:width]
		n := float32(max(math.Sqrt(SumSquares(row)), shortest))
		for c, v := range row {
			out[c] = v / n
		}
	}
}

// NormalizeGrad is dx = (dy - y·Σ y·dy)/|x| row by row, for y = x/|x|. dx may be dy.
func NormalizeGrad(dx, dy, x []float32, rows, width int) {
	for r := range rows {
		row, grad, out := x[r*width:][:width], dy[r*width:][:width], dx[r*width:][:width]
		n := max(math.Sqrt(SumSquares(row)), shortest)
		dot := 0.0
		for c, v := range row {
			dot += float64(v) / n * float64(grad[c])
		}
		for c, v := range row {
			out[c] = float32((float64(grad[c]) - float64(v)/n*dot) / n)
		}
	}
}
