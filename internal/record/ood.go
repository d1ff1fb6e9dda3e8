package record

import (
	"fmt"
	"strings"

	"dla/internal/metrics"
	"dla/internal/run"
)

// OOD is what result.json holds of an evaluation of detectors of out-of-distribution images.
type OOD struct {
	Network       string         `json:"network"`
	Checkpoint    string         `json:"checkpoint"` // run id or folder
	WeightsSHA256 string         `json:"weights_sha256"`
	TestAccuracy  float64        `json:"test_accuracy"`         // as its training recorded it
	Autoencoder   string         `json:"autoencoder,omitempty"` // of the reconstruction error; run id or folder
	In            OODSet         `json:"in"`
	Sets          []OODSet       `json:"sets"`
	Tuning        OODTuning      `json:"tuning"`
	Detectors     []OODDetector  `json:"detectors"`
	Scores        []OODScore     `json:"scores"` // of every set, by every detector
	Resamples     int            `json:"resamples"`
	Signs         metrics.Signs  `json:"sign_check"` // AUROC of a perfect detector, of its negation, of a constant
	Curves        run.Attachment `json:"curves"`     // OODCurves
	WallSeconds   float64        `json:"wall_seconds"`
	Note          string         `json:"note,omitempty"`
}

// Reached says how many detectors were evaluated on how many sets.
func (o *OOD) Reached() string {
	return fmt.Sprintf("%d detectors on %d sets", len(o.Detectors), len(o.Sets))
}

// SelfChecks is the check of the sign of scores.
func (o *OOD) SelfChecks() []Check {
	s := o.Signs
	return []Check{{What: "AUROC is 1 of a perfect detector, 0 of its negation, 0.5 of a constant",
		Found: fmt.Sprintf("%g, %g, %g", s.Perfect, s.Negated, s.Constant), OK: s.Perfect == 1 && s.Negated == 0 && s.Constant == 0.5}}
}

// Remark is the note.
func (o *OOD) Remark() string { return o.Note }

// Seconds is the wall time.
func (o *OOD) Seconds() float64 { return o.WallSeconds }

// OODSet is images that detectors were evaluated on.
type OODSet struct {
	Name        string `json:"name"`
	About       string `json:"about"` // which images, as a reader would say it
	Source      string `json:"source"`
	N           int    `json:"n"`
	Fingerprint string `json:"fingerprint"`     // SHA-256 (hex) of the pixels, in order
	Shift       bool   `json:"shift,omitempty"` // the same kind of image under another condition: not outliers
	LeftOut     []Copy `json:"left_out,omitempty"`
	Converted   string `json:"converted,omitempty"` // how many images of the folder were made 32x32 RGB, and why
}

// Copy is an image of a set that is in another one as well, pixel by pixel, and was left out for that.
type Copy struct {
	Image   string `json:"image"`              // its file, or its place in the published order
	Of      string `json:"of"`                 // the other set
	OfImage string `json:"of_image,omitempty"` // the image there, where it is known
}

func (c Copy) String() string {
	if c.OfImage == "" {
		return fmt.Sprintf("%s of %s", c.Image, c.Of)
	}
	return fmt.Sprintf("%s of %s, %s", c.Image, c.Of, c.OfImage)
}

// Copies says what was left out of s, naming a few; nothing where all is there.
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

// OODTuning says on what hyper-parameters were chosen, none of it being evaluated.
type OODTuning struct {
	In    int    `json:"in"`
	Out   int    `json:"out"`
	About string `json:"about"`
}

// OODDetector is a detector and how its hyper-parameter was chosen.
type OODDetector struct {
	Name      string                 `json:"name"`
	Label     string                 `json:"label"`
	Source    string                 `json:"source"`
	Parameter string                 `json:"parameter,omitempty"`
	Value     metrics.Later[float64] `json:"value,omitzero"` // of Parameter; records of earlier versions leave out a 0
	Tried     []OODTried             `json:"tried,omitempty"`
}

// OODTried is a value of a hyper-parameter and the AUROC it came to on the images for tuning.
type OODTried struct {
	Value float64 `json:"value"`
	AUROC float64 `json:"auroc"`
}

// OODScore is how well a detector tells a set from the images in distribution.
type OODScore struct {
	Set      string `json:"set"`
	Detector string `json:"detector"`
	metrics.Detection
	BaseIn  float64           `json:"base_rate_in"` // what AUPR comes to by chance
	BaseOut float64           `json:"base_rate_out"`
	CI95    metrics.Intervals `json:"ci95"`
}

// OODCurves is the file that figures are drawn from: nothing of it needs scores, images or weights again.
type OODCurves struct {
	Curves []OODCurve  `json:"curves"` // in the order of OOD.Scores
	Misses []OODMisses `json:"misses"` // of the first detector: in distribution, then each set
}

// OODCurve is one detector's scores of the images in distribution and of a set.
type OODCurve struct {
	Set      string `json:"set"`
	Detector string `json:"detector"`

	ROCIn  []int `json:"roc_in"` // images let in by rising thresholds, points of the whole curve
	ROCOut []int `json:"roc_out"`

	SortedIn  []float32 `json:"sorted_in"` // scores at even steps of rank
	SortedOut []float32 `json:"sorted_out"`

	Lo      float64 `json:"lo"` // of the histogram; what lies beyond is in the first and last bin
	Hi      float64 `json:"hi"`
	HistIn  []int   `json:"hist_in"`
	HistOut []int   `json:"hist_out"`
}

// OODMisses are the images of a set that a detector is most wrong about, the worst first.
type OODMisses struct {
	Set    string    `json:"set"`
	Images []OODMiss `json:"images"`
}

// OODMiss is one of them.
type OODMiss struct {
	Index     int     `json:"index"`
	Class     string  `json:"class"`     // its own
	Predicted string  `json:"predicted"` // by the network
	Score     float64 `json:"score"`
	H         int     `json:"h"`
	W         int     `json:"w"`
	Pixels    []byte  `json:"pixels"` // 8 bits, [H, W, channels]
}
