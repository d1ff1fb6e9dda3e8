package kernel

import (
	"math"
	"sync"
)

// SGDParams are the constants of one SGD update, as torch.optim.SGD names them. They are float64, as PyTorch's
// are: what is derived from them is rounded to float32 once, at the end.
type SGDParams struct {
	LR, Momentum, WeightDecay float64
	Nesterov                  bool
	Decoupled                 bool // weight decay shrinks w directly, instead of being added to the gradient
	First                     bool // the first update: the velocity is the gradient
}

// SGD updates w and its velocity v by the gradient g, one after the other:
//
//	g += WeightDecay·w  (or w *= 1 - LR·WeightDecay where Decoupled)
//	v  = Momentum·v + g (v = g at the First)
//	w -= LR·v           (LR·(g + Momentum·v) where Nesterov)
func SGD(w, g, v []float32, p SGDParams) {
	v, g = v[:len(w)], g[:len(w)]
	lr, momentum := float32(p.LR), float32(p.Momentum)
	decay, shrink, mu, nesterov := float32(p.WeightDecay), float32(1), momentum, 0
	if p.Decoupled {
		decay, shrink = 0, float32(1-p.LR*p.WeightDecay)
	}
	if p.First {
		mu = 0
	}
	if p.Nesterov {
		nesterov = 1
	}
	n := len(w) / simd.floats
	if n > 0 {
		c := constants(shrink, decay, mu, momentum, lr)
		simd.sgd(&w[0], &g[0], &v[0], n, &c[0], nesterov)
		constantsPool.Put(c)
	}
	for i := n * simd.floats; i < len(w); i++ {
		sgdOne(&w[i], g[i], &v[i], shrink, decay, mu, momentum, lr, p.Nesterov)
	}
}

// sgdOne rounds after every operation: the vector code does the same, and they agree to the bit.
func sgdOne(w *float32, g float32, v *float32, shrink, decay, mu, momentum, lr float32, nesterov bool) {
	x := float32(*w * shrink)
	d := float32(x*decay) + g
	step := float32(*v*mu) + d
	*v = step
	if nesterov {
		step = float32(step*momentum) + d
	}
	*w = x - float32(step*lr)
}

var constantsPool = sync.Pool{New: func() any { return new([8]float32) }}

// constants puts v where generated code may read it; it is to be given back to constantsPool.
func constants(v ...float32) *[8]float32 {
	c := constantsPool.Get().(*[8]float32)
	copy(c[:], v)
	return c
}

// AdamWParams are the constants of one AdamW update, as torch.optim.AdamW names them; Bias1 and Bias2 are
// 1 - Beta1^t and 1 - Beta2^t for step t. They are float64: 1 - Beta2 of a float32 0.999 would be 1.3e-5 too small,
// and every step 6e-6 too long.
type AdamWParams struct {
	LR, Beta1, Beta2, Eps, WeightDecay, Bias1, Bias2 float64
}

// AdamW updates w and its moments m, v by the gradient g (Loshchilov and Hutter 2019,
// https://arxiv.org/abs/1711.05101):
//
//	w *= 1 - LR·WeightDecay
//	m  = Beta1·m + (1-Beta1)·g;  v = Beta2·v + (1-Beta2)·g²
//	w -= LR/Bias1 · m / (sqrt(v)/sqrt(Bias2) + Eps)
func AdamW(w, g, m, v []float32, p AdamWParams) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	c := constants(float32(1-p.LR*p.WeightDecay), float32(1-p.Beta1), float32(p.Beta2), float32(1-p.Beta2),
		float32(p.LR/p.Bias1), float32(math.Sqrt(p.Bias2)), float32(p.Eps))
	n := len(w) / simd.floats
	if n > 0 {
		simd.adamw(&w[0], &g[0], &m[0], &v[0], n, &c[0])
	}
	for i := n * simd.floats; i < len(w); i++ {
		adamwOne(&w[i], g[i], &m[i], &v[i], c)
	}
	constantsPool.Put(c)
}

// adamwOne rounds after every operation, as sgdOne does.
func adamwOne(w *float32, g float32, m, v *float32, c *[8]float32) {
	shrink, oneBeta1, beta2, oneBeta2, step, root, eps := c[0], c[1], c[2], c[3], c[4], c[5], c[6]
	*m += float32((g - *m) * oneBeta1)
	*v = float32(*v*beta2) + float32(float32(g*oneBeta2)*g)
	*w = float32(*w*shrink) - float32(*m*step)/(float32(math.Sqrt(float64(*v)))/root+eps)
}

// Lerp moves dst towards x by the share weight, in [0, 1], as torch.lerp does: a share of 1 gives x itself.
func Lerp(dst, x []float32, weight float32) {
	x = x[:len(dst)]
	if weight < 0.5 {
		for i, v := range x {
			dst[i] += float32(weight * (v - dst[i]))
		}
		return
	}
	for i, v := range x {
		dst[i] = v - float32((v-dst[i])*(1-weight))
	}
}
