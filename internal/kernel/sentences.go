package kernel

// SentencePool reduces each sentence of x [tokens, Width] to one vector. Sentence s has the rows from Offsets[s] to
// Offsets[s+1]; no sentence may be empty. Its methods allocate nothing.
type SentencePool struct {
	Offsets []int32
	Width   int

	dst, src []float32
	phase    phase[SentencePool]
}

// Mean computes y [sentences, Width], the mean of the rows of each sentence.
func (p *SentencePool) Mean(y, x []float32) { p.run(y, x, (*SentencePool).mean) }

// MeanGrad computes dx [tokens, Width] from dy [sentences, Width].
func (p *SentencePool) MeanGrad(dx, dy []float32) { p.run(dx, dy, (*SentencePool).meanGrad) }

// First computes y [sentences, Width], the first row of each sentence: the token [CLS] or <s>.
func (p *SentencePool) First(y, x []float32) { p.run(y, x, (*SentencePool).first) }

// FirstGrad computes dx [tokens, Width] from dy [sentences, Width].
func (p *SentencePool) FirstGrad(dx, dy []float32) { p.run(dx, dy, (*SentencePool).firstGrad) }

// run runs a pass, of which a chunk is a sentence.
func (p *SentencePool) run(dst, src []float32, pass func(*SentencePool, *lane, int)) {
	p.dst, p.src = dst, src
	p.phase.run(p, pass, len(p.Offsets)-1)
	p.dst, p.src = nil, nil
}

// row is row i of m, of one vector a row.
func (p *SentencePool) row(m []float32, i int) []float32 { return m[i*p.Width:][:p.Width] }

// span is the rows that sentence s has.
func (p *SentencePool) span(s int) (from, to int) { return int(p.Offsets[s]), int(p.Offsets[s+1]) }

func (p *SentencePool) first(_ *lane, s int) { copy(p.row(p.dst, s), p.row(p.src, int(p.Offsets[s]))) }

func (p *SentencePool) firstGrad(_ *lane, s int) {
	from, to := p.span(s)
	copy(p.row(p.dst, from), p.row(p.src, s))
	clear(p.dst[(from+1)*p.Width : to*p.Width])
}

func (p *SentencePool) mean(_ *lane, s int) {
	from, to := p.span(s)
	y := p.row(p.dst, s)
	clear(y)
	for i := from; i < to; i++ {
		addTo(y, p.row(p.src, i))
	}
	n := float32(to - from)
	for c := range y {
		y[c] /= n
	}
}

func (p *SentencePool) meanGrad(_ *lane, s int) {
	from, to := p.span(s)
	n := float32(to - from)
	for i := from; i < to; i++ {
		dx := p.row(p.dst, i)
		for c, v := range p.row(p.src, s) {
			dx[c] = v / n
		}
	}
}
