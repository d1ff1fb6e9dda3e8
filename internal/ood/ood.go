// Package ood holds detectors of out-of-distribution images, one file each: what a trained classifier
// makes of an image, its features and logits, becomes one number, and the larger it is the more the image
// is out of distribution. All work on arrays that are computed once for all of them.
//
// To add a detector: a file with its function, its source and its formula, an entry in Methods, and a
// case in testdata/golden.py.
package ood

import (
	"fmt"
	"math"

	"dla/internal/kernel"
	"dla/internal/metrics"
)

// Features are what a network makes of N images, arrays row-major, a row an image.
type Features struct {
	N      int
	Pooled []float32 // [N, width], what the head takes
	Logits []float32 // [N, classes]
	Labels []int32   // [N]; of images the network was trained on and those like them

	// Stepped are the logits [N, classes] of the images changed by a step of ODIN's, by its size.
	Stepped map[float64][]float32
	// Errors are an autoencoder's mean squared errors [N].
	Errors []float64
}

// Head is a network's last layer: logits = Weight·pooled + Bias.
type Head struct {
	Weight []float32 // [classes, width]
	Bias   []float32 // [classes]
}

// Network is a classifier as detectors see it.
type Network struct {
	Head
	Width, Classes int
	Train          *Features // of the images it was trained on
	Val            *Features // of its validation images
}

// NewNetwork is the classifier with the given head. Arrays that do not fit each other are errors, and so
// are a head that makes other logits of the features, and a class without a training image: several
// detectors compare with its mean.
func NewNetwork(head Head, train, val *Features) (*Network, error) {
	n := &Network{Head: head, Classes: len(head.Bias), Train: train, Val: val}
	if n.Classes < 2 || len(head.Weight)%n.Classes != 0 {
		return nil, fmt.Errorf("a head of %d weights and %d biases", len(head.Weight), n.Classes)
	}
	n.Width = len(head.Weight) / n.Classes
	count := make([]int, n.Classes)
	for _, f := range []*Features{train, val} {
		if err := n.Check(f); err != nil {
			return nil, err
		}
	}
	for _, l := range train.Labels {
		if l < 0 || int(l) >= n.Classes {
			return nil, fmt.Errorf("label %d of %d classes", l, n.Classes)
		}
		count[l]++
	}
	for c, k := range count {
		if k == 0 {
			return nil, fmt.Errorf("of %d training images none is of class %d, which detectors must know; take more of them", train.N, c)
		}
	}
	for i, v := range n.headOf(train.Pooled[:min(train.N, rowsAChunk)*n.Width], n.Weight) {
		if w := float64(train.Logits[i]); math.Abs(float64(v)-w) > 1e-3*(1+math.Abs(w)) {
			return nil, fmt.Errorf("the head makes a logit of %g of the features of training image %d, the network %g", v, i/n.Classes, w)
		}
	}
	return n, nil
}

// Check is an error where f is not of this network, or not finite.
func (n *Network) Check(f *Features) error {
	if f.N < 1 || len(f.Pooled) != f.N*n.Width || len(f.Logits) != f.N*n.Classes {
		return fmt.Errorf("%d images with %d features and %d logits, of a network with %d and %d for each", f.N, len(f.Pooled), len(f.Logits), n.Width, n.Classes)
	}
	for _, x := range []struct {
		what string
		data []float32
	}{{"feature", f.Pooled}, {"logit", f.Logits}} {
		for i, v := range x.data {
			if v-v != 0 {
				return fmt.Errorf("a %s of image %d is %g; are the network's weights good?", x.what, i/(len(x.data)/f.N), v)
			}
		}
	}
	return nil
}

// pooled and logits are those of image i.
func (n *Network) pooled(f *Features, i int) []float32 { return f.Pooled[i*n.Width:][:n.Width] }
func (n *Network) logits(f *Features, i int) []float32 { return f.Logits[i*n.Classes:][:n.Classes] }

// headOf computes the logits [N, classes] of pooled features [N, width] by weights [classes, width].
func (n *Network) headOf(pooled, weight []float32) []float32 {
	rows := len(pooled) / n.Width
	g := kernel.Gemm{M: rows, N: n.Classes, K: n.Width, A: pooled, LDA: n.Width, B: weight, LDB: n.Width, TransB: true,
		C: make([]float32, rows*n.Classes), LDC: n.Classes, Bias: n.Bias}
	g.Do()
	return g.C
}

// Detector scores images: the larger, the more out of distribution.
type Detector func(f *Features) []float64

// Method is a way to detect.
type Method struct {
	Name   string // in records and on the command line
	Label  string // in figures and tables
	Source string
	// Parameter is its hyper-parameter, and Values are those it is chosen from; empty where it has none.
	Parameter string
	Values    []float64
	// Fit makes the detector of a network with a value of its parameter.
	Fit func(n *Network, value float64) (Detector, error)
}

// Names are the names of the detectors.
func Names() []string {
	var names []string
	for _, m := range Methods {
		names = append(names, m.Name)
	}
	return names
}

// Methods are the detectors there are. ODIN needs Features.Stepped and reconstruction Features.Errors.
var Methods = []Method{
	{Name: "max-softmax", Label: "max softmax", Source: "Hendrycks and Gimpel 2017", Fit: maxSoftmax},
	{Name: Reconstruction, Label: "reconstruction MSE", Source: "the lab", Fit: reconstruction},
	{Name: "max-logit", Label: "max logit", Source: "Hendrycks et al. 2022", Fit: maxLogit},
	{Name: "energy", Label: "energy", Source: "Liu et al. 2020", Fit: energy},
	{Name: ODIN, Label: "ODIN", Source: "Liang et al. 2018", Parameter: "step", Values: ODINSteps, Fit: odin},
	{Name: "mahalanobis", Label: "Mahalanobis", Source: "Lee et al. 2018", Fit: mahalanobis},
	{Name: "rel-mahalanobis", Label: "relative Mahalanobis", Source: "Ren et al. 2021", Fit: relativeMahalanobis},
	{Name: "knn", Label: "KNN", Source: "Sun et al. 2022", Parameter: "k", Values: []float64{1, 5, 10, 20, 50, 100, 200}, Fit: knn},
	{Name: "vim", Label: "ViM", Source: "Wang et al. 2022", Parameter: "share of dimensions kept", Values: []float64{0.125, 0.25, 0.5, 0.75}, Fit: vim},
	{Name: "gen", Label: "GEN", Source: "Liu et al. 2023", Parameter: "γ", Values: []float64{0.01, 0.05, 0.1, 0.2, 0.5, 1}, Fit: gen},
	{Name: "react", Label: "ReAct", Source: "Sun et al. 2021", Parameter: "quantile", Values: []float64{0.8, 0.85, 0.9, 0.95, 0.99}, Fit: react},
	{Name: "dice", Label: "DICE", Source: "Sun and Li 2022", Parameter: "share of weights dropped", Values: []float64{0.1, 0.3, 0.5, 0.7, 0.9}, Fit: dice},
	{Name: "ash", Label: "ASH-S", Source: "Djurisic et al. 2023", Parameter: "share of features dropped", Values: []float64{0.5, 0.65, 0.8, 0.9, 0.95}, Fit: ash},
	{Name: "she", Label: "SHE", Source: "Zhang et al. 2023", Fit: she},
	{Name: "kl-matching", Label: "KL matching", Source: "Hendrycks et al. 2022", Fit: klMatching},
}

// Tried is a value of a hyper-parameter and the AUROC it came to on validation images.
type Tried struct {
	Value float64 `json:"value"`
	AUROC float64 `json:"auroc"`
}

// Choose fits m to n with the value of its parameter that best tells images in distribution from outliers,
// the first of equals. Neither may be what is evaluated.
func (m Method) Choose(n *Network, in, outliers *Features) (d Detector, value float64, tried []Tried, err error) {
	if len(m.Values) == 0 {
		d, err = m.Fit(n, 0)
		return d, 0, nil, err
	}
	best := -1.0
	for _, v := range m.Values {
		candidate, err := m.Fit(n, v)
		if err != nil {
			return nil, 0, nil, err
		}
		r, err := metrics.Rank(fmt.Sprintf("%s with %s %g", m.Name, m.Parameter, v), candidate(in), candidate(outliers))
		if err != nil {
			return nil, 0, nil, err
		}
		t := Tried{v, r.Detection().AUROC}
		tried = append(tried, t)
		if t.AUROC > best {
			d, value, best = candidate, v, t.AUROC
		}
	}
	return d, value, tried, nil
}

// rowsAChunk is how many images a chunk of the pool takes.
const rowsAChunk = 128

// rows is a function of the rows lo … hi as a task.
type rows struct {
	n int
	f func(lo, hi int)
}

// Chunk does rowsAChunk rows.
func (r *rows) Chunk(i int) { r.f(i*rowsAChunk, min(r.n, (i+1)*rowsAChunk)) }

// overRows runs f over n rows, in chunks on all threads.
func overRows(n int, f func(lo, hi int)) {
	kernel.Run(&rows{n, f}, (n+rowsAChunk-1)/rowsAChunk)
}

// perImage is f of each of n images.
func perImage(n int, f func(i int) float64) []float64 {
	scores := make([]float64, n)
	overRows(n, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			scores[i] = f(i)
		}
	})
	return scores
}
