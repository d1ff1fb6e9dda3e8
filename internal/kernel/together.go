package kernel

// Part is all the work of a kernel as one phase, which can run beside those of other kernels. Until it has run, the
// kernel is not to be used for anything else.
type Part struct {
	task   task
	chunks int
}

// part is chunks 0 … chunks-1 of do as a Part.
func (p *phase[K]) part(k *K, do func(k *K, l *lane, i int), chunks int) Part {
	p.of, p.do = k, do
	return Part{p, chunks}
}

// Together runs parts as one phase, so that threads wait for each other once and not after each. Small products take
// little longer than that. No part may read or write what another writes.
type Together struct{ parts []Part }

// Add adds a part to the next Run.
func (t *Together) Add(p Part) { t.parts = append(t.parts, p) }

// Run runs the parts, and forgets them. It allocates nothing.
func (t *Together) Run() {
	chunks := 0
	for _, p := range t.parts {
		chunks += p.chunks
	}
	run(t, chunks)
	t.Drop()
}

// Drop forgets the parts.
func (t *Together) Drop() {
	clear(t.parts)
	t.parts = t.parts[:0]
}

func (t *Together) chunk(l *lane, i int) {
	for _, p := range t.parts {
		if i < p.chunks {
			p.task.chunk(l, i)
			return
		}
		i -= p.chunks
	}
}
