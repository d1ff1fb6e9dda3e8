package kernel

// A convolution whose outputs are pooled need not write them: a thread pools those of its images while they are in the
// cache. For the network of the speedrun that is a third of what the forward pass writes.

// Pools says whether ForwardPooled can compute the convolution.
func (c *Conv) Pools() bool { return c.winograd() }

// ForwardPooled is Forward, without a bias, and pool.Forward of its outputs, which are kept nowhere. pool has their
// size. The results have the bits that they have one after the other.
func (c *Conv) ForwardPooled(pool *MaxPool, y []float32, index []byte, x, w, sums []float32) {
	if !c.Pools() || pool.N != c.N || pool.H != c.OutH() || pool.W != c.OutW() || pool.C != c.OC {
		panic("kernel: a convolution that cannot be pooled so")
	}
	if c.N == 0 {
		return
	}
	_, _ = x[c.N*c.H*c.W*c.IC-1], w[c.K*c.K*c.IC*c.OC-1]
	c.x, c.y, c.w, c.sums, c.add, c.pool = x, nil, w, nil, false, pool
	pool.small, pool.index, pool.sums = y[:pool.Size()], index[:pool.Size()], sums
	c.winoForward()
	c.pool = nil
	pool.small, pool.index, pool.sums = nil, nil, nil
}

// unpooled is p with the outputs of so many images, from the first on, in memory of the lane.
func (p *winoPass) unpooled(l *lane, images int) *winoPass {
	if n := images * p.outH * p.outW * p.to; n > len(l.outputs) {
		l.outputs = Alloc(n)
	}
	l.pass = *p
	l.pass.out = l.outputs
	return &l.pass
}
