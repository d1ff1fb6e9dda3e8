// Package lora adapts an encoder by matrices of low rank beside its frozen linear layers (Hu et al. 2021,
// https://arxiv.org/abs/2106.09685), and reads and writes them as PEFT does.
package lora

import (
	"fmt"
	"math"
	"slices"
	"strings"

	G "gorgonia.org/gorgonia"

	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
)

// Adapter says which of an encoder's linear layers are adapted, and how: W·x + b becomes
// W·x + b + (Alpha/Rank)·B·A·x, A [Rank, in] drawn, B [out, Rank] 0 at first.
type Adapter struct {
	Targets string // letters of the attention's layers: q, k, v, o
	Rank    int
	Alpha   float64
	Dropout float64 // of the adapter's input, in training

	read []layer // of one that was read, where ranks and scales may differ; nil: those of Targets
}

// layer is a linear layer of an encoder with an adapter beside it: W [out, in], A [rank, in], B [out, rank].
type layer struct {
	name    string
	in, out int
	rank    int
	scale   float64 // of B·A
}

// kinds is the number of linear layers in a layer of an encoder.
const kinds = 6

// linears are the linear layers of e that an adapter can be beside: kinds of each layer, first those of letters and
// then the two of the feed-forward network.
func linears(e *model.Encoder) (all []layer) {
	for i := range e.Layers {
		q, k, v, o := e.Projections(i)
		for _, name := range []string{q, k, v, o} {
			all = append(all, layer{name: name, in: e.Width, out: e.Width})
		}
		inner, outer := e.FeedForward(i)
		all = append(all, layer{name: inner, in: e.Width, out: e.Inner}, layer{name: outer, in: e.Inner, out: e.Width})
	}
	return all
}

// letters name the layers that may be adapted, in the order of model.Encoder's Projections.
const letters = "qkvo"

// maxRank bounds what is read: a rank above an encoder's width is none.
const maxRank = 1 << 14

// Validate names the first thing that cannot be.
func (a Adapter) Validate() error {
	for i, l := range a.Targets {
		if !strings.ContainsRune(letters, l) || strings.ContainsRune(a.Targets[:i], l) {
			return fmt.Errorf("targets %q: want letters of %s, each at most once", a.Targets, letters)
		}
	}
	switch {
	case a.Targets == "":
		return fmt.Errorf("targets is empty: want letters of %s", letters)
	case !(a.Dropout >= 0 && a.Dropout < 1):
		return fmt.Errorf("dropout is %g, want at least 0 and below 1", a.Dropout)
	}
	return checkRank(a.Rank, a.Alpha)
}

// checkRank names a rank or an alpha that cannot be.
func checkRank(rank int, alpha float64) error {
	switch {
	case rank < 1 || rank > maxRank:
		return fmt.Errorf("rank is %d, want 1 to %d", rank, maxRank)
	case !(alpha > 0) || math.IsInf(alpha, 0):
		return fmt.Errorf("alpha is %g, want a finite number above 0", alpha)
	}
	return nil
}

// layers are the adapted ones of e, in order.
func (a Adapter) layers(e *model.Encoder) []layer {
	if a.read != nil {
		return a.read
	}
	var all []layer
	for i, l := range linears(e) {
		if at := i % kinds; at < len(letters) && strings.IndexByte(a.Targets, letters[at]) >= 0 {
			l.rank, l.scale = a.Rank, a.Alpha/float64(a.Rank)
			all = append(all, l)
		}
	}
	return all
}

// Layers are the names of e's adapted layers, in order.
func (a Adapter) Layers(e *model.Encoder) []string {
	var all []string
	for _, l := range a.layers(e) {
		all = append(all, l.name)
	}
	return all
}

// Count is the number of weights the adapters of e have.
func (a Adapter) Count(e *model.Encoder) int {
	n := 0
	for _, l := range a.layers(e) {
		n += l.rank * (l.in + l.out)
	}
	return n
}

// Attach puts the adapters on e's layers, for all graphs that are built of it from then on.
func (a Adapter) Attach(e *model.Encoder) {
	adapted := a.layers(e)
	e.Linear = func(g *nn.Graph, name string, x *G.Node, out int) *G.Node {
		y := nn.Linear(g, name, x, out)
		i := slices.IndexFunc(adapted, func(l layer) bool { return l.name == name })
		if y == nil || i < 0 {
			return y
		}
		return nn.LowRank(g, name, y, x, adapted[i].rank, adapted[i].scale, a.Dropout)
	}
}

// byName are the weights in p by their names.
func byName(p *nn.Params) map[string]*nn.Param {
	have := map[string]*nn.Param{}
	for _, q := range p.List() {
		have[q.Name] = q
	}
	return have
}

// Merged are the weights in p of e with the adapters added to the layers they are beside: W + scale·B·A.
// What is not adapted is shared with p, and the adapters are left out.
func (a Adapter) Merged(e *model.Encoder, p *nn.Params) (*nn.Params, error) {
	have := byName(p)
	merged := map[string][]float32{}
	for _, l := range a.layers(e) {
		w, down, up := have[l.name+weight], have[l.name+loraA], have[l.name+loraB]
		if w == nil || down == nil || up == nil {
			return nil, fmt.Errorf("layer %s has no adapter to merge", l.name)
		}
		b := kernel.Alloc(len(up.Data))
		for i, v := range up.Data {
			b[i] = float32(l.scale) * v
		}
		sum := kernel.Alloc(len(w.Data))
		copy(sum, w.Data)
		g := kernel.Gemm{M: l.out, N: l.in, K: l.rank, A: b, LDA: l.rank, B: down.Data, LDB: l.in, C: sum, LDC: l.in,
			Accumulate: true}
		g.Do()
		merged[l.name+weight] = sum
	}
	m := nn.NewParams(0)
	for _, q := range p.List() {
		if IsAdapter(q.Name) {
			continue
		}
		data, ok := merged[q.Name]
		if !ok {
			data = q.Data
		}
		if err := m.Put(q.Name, q.Shape, data); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// IsAdapter says whether weights of that name are an adapter's.
func IsAdapter(name string) bool {
	return strings.HasSuffix(name, loraA) || strings.HasSuffix(name, loraB)
}

// What the names of a layer's weights end in.
const (
	weight   = ".weight"
	loraA    = ".lora_A.weight"
	loraB    = ".lora_B.weight"
	loraBias = ".lora_B.bias" // of one that was read; its product with the scale is added to the layer's own
)
