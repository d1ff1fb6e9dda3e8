package labs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	G "gorgonia.org/gorgonia"

	"dla/internal/attack"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/ood"
	"dla/internal/train"
	"dla/internal/weights"
)

// featuresVersion is the version of the cached features of images.
const featuresVersion = "1"

// featuresOf is the key of cached features: equal keys mean equal features.
type featuresOf struct {
	Version string `json:"version"`
	What    string `json:"what"`    // features, or the result after a change of the images
	Weights string `json:"weights"` // SHA-256 (fingerprint) of all weights that the features depend on
	Images  string `json:"images"`  // SHA-256 of their pixels, in order
	Kernel  string `json:"kernel"`  // instruction set and convolution algorithm, which affect the last bits
}

// hashImages returns the SHA-256 (hex) of shape and pixels of s's images, in order.
func hashImages(s data.Subset) string {
	h := sha256.New()
	fmt.Fprintln(h, len(s.Index), s.Set.H, s.Set.W, s.Set.C)
	px := s.Set.H * s.Set.W * s.Set.C
	for _, i := range s.Index {
		h.Write(s.Set.Pixels[int(i)*px:][:px])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// extractor computes the input of detectors: features and logits of a network, and logits after a step of ODIN.
type extractor struct {
	n              *Network
	prog           *nn.Program
	pooled, logits *engine.Tensor
	pixels         []float32 // of a whole batch
	labels         []int32
	target         *attack.Target // nil until the first step
}

func newExtractor(n *Network) (*extractor, error) {
	setConv(n.Config.Train)
	e := &extractor{n: n, labels: make([]int32, evalBatch)}
	g := nn.NewGraph(n.Params)
	prog, read, err := nn.Compile(g, n.row(), evalBatch, func(x *G.Node) ([]*G.Node, error) {
		pooled, logits := n.Model.Head(g, n.Model.Features(g, x), n.Images.Classes)
		return []*G.Node{pooled, logits}, nil
	})
	if err != nil {
		return nil, err
	}
	e.prog, e.pixels, e.pooled, e.logits = prog, prog.Inputs(), read[0], read[1]
	return e, nil
}

// key returns the cache key of what, computed by weights from images.
func (e *extractor) key(what, weights, images string) featuresOf {
	return featuresOf{featuresVersion, what, weights, images, kernel.Level() + ", " + e.n.Config.Train.Conv}
}

// eachBatch writes the batches of s to x and y, one after the other, and calls f with the index of the first row and
// the number of rows.
func eachBatch(ctx context.Context, s data.Subset, x []float32, y []int32, f func(from, rows int) error) error {
	loader := data.NewLoader(s, evalBatch, false, 0)
	b := data.Batch{X: x, Y: y}
	_, err := train.EachBatch(ctx, "features", loader.Steps(), nil, func(step int) (train.Stats, error) {
		loader.Batch(0, step, &b)
		return train.Counted(b.Rows), f(step*evalBatch, b.Rows)
	})
	return err
}

// features returns the features of s, whose pixels have the hash images.
func (e *extractor) features(ctx context.Context, s data.Subset, images string, opt Options) (*ood.Features, error) {
	n := len(s.Index)
	width, classes := e.pooled.Cols(), e.logits.Cols()
	ts, err := keptFeatures(e.key("features", e.n.Weights, images), opt, func() ([]weights.Tensor, error) {
		pooled, logits := make([]float32, n*width), make([]float32, n*classes)
		err := eachBatch(ctx, s, e.pixels, e.labels, func(from, rows int) error {
			if err := e.prog.Resize(rows); err != nil {
				return err
			}
			if err := e.prog.Run(); err != nil {
				return err
			}
			copy(pooled[from*width:], e.pooled.F32)
			copy(logits[from*classes:], e.logits.F32)
			return nil
		})
		return []weights.Tensor{{Name: "logits", Shape: []int{n, classes}, Data: logits},
			{Name: "pooled", Shape: []int{n, width}, Data: pooled}}, err
	})
	if err != nil {
		return nil, err
	}
	f := &ood.Features{N: n, Logits: ts[0].Data, Pooled: ts[1].Data, Labels: make([]int32, n),
		Stepped: map[float64][]float32{}}
	for i, at := range s.Index {
		f.Labels[i] = s.Set.Labels[at]
	}
	return f, nil
}

// softened is a network whose logits are divided by ODIN's temperature.
type softened struct{ model.Model }

// Logits builds the logits of the network divided by T.
func (s softened) Logits(g *nn.Graph, x *G.Node, classes int) *G.Node {
	mean, std := make([]float64, classes), make([]float64, classes)
	for i := range std {
		std[i] = ood.ODINTemperature
	}
	return nn.Standardize(g, "temperature", s.Model.Logits(g, x, classes), mean, std)
}

// odin returns the softened network with the gradient of its input, compiled at first use.
func (e *extractor) odin() (*attack.Target, error) {
	var err error
	if e.target == nil {
		e.target, err = attack.NewTarget(softened{e.n.Model}, e.n.Params, e.n.row(), e.n.Images.Classes, evalBatch)
	}
	return e.target, err
}

// step adds to f, the features of s, the logits after ODIN's steps of the given sizes, clipped to [0,1]. The gradient
// is computed once for all sizes.
func (e *extractor) step(ctx context.Context, f *ood.Features, s data.Subset, images string, sizes []float64,
	opt Options) error {
	target, err := e.odin()
	if err != nil {
		return err
	}
	classes, px := target.Classes(), target.Values()
	ts, err := keptFeatures(e.key(fmt.Sprint("logits after ODIN's steps of ", sizes), e.n.Weights, images), opt,
		func() ([]weights.Tensor, error) {
			var ts []weights.Tensor
			for i := range sizes {
				ts = append(ts, weights.Tensor{Name: fmt.Sprintf("step%03d", i), Shape: []int{f.N, classes},
					Data: make([]float32, f.N*classes)})
			}
			moved := make([]float32, evalBatch*px)
			err := eachBatch(ctx, s, e.pixels, e.labels, func(from, rows int) error {
				x, y := e.pixels[:rows*px], e.labels[:rows]
				for i := range y {
					c, _ := attack.Top(f.Logits[(from+i)*classes:][:classes])
					y[i] = int32(c)
				}
				gradient, err := target.Gradient(attack.Batch{X: x, Y: y})
				if err != nil {
					return err
				}
				for i, size := range sizes {
					descend(moved, x, gradient, float32(size))
					logits, err := target.Logits(moved[:rows*px])
					if err != nil {
						return err
					}
					for j, v := range logits {
						ts[i].Data[from*classes+j] = v * ood.ODINTemperature
					}
				}
				return nil
			})
			return ts, err
		})
	for i, t := range ts {
		f.Stepped[sizes[i]] = t.Data
	}
	return err
}

// errors returns the mean squared errors of a's reconstructions of s. r is a, compiled.
func (e *extractor) errors(ctx context.Context, a *Autoencoder, r *train.Reconstructor, s images,
	opt Options) ([]float64, error) {
	ts, err := keptFeatures(e.key("reconstruction errors", a.Weights, s.Fingerprint), opt,
		func() ([]weights.Tensor, error) {
			all := make([]float32, s.N)
			b := r.EvalBatch()
			err := eachBatch(ctx, s.Subset, b.X, b.Y, func(from, rows int) error {
				_, err := r.EvalStep(rows)
				copy(all[from:], r.Errors())
				return err
			})
			return []weights.Tensor{{Name: "errors", Shape: []int{s.N}, Data: all}}, err
		})
	if err != nil {
		return nil, err
	}
	all := make([]float64, s.N)
	for i, v := range ts[0].Data {
		all[i] = float64(v)
	}
	return all, nil
}

// descend sets dst = x - step·sign(gradient), clipped to [0,1].
func descend(dst, x, gradient []float32, step float32) {
	for i, g := range gradient {
		v := x[i]
		switch {
		case g > 0:
			v = max(0, v-step)
		case g < 0:
			v = min(1, v+step)
		}
		dst[i] = v
	}
}

// head returns the last layer of the network.
func (n *Network) head() ood.Head {
	if m, ok := n.Model.(interface {
		LastLayer(p *nn.Params) (weight, bias []float32)
	}); ok {
		w, b := m.LastLayer(n.Params)
		return ood.Head{Weight: w, Bias: b}
	}
	q := n.Params.Trained()
	return ood.Head{Weight: q[len(q)-2].Data, Bias: q[len(q)-1].Data}
}
