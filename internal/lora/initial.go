package lora

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"dla/internal/nn"
	"dla/internal/rng"
)

// Most ways to begin an adapter leave the model as it is: A is drawn and B is 0, or what they add at first is part
// of what is trained. Some take the first A and B from the model's own weights and subtract their product there, so
// that the sum is the model's: W' = W - s·B0·A0, s the scale. PEFT does so each time it loads the adapter, and
// then A and B are read from the file. So W' is computed here as well:
//
//   - pissa (Meng et al. 2024, https://arxiv.org/abs/2404.02948): s·B0·A0 is the part of W along its rank largest
//     singular values.
//   - olora (Büyükakyüz 2024, https://arxiv.org/abs/2406.01775): with W = Q·R, B0 is the first rank columns of Q and
//     A0 the first rank rows of R. Their product is the projection of W on the span of its first rank columns.
//
// Neither depends on the signs that the decompositions leave open.

// initial is init_lora_weights: how an adapter began.
type initial struct {
	name string // "": a true, false or null
}

// The names of those that change the weights beside the adapter, and of those that do not.
const (
	pissa = "pissa"
	olora = "olora"
)

var plain = []string{"gaussian", "eva", "orthogonal", "mica"}

func (n *initial) UnmarshalJSON(b []byte) error {
	var plain *bool
	if json.Unmarshal(b, &plain) == nil {
		return nil
	}
	err := json.Unmarshal(b, &n.name)
	if lower := strings.ToLower(n.name); lower == olora || lower == "gaussian" || lower == "mica" { // PEFT's readings
		n.name = lower
	}
	return err
}

// ofBase says whether the weights beside the adapter are changed.
func (n initial) ofBase() bool { return n.name == pissa || n.name == olora }

func (n initial) check() error {
	switch {
	case n.name == "" || n.ofBase() || slices.Contains(plain, n.name):
		return nil
	case strings.HasPrefix(n.name, "pissa_niter_"), strings.HasPrefix(n.name, "corda"), n.name == "lora_ga":
		return fmt.Errorf("init_lora_weights is %q: it changed the base's weights by what is random or not in the file; %s",
			n.name, convertIt)
	case n.name == "loftq":
		return fmt.Errorf("init_lora_weights is %q: it quantised the base's weights, which is not computed here; %s", n.name,
			mergeIt)
	}
	return fmt.Errorf("init_lora_weights is %q, want true, false, %s, %s or one of %v; %s", n.name, pissa, olora, plain,
		mergeIt)
}

// subtract changes the weights of the layers in have, by name, as PEFT does at loading.
func (n initial) subtract(layers []layer, have map[string]*nn.Param) error {
	if !n.ofBase() {
		return nil
	}
	errs := make([]error, len(layers))
	var wait sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i, l := range layers {
		w := have[l.name+weight]
		if w == nil || !slices.Equal(w.Shape, []int{l.out, l.in}) {
			return fmt.Errorf("the encoder has no weights %s of shape [%d %d]; read them first", l.name+weight, l.out, l.in)
		}
		wait.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wait.Done() }()
			errs[i] = n.subtractFrom(w.Data, l)
		}()
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("layer %s: %w", layers[i].name, err)
		}
	}
	return nil
}

// parallel is how many layers are decomposed at once; each takes 16 bytes a weight and more.
const parallel = 4

// subtractFrom changes the weights data [out, in] of the layer l.
func (n initial) subtractFrom(data []float32, l layer) error {
	w := mat.NewDense(l.out, l.in, nil)
	for i, v := range data {
		w.RawMatrix().Data[i] = float64(v)
	}
	var part mat.Dense
	if n.name == pissa {
		p := principal(w, l.rank)
		if p == nil {
			return fmt.Errorf("its singular values were not found; %s", convertIt)
		}
		part = *p
	} else {
		q := mat.NewDense(l.rank, l.out, nil)
		var basis [][]float64
		for j := range l.rank {
			basis = append(basis, mat.Col(q.RawRowView(j), j, w))
			if !orthonormal(basis[:j], basis[j]) {
				return fmt.Errorf("its first %d columns are linearly dependent, so what %s takes from them is not determined; %s",
					l.rank, n.name, convertIt)
			}
		}
		var c mat.Dense
		c.Mul(q, w)
		part.Mul(q.T(), &c)
		part.Scale(l.scale, &part)
	}
	for i := range data {
		data[i] = float32(w.RawMatrix().Data[i] - part.RawMatrix().Data[i])
	}
	return nil
}

// principal is the part of w [out, in] along its rank largest singular values, rank being at most either. The singular
// vectors on the shorter side are looked for in a space that begins with rank random ones and grows by WᵀW of its
// newest, until WᵀW·v = σ²·v holds to ten digits (the block Lanczos method, Golub and Van Loan 2013, section 10.3): in a
// 768 x 768 layer by rank 8 that takes 0.3 s, the whole decomposition 2 s. A large rank begins with the whole space.
// nil: the decomposition within the space failed.
func principal(w *mat.Dense, rank int) *mat.Dense {
	out, in := w.Dims()
	if in > out {
		p := principal(mat.DenseCopyOf(w.T()), rank)
		if p == nil {
			return nil
		}
		return mat.DenseCopyOf(p.T())
	}
	whole := rank > in/16
	block := make([][]float64, rank)
	if whole {
		block = make([][]float64, in)
	}
	random := rng.New(0, pissa, 0, 0)
	for i := range block {
		block[i] = make([]float64, in)
		if whole {
			block[i][i] = 1
			continue
		}
		for j := range block[i] {
			block[i][j] = random.Normal()
		}
	}
	times := func(m mat.Matrix, v []float64) []float64 {
		var y mat.VecDense
		y.MulVec(m, mat.NewVecDense(len(v), v))
		return y.RawVector().Data
	}
	var basis, images [][]float64 // v, orthonormal, and W·v
	for next := 0; ; {
		before := len(basis)
		for _, v := range block {
			if orthonormal(basis, v) {
				basis, images = append(basis, v), append(images, times(w, v))
			}
		}
		n := len(basis)
		if all := n == before || n == in; all || n >= next { // it cannot grow, or has since the last look
			if v, rest := ritz(w, basis, images, rank); all || rest <= 1e-10 {
				if v == nil {
					return nil
				}
				var c, part mat.Dense
				c.Mul(w, v.T())
				part.Mul(&c, v)
				return &part
			}
			next = n + n/4 // looking costs more than growing
		}
		block = block[:0]
		for _, image := range images[before:] {
			block = append(block, times(w.T(), image))
		}
	}
}

// ritz are the best rank singular vectors [rank, in] of w within the basis, whose images are W·v, and how far from
// WᵀW·u = σ²·u the worst is, over the largest σ².
func ritz(w *mat.Dense, basis, images [][]float64, rank int) (u *mat.Dense, rest float64) {
	n, out, in := len(basis), len(images[0]), len(basis[0])
	v, y := mat.NewDense(n, in, nil), mat.NewDense(n, out, nil)
	for i := range n {
		v.SetRow(i, basis[i])
		y.SetRow(i, images[i])
	}
	var gram mat.SymDense
	gram.SymOuterK(1, y)
	var e mat.EigenSym
	var vectors mat.Dense
	if !e.Factorize(&gram, true) {
		return nil, math.Inf(1)
	}
	e.VectorsTo(&vectors)
	values := e.Values(nil) // ascending
	top := vectors.Slice(0, n, n-rank, n)
	u = mat.NewDense(rank, in, nil)
	u.Mul(top.T(), v)
	var image, back mat.Dense
	image.Mul(top.T(), y)
	back.Mul(&image, w)
	for k := range rank {
		row := back.RawRowView(k)
		floats.AddScaled(row, -values[n-rank+k], u.RawRowView(k))
		rest = max(rest, floats.Norm(row, 2))
	}
	if rest > 0 {
		rest /= values[n-1]
	}
	return u, rest
}

// orthonormal takes what lies along the basis from v and makes its length 1. It is false where nothing is left.
func orthonormal(basis [][]float64, v []float64) bool {
	size := floats.Norm(v, 2)
	for range 2 { // once leaves rounding errors of the size of what was taken
		for _, b := range basis {
			floats.AddScaled(v, -floats.Dot(b, v), b)
		}
	}
	left := floats.Norm(v, 2)
	if !(left > 1e-10*size) || math.IsInf(left, 0) {
		return false
	}
	floats.Scale(1/left, v)
	return true
}
