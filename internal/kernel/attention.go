package kernel

import (
	"math"

	"dla/internal/rng"
)

// Attention is scaled dot-product attention of several heads (Vaswani et al. 2017,
// https://arxiv.org/abs/1706.03762) over sentences that lie end to end: each token attends to those of its
// own sentence. For each sentence and head, with Q, K, V [n, d] the head's columns of the sentence's rows,
//
//	S = Q·Kᵀ/√d (+ bias by distance),  P = softmax of S by rows,  out = dropout(P)·V
//
// A chunk is one sentence and one head: it reads its columns where they lie, and no memory is needed beyond
// a few [n, n] matrices a thread. The gradients compute P anew. The methods allocate nothing once the
// scratch memory has grown to the longest sentence.
type Attention struct {
	Tokens, Heads, HeadSize int
	Offsets                 []int32 // [sentences+1]: where each sentence begins, and the end

	// The bias of a key d tokens after its query is Table[Bucket[d+Span-1], head], for |d| < Span: no
	// sentence may be longer than Span. Table is [buckets, Heads]; nil: no bias.
	Table  []float32
	Bucket []int32
	Span   int

	// The probability of dropping an element of P, and the stream to draw from; 0: none is dropped.
	Drop   float64
	Stream rng.Stream

	out, q, k, v, dout, dq, dk, dv []float32
	scale                          [1]float32
	byDistance                     []float32 // [Heads, 2·Span - 1 + 16]: the bias
	bucketSums                     []float32 // [sentences, Heads, buckets]: its gradient
	dropout                        dropoutArgs
	phase                          phase[Attention]
}

// Forward computes out from q, k and v, all [Tokens, Heads·HeadSize].
func (a *Attention) Forward(out, q, k, v []float32) {
	a.check(out, q, k, v)
	a.out, a.q, a.k, a.v = out, q, k, v
	a.run((*Attention).forwardHead)
}

// Backward computes the gradients by q, k and v, and by Table if dtable is not nil, from the gradient by out. The
// gradients must not overlap the inputs.
func (a *Attention) Backward(dq, dk, dv, dtable, dout, q, k, v []float32) {
	a.check(dq, dk, dv, dout, q, k, v)
	a.dq, a.dk, a.dv, a.dout, a.q, a.k, a.v = dq, dk, dv, dout, q, k, v
	if a.Table == nil || dtable == nil {
		a.run((*Attention).backwardHead)
		return
	}
	buckets := len(a.Table) / a.Heads
	pairs := (len(a.Offsets) - 1) * a.Heads
	a.bucketSums = borrow(max(1, pairs*buckets))
	a.run((*Attention).backwardHead)
	clear(dtable[:len(a.Table)])
	for pair := range pairs {
		for b, v := range a.bucketSums[pair*buckets:][:buckets] {
			dtable[b*a.Heads+pair%a.Heads] += v
		}
	}
	a.bucketSums = nil
	giveBack()
}

// check panics where a slice is too short or the sentences are not what they should be.
func (a *Attention) check(tensors ...[]float32) {
	for _, t := range tensors {
		if len(t) < a.Tokens*a.Heads*a.HeadSize {
			panic("kernel: a tensor is too short for attention")
		}
	}
	for i, o := range a.Offsets[1:] {
		n := int(o) - int(a.Offsets[i])
		if a.Offsets[i] < 0 || n < 0 || int(o) > a.Tokens || a.Table != nil && n > a.Span {
			panic("kernel: sentences out of bounds")
		}
	}
}

// run runs a pass, of which a chunk is one sentence and one head.
func (a *Attention) run(pass func(*Attention, *lane, int)) {
	a.scale[0] = float32(1 / math.Sqrt(float64(a.HeadSize)))
	if a.Table != nil {
		a.spread()
	}
	if a.Drop > 0 {
		a.dropout.init(a.Stream, a.Drop)
	}
	a.phase.run(a, pass, (len(a.Offsets)-1)*a.Heads)
	a.out, a.q, a.k, a.v, a.dout, a.dq, a.dk, a.dv = nil, nil, nil, nil, nil, nil, nil, nil
}

// vectorPad is how far a row is read beyond its end: up to the longest vector.
const vectorPad = 16

// spread writes each head's bias by distance, as far as the longest sentence reaches.
func (a *Attention) spread() {
	row := 2*a.Span - 1 + vectorPad
	longest := 0
	for i, o := range a.Offsets[1:] {
		longest = max(longest, int(o-a.Offsets[i]))
	}
	if len(a.byDistance) < a.Heads*row {
		a.byDistance = Alloc(a.Heads * row)
	}
	for h := range a.Heads {
		for i := a.Span - longest; i < a.Span+longest-1; i++ {
			a.byDistance[h*row+i] = a.Table[int(a.Bucket[i])*a.Heads+h]
		}
	}
}

// head is one sentence and one head: what a chunk works on.
type head struct {
	*Attention
	l     *lane
	n, ld int // tokens, and the rows of [n, n] matrices: whole vectors of any length
	at    int // of the head's first element in [Tokens, Heads·HeadSize]
	pair  int
	free  []float32 // scratch not yet taken
}

func (a *Attention) forwardHead(l *lane, pair int) {
	if h := a.head(l, pair); h.n > 0 {
		h.forward()
	}
}

func (a *Attention) backwardHead(l *lane, pair int) {
	h := a.head(l, pair)
	switch {
	case h.n > 0:
		h.gradients()
	case a.bucketSums != nil:
		buckets := len(a.Table) / a.Heads
		clear(a.bucketSums[pair*buckets:][:buckets])
	}
}

// head is a pair of a sentence and a head, with the scratch memory of l.
func (a *Attention) head(l *lane, pair int) head {
	s := pair / a.Heads
	o := int(a.Offsets[s])
	h := head{Attention: a, l: l, n: int(a.Offsets[s+1]) - o, pair: pair,
		at: o*a.Heads*a.HeadSize + pair%a.Heads*a.HeadSize}
	h.ld = (h.n + vectorPad - 1) / vectorPad * vectorPad
	// Three [n, n] and two [d, n] matrices, one vector by distance, four padded heads.
	h.free = l.floats(3*(h.n*h.ld+dropoutGroup) + 2*a.HeadSize*h.ld + 2*h.n + 2*vectorPad + 4*h.n*(a.HeadSize+vectorPad))
	return h
}

// take is n floats of scratch.
func (h *head) take(n int) []float32 {
	t := h.free[:n]
	h.free = h.free[n:]
	return t
}

// square is scratch for an [n, n] matrix, and to whole groups of dropout.
func (h *head) square() []float32 {
	return h.take((h.n*h.ld + dropoutGroup - 1) / dropoutGroup * dropoutGroup)
}

// transposed is the head's columns of m as [d, n], with zeros up to ld.
func (h *head) transposed(m []float32) []float32 {
	t := h.take(h.HeadSize * h.ld)
	clear(t)
	transposeInto(t, h.ld, m[h.at:], h.Heads*h.HeadSize, h.n, h.HeadSize)
	return t
}

// whole says that a head is whole vectors, so that it can be multiplied, and written, where it lies.
func (h *head) whole() bool { return h.HeadSize%simd.floats == 0 }

// columns is the head's columns of m as the right factor of a product, and their leading dimension.
func (h *head) columns(m []float32) ([]float32, int) {
	hidden := h.Heads * h.HeadSize
	if h.whole() {
		return m[h.at:], hidden
	}
	wide := h.padded()
	t := h.take(h.n * wide)
	for i := range h.n {
		clear(t[i*wide+copy(t[i*wide:], m[h.at+i*hidden:][:h.HeadSize]) : (i+1)*wide])
	}
	return t, wide
}

// padded is HeadSize in whole vectors.
func (h *head) padded() int { return tiles(h.HeadSize, simd.floats) * simd.floats }

// product writes s·b, or sᵀ·b, to the head's columns of dst, for s [n, n] and b as columns gives it.
func (h *head) product(dst, s []float32, transposed bool, b []float32, ldb int) {
	hidden := h.Heads * h.HeadSize
	if h.whole() {
		h.l.multiply(dst[h.at:], hidden, s, h.ld, transposed, b, ldb, h.n, h.HeadSize, h.n)
		return
	}
	wide := h.padded()
	t := h.free[:h.n*wide]
	h.l.multiply(t, wide, s, h.ld, transposed, b, ldb, h.n, wide, h.n)
	for i := range h.n {
		copy(dst[h.at+i*hidden:][:h.HeadSize], t[i*wide:])
	}
}

// vectors is how many vectors have the n columns of a row.
func (h *head) vectors() int { return tiles(h.n, simd.floats) }

// probabilities is P, for K as transposed gives it.
func (h *head) probabilities(kT []float32) []float32 {
	p := h.square()
	h.l.multiply(p, h.ld, h.q[h.at:], h.Heads*h.HeadSize, false, kT, h.ld, h.n, h.ld, h.HeadSize)
	// What the last vector has beyond n is made impossible.
	last := h.n - (h.vectors()-1)*simd.floats
	for i := range h.l.end {
		h.l.end[i] = 0
		if i >= last {
			h.l.end[i] = float32(math.Inf(-1))
		}
	}
	var bias *float32
	if h.Table != nil { // of row 0; that of row i begins i floats before
		bias = &h.byDistance[h.pair%h.Heads*(2*h.Span-1+vectorPad)+h.Span-1]
	}
	simd.softmax(&p[0], h.n, h.vectors(), uintptr(4*h.ld), &h.scale[0], &h.l.end[0], bias, &functionConstants[0])
	return p
}

// drop is dst = dropout(src), both from square, with draws of the pair's own.
func (h *head) drop(dst, src []float32) {
	h.l.dropout = h.Attention.dropout
	h.l.dropout.ctr[0] += uint32(h.pair)
	h.l.dropout.run(dst, src, 0)
}

func (h *head) forward() {
	p := h.probabilities(h.transposed(h.k))
	if h.Drop > 0 {
		h.drop(p, p)
	}
	v, ldv := h.columns(h.v)
	h.product(h.out, p, false, v, ldv)
}

// gradients computes, with dP the gradient by P:
//
//	dV = dropout(P)ᵀ·dout,  dP = dropout(dout·Vᵀ),  dS = P∘(dP - Σ P∘dP)
//	dQ = dS·K/√d,  dK = dSᵀ·Q/√d
func (h *head) gradients() {
	hidden := h.Heads * h.HeadSize
	p := h.probabilities(h.transposed(h.k))
	d := h.square()
	h.l.multiply(d, h.ld, h.dout[h.at:], hidden, false, h.transposed(h.v), h.ld, h.n, h.ld, h.HeadSize)
	kept := p
	if h.Drop > 0 {
		kept = h.square()
		h.drop(kept, p)
		h.drop(d, d)
	}
	b, ldb := h.columns(h.dout)
	h.product(h.dv, kept, true, b, ldb)
	simd.softmaxGrad(&d[0], &p[0], h.n, h.vectors(), uintptr(4*h.ld), &h.scale[0])
	if h.bucketSums != nil {
		h.sumBuckets(d)
	}
	b, ldb = h.columns(h.k)
	h.product(h.dq, d, false, b, ldb)
	b, ldb = h.columns(h.q)
	h.product(h.dk, d, true, b, ldb)
}

// sumBuckets sums d = dS/√d by distance, and that by bucket.
func (h *head) sumBuckets(d []float32) {
	sums := h.free[:h.n-1+h.vectors()*simd.floats]
	clear(sums)
	for i := range h.n {
		s := &sums[h.n-1-i]
		simd.add(s, s, &d[i*h.ld], h.vectors())
	}
	buckets := len(h.Table) / h.Heads
	out := h.bucketSums[h.pair*buckets:][:buckets]
	clear(out)
	for i, v := range sums[:2*h.n-1] {
		out[h.Bucket[i-(h.n-1)+h.Span-1]] += v / h.scale[0]
	}
}

// multiply is c [m, n] = a·b, or aᵀ·b, for n whole vectors, by one thread.
func (l *lane) multiply(c []float32, ldc int, a []float32, lda int, transposed bool, b []float32, ldb, m, n, k int) {
	l.brgemm = brgemm{lda: uintptr(4 * lda), ldb: uintptr(4 * ldb), ldc: uintptr(4 * ldc), k: k, segs: 1}
	for j := 0; j < n; {
		vectors := min(2, (n-j)/simd.floats)
		l.a, l.b, l.c = at(a, 0), at(b, j), at(c, j)
		l.brgemm.run(transposed, vectors, m)
		j += simd.width(vectors)
	}
}
