package record

import (
	"fmt"
	"strings"

	"dla/internal/metrics"
	"dla/internal/run"
)

// OOD is the result of lab4 ood: the evaluation of detectors of out-of-distribution images.
type OOD struct {
	Network       string         `json:"network"`
	Checkpoint    string         `json:"checkpoint"` // run id or folder
	WeightsSHA256 string         `json:"weights_sha256"`
	TestAccuracy  float64        `json:"test_accuracy"`         // from the record of its training
	Autoencoder   string         `json:"autoencoder,omitempty"` // for the reconstruction error; run id or folder
	In            OODSet         `json:"in"`
	Sets          []OODSet       `json:"sets"`
	Tuning        OODTuning      `json:"tuning"`
	Detectors     []OODDetector  `json:"detectors"`
	Scores        []OODScore     `json:"scores"` // of every detector on every set
	Resamples     int            `json:"resamples"`
	Signs         metrics.Signs  `json:"sign_check"` // AUROC of a perfect detector, its negation and a constant
	Curves        run.Attachment `json:"curves"`     // OODCurves
	WallSeconds   float64        `json:"wall_seconds"`
	Note          string         `json:"note,omitempty"`
}

// Reached gives the number of detectors and of sets.
func (o *OOD) Reached() string {
	return fmt.Sprintf("%d detectors on %d sets", len(o.Detectors), len(o.Sets))
}

// SelfChecks returns the check that a larger score means out of distribution.
func (o *OOD) SelfChecks() []Check {
	s := o.Signs
	return []Check{{What: "AUROC is 1 of a perfect detector, 0 of its negation, 0.5 of a constant",
		Found: fmt.Sprintf("%g, %g, %g", s.Perfect, s.Negated, s.Constant), OK: s.Perfect == 1 && s.Negated == 0 &&
			s.Constant == 0.5}}
}

// Remark returns the note.
func (o *OOD) Remark() string { return o.Note }

// Seconds returns the wall time.
func (o *OOD) Seconds() float64 { return o.WallSeconds }

// OODSet describes a set of images that detectors were evaluated on.
type OODSet struct {
	Name        string `json:"name"`
	About       string `json:"about"` // description for readers
	Source      string `json:"source"`
	N           int    `json:"n"`
	Fingerprint string `json:"fingerprint"`     // SHA-256 (hex) of the pixels, in order
	Shift       bool   `json:"shift,omitempty"` // covariate shift: the classes of the training set, so not outliers
	LeftOut     []Copy `json:"left_out,omitempty"`
	// how many images of the folder were converted to 32x32 RGB, and why
	Converted string `json:"converted,omitempty"`
}

// Copy is an image that was left out of a set because another set has the same pixels.
type Copy struct {
	Image   string `json:"image"`              // file, or index in the published order
	Of      string `json:"of"`                 // the other set
	OfImage string `json:"of_image,omitempty"` // the image in the other set, where known
}

func (c Copy) String() string {
	if c.OfImage == "" {
		return fmt.Sprintf("%s of %s", c.Image, c.Of)
	}
	return fmt.Sprintf("%s of %s, %s", c.Image, c.Of, c.OfImage)
}

// Copies lists the first few images left out of s; it returns "" where none was.
func (s OODSet) Copies() string {
	const few = 3
	n := len(s.LeftOut)
	if n == 0 {
		return ""
	}
	var all []string
	for _, c := range s.LeftOut[:min(n, few)] {
		all = append(all, c.String())
	}
	if n > few {
		all = append(all, fmt.Sprintf("and %d more, which the record lists", n-few))
	}
	text := "1 copy is"
	if n > 1 {
		text = fmt.Sprintf("%d copies are", n)
	}
	return text + " left out: " + strings.Join(all, "; ")
}

// OODTuning describes the images that hyper-parameters were chosen on. None of them is evaluated.
type OODTuning struct {
	In    int    `json:"in"`
	Out   int    `json:"out"`
	About string `json:"about"`
}

// OODDetector describes a detector and the choice of its hyper-parameter.
type OODDetector struct {
	Name      string                 `json:"name"`
	Label     string                 `json:"label"`
	Source    string                 `json:"source"`
	Parameter string                 `json:"parameter,omitempty"`
	Value     metrics.Later[float64] `json:"value,omitzero"` // of Parameter; older records omit a 0
	Tried     []OODTried             `json:"tried,omitempty"`
	File      string                 `json:"file,omitempty"` // whose scores were read; the program that made them is another
}

// OODTried is a candidate value of a hyper-parameter and its AUROC on the tuning images.
type OODTried struct {
	Value float64 `json:"value"`
	AUROC float64 `json:"auroc"`
}

// OODScore measures how well a detector separates a set from the images in distribution.
type OODScore struct {
	Set      string `json:"set"`
	Detector string `json:"detector"`
	metrics.Detection
	BaseIn  float64           `json:"base_rate_in"` // AUPR of random scores
	BaseOut float64           `json:"base_rate_out"`
	CI95    metrics.Intervals `json:"ci95"`
}

// OODCurves is the file that figures are drawn from, without scores, images or weights.
type OODCurves struct {
	Curves []OODCurve  `json:"curves"` // in the order of OOD.Scores
	Misses []OODMisses `json:"misses"` // of the first detector: images in distribution, then each set's
}

// OODCurve holds the ROC curve and the score distributions of one detector on one set.
type OODCurve struct {
	Set      string `json:"set"`
	Detector string `json:"detector"`

	ROCIn  []int `json:"roc_in"` // accepted images at points of rising threshold
	ROCOut []int `json:"roc_out"`

	SortedIn  []float32 `json:"sorted_in"` // scores at evenly spaced ranks
	SortedOut []float32 `json:"sorted_out"`

	Lo      float64 `json:"lo"` // bounds of the histogram; the outer bins hold all beyond
	Hi      float64 `json:"hi"`
	HistIn  []int   `json:"hist_in"`
	HistOut []int   `json:"hist_out"`
}

// OODMisses holds the images of a set with a detector's worst scores, worst first.
type OODMisses struct {
	Set    string    `json:"set"`
	Images []OODMiss `json:"images"`
}

// OODMiss is one such image.
type OODMiss struct {
	Index     int     `json:"index"`
	Class     string  `json:"class"`     // its own
	Predicted string  `json:"predicted"` // by the network
	Score     float64 `json:"score"`
	H         int     `json:"h"`
	W         int     `json:"w"`
	Pixels    []byte  `json:"pixels"` // 8 bits, [H, W, channels]
}
