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
	case a.Rank < 1 || a.Rank > maxRank:
		return fmt.Errorf("rank is %d, want 1 to %d", a.Rank, maxRank)
	case !(a.Alpha > 0) || math.IsInf(a.Alpha, 0):
		return fmt.Errorf("alpha is %g, want a finite number above 0", a.Alpha)
	case !(a.Dropout >= 0 && a.Dropout < 1):
		return fmt.Errorf("dropout is %g, want at least 0 and below 1", a.Dropout)
	}
	return nil
}

// scale is what the product of A and B is multiplied by.
func (a Adapter) scale() float64 { return a.Alpha / float64(a.Rank) }

// Layers are the names of e's adapted layers, in order.
func (a Adapter) Layers(e *model.Encoder) []string {
	var all []string
	for i := range e.Layers {
		q, k, v, o := e.Projections(i)
		for j, name := range []string{q, k, v, o} {
			if strings.IndexByte(a.Targets, letters[j]) >= 0 {
				all = append(all, name)
			}
		}
	}
	return all
}

// Count is the number of weights the adapters of e have: each layer maps the encoder's width to itself.
func (a Adapter) Count(e *model.Encoder) int {
	return e.Layers * len(a.Targets) * a.Rank * 2 * e.Width
}

// Attach puts the adapters on e's layers, for all graphs that are built of it from then on.
func (a Adapter) Attach(e *model.Encoder) {
	adapted := a.Layers(e)
	e.Linear = func(g *nn.Graph, name string, x *G.Node, out int) *G.Node {
		y := nn.Linear(g, name, x, out)
		if y == nil || !slices.Contains(adapted, name) {
			return y
		}
		return nn.LowRank(g, name, y, x, a.Rank, a.scale(), a.Dropout)
	}
}

// Merged are the weights in p of e with the adapters added to the layers they are beside: W + (Alpha/Rank)·B·A.
// What is not adapted is shared with p, and the adapters are left out.
func (a Adapter) Merged(e *model.Encoder, p *nn.Params) (*nn.Params, error) {
	have := map[string]*nn.Param{}
	for _, q := range p.List() {
		have[q.Name] = q
	}
	merged := map[string][]float32{}
	for _, layer := range a.Layers(e) {
		w, down, up := have[layer+weight], have[layer+loraA], have[layer+loraB]
		if w == nil || down == nil || up == nil {
			return nil, fmt.Errorf("layer %s has no adapter to merge", layer)
		}
		out, in := w.Shape[0], w.Shape[1]
		b := kernel.Alloc(len(up.Data))
		for i, v := range up.Data {
			b[i] = float32(a.scale()) * v
		}
		sum := kernel.Alloc(len(w.Data))
		copy(sum, w.Data)
		g := kernel.Gemm{M: out, N: in, K: a.Rank, A: b, LDA: a.Rank, B: down.Data, LDB: in, C: sum, LDC: in, Accumulate: true}
		g.Do()
		merged[layer+weight] = sum
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
	weight = ".weight"
	loraA  = ".lora_A.weight"
	loraB  = ".lora_B.weight"
)
