package kernel

import "math"

// SGDParams are the constants of one SGD update, as torch.optim.SGD names them.
type SGDParams struct {
	LR, Momentum, WeightDecay float32
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
	mu, decay, shrink := p.Momentum, p.WeightDecay, float32(1)
	if p.Decoupled {
		decay, shrink = 0, 1-p.LR*p.WeightDecay
	}
	if p.First {
		mu = 0
	}
	for i := range w {
		x := w[i] * shrink
		d := g[i] + decay*x
		vi := mu*v[i] + d
		v[i] = vi
		if p.Nesterov {
			vi = d + p.Momentum*vi
		}
		w[i] = x - p.LR*vi
	}
}

// AdamWParams are the constants of one AdamW update, as torch.optim.AdamW names them; Bias1 and
// Bias2 are 1 - Beta1^t and 1 - Beta2^t for step t.
type AdamWParams struct {
	LR, Beta1, Beta2, Eps, WeightDecay, Bias1, Bias2 float32
}

// AdamW updates w and its moments m, v by the gradient g (Loshchilov and Hutter 2019,
// https://arxiv.org/abs/1711.05101):
//
//	w *= 1 - LR·WeightDecay
//	m  = Beta1·m + (1-Beta1)·g;  v = Beta2·v + (1-Beta2)·g²
//	w -= LR/Bias1 · m / (sqrt(v)/sqrt(Bias2) + Eps)
func AdamW(w, g, m, v []float32, p AdamWParams) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	step, root, shrink := p.LR/p.Bias1, float32(math.Sqrt(float64(p.Bias2))), 1-p.LR*p.WeightDecay
	for i := range w {
		mi := m[i] + (1-p.Beta1)*(g[i]-m[i])
		vi := p.Beta2*v[i] + (1-p.Beta2)*g[i]*g[i]
		m[i], v[i] = mi, vi
		w[i] = w[i]*shrink - step*mi/(float32(math.Sqrt(float64(vi)))/root+p.Eps)
	}
}
