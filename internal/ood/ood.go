// Package ood holds detectors of out-of-distribution images, one file each. A detector computes one score per image
// from a trained classifier's features and logits: the larger the score, the more the image is out of distribution.
// Features and logits are computed once for all detectors.
//
// A new detector needs a file with its function, source and formula, an entry in Methods and a case in
// testdata/golden.py.
package ood

import (
	"fmt"
	"math"

	"dla/internal/kernel"
	"dla/internal/metrics"
)

// Features holds a network's features and logits of N images, row-major with one row per image.
type Features struct {
	N      int
	Pooled []float32 // [N, width], the input of the head
	Logits []float32 // [N, classes]
	Labels []int32   // [N]; nil for outliers

	// Stepped holds the logits [N, classes] of the images after a step of ODIN, by step size.
	Stepped map[float64][]float32
	// Errors holds the mean squared errors [N] of an autoencoder's reconstructions.
	Errors []float64
}

// Head is the last layer of a network: logits = Weight·pooled + Bias.
type Head struct {
	Weight []float32 // [classes, width]
	Bias   []float32 // [classes]
}

// Network holds all that detectors use of a classifier.
type Network struct {
	Head
	Width, Classes int
	Train          *Features // of its training images
	Val            *Features // of its validation images
}

// NewNetwork returns the classifier with the given head. It returns an error where sizes differ, where the head does
// not reproduce the logits from the features, and for a class without training images, since several detectors need its
// mean.
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
			return nil, fmt.Errorf("none of the %d training images is of class %d, and detectors need one of each "+
				"class; use more images", train.N, c)
		}
	}
	for i, v := range n.headOf(train.Pooled[:min(train.N, rowsAChunk)*n.Width], n.Weight) {
		if w := float64(train.Logits[i]); math.Abs(float64(v)-w) > 1e-3*(1+math.Abs(w)) {
			return nil, fmt.Errorf("the head gives the logit %g for the features of training image %d, the network %g",
				v, i/n.Classes, w)
		}
	}
	return n, nil
}

// Check returns an error where f has other sizes than the network or values that are not finite.
func (n *Network) Check(f *Features) error {
	if f.N < 1 || len(f.Pooled) != f.N*n.Width || len(f.Logits) != f.N*n.Classes {
		return fmt.Errorf("%d images with %d features and %d logits in all; the network has %d and %d per image", f.N,
			len(f.Pooled), len(f.Logits), n.Width, n.Classes)
	}
	for _, x := range []struct {
		what string
		data []float32
	}{{"feature", f.Pooled}, {"logit", f.Logits}} {
		for i, v := range x.data {
			if v-v != 0 {
				return fmt.Errorf("a %s of image %d is %g; the network's weights may be damaged", x.what,
					i/(len(x.data)/f.N), v)
			}
		}
	}
	return nil
}

// pooled returns the pooled features of image i, logits its logits.
func (n *Network) pooled(f *Features, i int) []float32 { return f.Pooled[i*n.Width:][:n.Width] }
func (n *Network) logits(f *Features, i int) []float32 { return f.Logits[i*n.Classes:][:n.Classes] }

// headOf computes the logits [N, classes] of pooled features [N, width] with weights [classes, width].
func (n *Network) headOf(pooled, weight []float32) []float32 {
	rows := len(pooled) / n.Width
	g := kernel.Gemm{M: rows, N: n.Classes, K: n.Width, A: pooled, LDA: n.Width, B: weight, LDB: n.Width, TransB: true,
		C: make([]float32, rows*n.Classes), LDC: n.Classes, Bias: n.Bias}
	g.Do()
	return g.C
}

// Detector scores images: a larger score means more out of distribution.
type Detector func(f *Features) []float64

// Method is a registered detector.
type Method struct {
	Name   string // in records and on the command line
	Label  string // in figures and tables
	Source string
	// Parameter names the hyper-parameter, Values lists its candidates; both are empty for a detector without one.
	Parameter string
	Values    []float64
	// Fit makes the detector of a network for a value of its parameter.
	Fit func(n *Network, value float64) (Detector, error)
}

// Names returns the names of the detectors.
func Names() []string {
	var names []string
	for _, m := range Methods {
		names = append(names, m.Name)
	}
	return names
}

// Methods lists all detectors. ODIN needs Features.Stepped, reconstruction needs Features.Errors.
var Methods = []Method{
	{Name: "max-softmax", Label: "max softmax", Source: "Hendrycks and Gimpel 2017", Fit: maxSoftmax},
	{Name: Reconstruction, Label: "reconstruction MSE", Source: "the lab", Fit: reconstruction},
	{Name: "max-logit", Label: "max logit", Source: "Hendrycks et al. 2022", Fit: maxLogit},
	{Name: "energy", Label: "energy", Source: "Liu et al. 2020", Fit: energy},
	{Name: ODIN, Label: "ODIN", Source: "Liang et al. 2018", Parameter: "step", Values: ODINSteps, Fit: odin},
	{Name: "mahalanobis", Label: "Mahalanobis", Source: "Lee et al. 2018", Fit: mahalanobis},
	{Name: "rel-mahalanobis", Label: "relative Mahalanobis", Source: "Ren et al. 2021", Fit: relativeMahalanobis},
	{Name: "knn", Label: "KNN", Source: "Sun et al. 2022", Parameter: "k",
		Values: []float64{1, 5, 10, 20, 50, 100, 200}, Fit: knn},
	{Name: "vim", Label: "ViM", Source: "Wang et al. 2022", Parameter: "share of dimensions kept",
		Values: []float64{0.125, 0.25, 0.5, 0.75}, Fit: vim},
	{Name: "gen", Label: "GEN", Source: "Liu et al. 2023", Parameter: "γ",
		Values: []float64{0.01, 0.05, 0.1, 0.2, 0.5, 1}, Fit: gen},
	{Name: "react", Label: "ReAct", Source: "Sun et al. 2021", Parameter: "quantile",
		Values: []float64{0.8, 0.85, 0.9, 0.95, 0.99}, Fit: react},
	{Name: "dice", Label: "DICE", Source: "Sun and Li 2022", Parameter: "share of weights dropped",
		Values: []float64{0.1, 0.3, 0.5, 0.7, 0.9}, Fit: dice},
	{Name: "ash", Label: "ASH-S", Source: "Djurisic et al. 2023", Parameter: "share of features dropped",
		Values: []float64{0.5, 0.65, 0.8, 0.9, 0.95}, Fit: ash},
	{Name: "she", Label: "SHE", Source: "Zhang et al. 2023", Fit: she},
	{Name: "kl-matching", Label: "KL matching", Source: "Hendrycks et al. 2022", Fit: klMatching},
}

// Tried is a candidate value of a hyper-parameter and its AUROC on the tuning images.
type Tried struct {
	Value float64 `json:"value"`
	AUROC float64 `json:"auroc"`
}

// Choose fits m to n with the value of its parameter that best separates in from outliers by AUROC (ties: the first).
// Neither may be evaluated later.
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

// rowsAChunk is the number of images per chunk of the pool.
const rowsAChunk = 128

// rows makes a function of the rows lo … hi a task.
type rows struct {
	n int
	f func(lo, hi int)
}

// Chunk calls the function for rowsAChunk rows.
func (r *rows) Chunk(i int) { r.f(i*rowsAChunk, min(r.n, (i+1)*rowsAChunk)) }

// overRows runs f over n rows in chunks, on all threads.
func overRows(n int, f func(lo, hi int)) {
	kernel.Run(&rows{n, f}, (n+rowsAChunk-1)/rowsAChunk)
}

// perImage returns f(i) for each of n images.
func perImage(n int, f func(i int) float64) []float64 {
	scores := make([]float64, n)
	overRows(n, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			scores[i] = f(i)
		}
	})
	return scores
}
