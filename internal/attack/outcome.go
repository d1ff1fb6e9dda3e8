package attack

import (
	"math"

	"dla/internal/metrics"
)

// Outcome is the result of one attack on a network. Add counts images; Close computes the fractions.
type Outcome struct {
	Attack   string  `json:"attack"`             // fgsm, pgd, noise, square
	Targeted bool    `json:"targeted,omitempty"` // towards a wrong class
	Norm     Norm    `json:"norm"`
	Eps      float64 `json:"eps"` // L-infinity: in units of 1/255; L2: in pixel values of [0,1]

	N          int        `json:"n"`
	Correct    int        `json:"correct"` // still predicted as the true class
	Accuracy   float64    `json:"accuracy"`
	CI95       [2]float64 `json:"ci95"`
	Confidence float64    `json:"confidence"`    // mean probability of the predicted class
	Rounded    float64    `json:"accuracy_8bit"` // accuracy after rounding to 8 bits within the ball

	// If Targeted. Older records omit 0, so a missing value is read as 0.
	Aimed   metrics.Later[int]     `json:"aimed,omitzero"`   // images whose true class is not the target class
	Success metrics.Later[float64] `json:"success,omitzero"` // fraction of these predicted as the target class

	MaxChange float64 `json:"max_change"` // the largest distance from an image, in pixel values
	MinValue  float64 `json:"min_value"`
	MaxValue  float64 `json:"max_value"`
	Seconds   float64 `json:"seconds"` // to make the images

	reached, rounded int
	confidence       float64
}

// Radius returns Eps in pixel values of [0,1].
func (o *Outcome) Radius() float64 {
	if o.Norm == Linf {
		return o.Eps / 255
	}
	return o.Eps
}

// Add counts the images x of b, their adversarial versions adv, and adv rounded to 8 bits, from the network's logits
// for both. y holds the true classes; b.Y holds the target classes if Targeted.
func (o *Outcome) Add(b Batch, y []int32, adv, logits, rounded []float32, classes int) {
	if o.N == 0 {
		o.MinValue, o.MaxValue = math.Inf(1), math.Inf(-1)
	}
	px := len(b.X) / len(y)
	for i, label := range y {
		o.MaxChange = max(o.MaxChange, o.Norm.Distance(b.X[i*px:(i+1)*px], adv[i*px:(i+1)*px]))
		for _, v := range adv[i*px : (i+1)*px] {
			o.MinValue, o.MaxValue = min(o.MinValue, float64(v)), max(o.MaxValue, float64(v))
		}
		class, p := Top(logits[i*classes : (i+1)*classes])
		after, _ := Top(rounded[i*classes : (i+1)*classes])
		o.N++
		o.confidence += p
		if class == int(label) {
			o.Correct++
		}
		if after == int(label) {
			o.rounded++
		}
		if o.Targeted && b.Y[i] != label {
			o.Aimed.Value++
			if class == int(b.Y[i]) {
				o.reached++
			}
		}
	}
}

// Close computes the fractions from the counts.
func (o *Outcome) Close() {
	n := float64(max(1, o.N))
	o.Accuracy, o.Confidence, o.Rounded = float64(o.Correct)/n, o.confidence/n, float64(o.rounded)/n
	o.CI95[0], o.CI95[1] = metrics.Wilson(o.Correct, o.N)
	o.Aimed.Known, o.Success.Known = o.Targeted, o.Targeted
	if o.Aimed.Value > 0 {
		o.Success.Value = float64(o.reached) / float64(o.Aimed.Value)
	}
}

// Round writes the images adv [rows, …] to dst, rounded to 8 bits: every value becomes the nearest multiple of 1/255,
// or the next one inside where the nearest lies outside the ball of radius eps (L-infinity) around x. An infinite eps
// gives the nearest.
func Round(dst, adv, x []float32, eps float64) {
	for i, v := range adv {
		level := math.Round(255 * float64(v))
		if !math.IsInf(eps, 0) {
			at := 255 * float64(x[i])
			// A pixel of an image lies within 1e-5 of a level, not on it.
			level = max(math.Ceil(at-255*eps-1e-3), min(math.Floor(at+255*eps+1e-3), level))
		}
		dst[i] = float32(level) / 255
	}
}

// Transfer is the accuracy of a network on adversarial images made for another network or for itself.
type Transfer struct {
	Attack  string  `json:"attack"`
	Eps     float64 `json:"eps"` // L-infinity, in steps of 8 bits
	For     string  `json:"for"` // the network the images were made for
	On      string  `json:"on"`  // the network evaluated on them
	N       int     `json:"n"`
	Correct int     `json:"correct"`
}

// Add counts the correct predictions of images of the true classes y from their logits.
func (t *Transfer) Add(logits []float32, y []int32) {
	classes := len(logits) / len(y)
	for i, label := range y {
		t.N++
		if class, _ := Top(logits[i*classes : (i+1)*classes]); class == int(label) {
			t.Correct++
		}
	}
}

// Accuracy returns the fraction of correct predictions.
func (t Transfer) Accuracy() float64 { return float64(t.Correct) / float64(max(1, t.N)) }

// Example is an image before and after an attack, rounded to 8 bits, with the network's predictions for both.
type Example struct {
	Targeted bool       `json:"targeted"`
	Eps      float64    `json:"eps"`   // L-infinity, in steps of 8 bits
	Index    int32      `json:"index"` // in the test set
	Label    int32      `json:"label"`
	Goal     int32      `json:"goal"` // the target class, if Targeted
	H        int        `json:"h"`
	W        int        `json:"w"`
	C        int        `json:"c"`
	Image    []byte     `json:"image"` // [H, W, C]; in JSON base64
	Changed  []byte     `json:"changed"`
	Before   Prediction `json:"before"`
	After    Prediction `json:"after"`
}

// Prediction is a predicted class and its probability.
type Prediction struct {
	Class int     `json:"class"`
	P     float64 `json:"p"`
}

// Success reports whether the attack succeeded: the target class is predicted, or untargeted a wrong one.
func (e Example) Success() bool {
	if e.Targeted {
		return e.After.Class == int(e.Goal)
	}
	return e.After.Class != int(e.Label)
}

// Contrast returns the change of e, [H, W, C], scaled so that its largest value is black or white and 0 is grey.
func (e Example) Contrast() []byte {
	largest := e.LargestChange()
	b := make([]byte, len(e.Image))
	for i, v := range e.Image {
		d := float64(int(e.Changed[i])-int(v)) / float64(max(1, largest))
		b[i] = byte(math.Round(127.5 * (1 + d)))
	}
	return b
}

// LargestChange returns the largest change of a value, in steps of 8 bits.
func (e Example) LargestChange() int {
	largest := 0
	for i, v := range e.Image {
		largest = max(largest, int(e.Changed[i])-int(v), int(v)-int(e.Changed[i]))
	}
	return largest
}
