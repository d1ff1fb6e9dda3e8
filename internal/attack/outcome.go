package attack

import (
	"math"

	"dla/internal/metrics"
)

// Outcome is how a network fares on images changed in one way. It is filled image by image by Add, and
// whole after Close.
type Outcome struct {
	Attack   string  `json:"attack"`             // fgsm, pgd, noise, square
	Targeted bool    `json:"targeted,omitempty"` // towards a class that is not the true one
	Norm     Norm    `json:"norm"`
	Eps      float64 `json:"eps"` // L-infinity: in steps of 8 bits, 1/255; L2: in pixel values of [0,1]

	N          int        `json:"n"`
	Correct    int        `json:"correct"` // as the true class, in spite of the change
	Accuracy   float64    `json:"accuracy"`
	CI95       [2]float64 `json:"ci95"`
	Confidence float64    `json:"confidence"`    // mean probability of the class predicted
	Rounded    float64    `json:"accuracy_8bit"` // accuracy after rounding to 8 bits within the ball

	// Where Targeted. Records of earlier versions leave out what is 0, so a gap is read as 0.
	Aimed   metrics.Later[int]     `json:"aimed,omitzero"`   // images of another class than the one wished for
	Success metrics.Later[float64] `json:"success,omitzero"` // share of these taken for it

	MaxChange float64 `json:"max_change"` // the largest distance from an image, in pixel values
	MinValue  float64 `json:"min_value"`
	MaxValue  float64 `json:"max_value"`
	Seconds   float64 `json:"seconds"` // of making the images

	reached, rounded int
	confidence       float64
}

// Radius is Eps in pixel values.
func (o *Outcome) Radius() float64 {
	if o.Norm == Linf {
		return o.Eps / 255
	}
	return o.Eps
}

// Add counts the images x of b, which have become adv, and adv rounded; logits are the network's for adv and
// for rounded. y are the true classes; b.Y the classes wished for, where Targeted.
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

// Close turns counts into shares.
func (o *Outcome) Close() {
	n := float64(max(1, o.N))
	o.Accuracy, o.Confidence, o.Rounded = float64(o.Correct)/n, o.confidence/n, float64(o.rounded)/n
	o.CI95[0], o.CI95[1] = metrics.Wilson(o.Correct, o.N)
	o.Aimed.Known, o.Success.Known = o.Targeted, o.Targeted
	if o.Aimed.Value > 0 {
		o.Success.Value = float64(o.reached) / float64(o.Aimed.Value)
	}
}

// Round writes to dst the images adv [rows, …] as 8 bits a value have them: of every value the nearest of
// i/255, but where that would leave the ball of radius eps (L-infinity) about x, the next inside. With an
// infinite eps it is the nearest.
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

// Transfer is how a network fares on images that were made for another, or for itself.
type Transfer struct {
	Attack  string  `json:"attack"`
	Eps     float64 `json:"eps"` // L-infinity, in steps of 8 bits
	For     string  `json:"for"` // the network the images were made for
	On      string  `json:"on"`  // the network that is shown them
	N       int     `json:"n"`
	Correct int     `json:"correct"`
}

// Add counts images of the classes y by their logits.
func (t *Transfer) Add(logits []float32, y []int32) {
	classes := len(logits) / len(y)
	for i, label := range y {
		t.N++
		if class, _ := Top(logits[i*classes : (i+1)*classes]); class == int(label) {
			t.Correct++
		}
	}
}

// Accuracy is the share of right answers.
func (t Transfer) Accuracy() float64 { return float64(t.Correct) / float64(max(1, t.N)) }

// Example is an image before and after an attack, as 8 bits have it, and what the network says to both.
type Example struct {
	Targeted bool       `json:"targeted"`
	Eps      float64    `json:"eps"`   // L-infinity, in steps of 8 bits
	Index    int32      `json:"index"` // in the test set
	Label    int32      `json:"label"`
	Goal     int32      `json:"goal"` // the class wished for, where Targeted
	H        int        `json:"h"`
	W        int        `json:"w"`
	C        int        `json:"c"`
	Image    []byte     `json:"image"` // [H, W, C]; in JSON base64
	Changed  []byte     `json:"changed"`
	Before   Prediction `json:"before"`
	After    Prediction `json:"after"`
}

// Prediction is the class a network gives and its probability.
type Prediction struct {
	Class int     `json:"class"`
	P     float64 `json:"p"`
}

// Success says whether the attack reached what it was made for.
func (e Example) Success() bool {
	if e.Targeted {
		return e.After.Class == int(e.Goal)
	}
	return e.After.Class != int(e.Label)
}
