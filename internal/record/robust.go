package record

import (
	"dla/internal/attack"
	"dla/internal/metrics"
	"dla/internal/run"
)

// Robust is what result.json holds of a hardened classifier beside its training: what it learned to be unsure
// of, and how it and the original fare on the same images. Before is the original, after is the hardened one.
type Robust struct {
	Network       string `json:"network"`
	Original      string `json:"original"` // run id or folder
	WeightsSHA256 string `json:"original_weights_sha256"`

	Trained   []OODSet         `json:"outliers_trained_on"`
	Clean     CleanPair        `json:"clean"`
	In        ConfidencePair   `json:"in"` // the test set
	Sets      []ConfidencePair `json:"sets"`
	Resamples int              `json:"resamples"`
	Signs     metrics.Signs    `json:"sign_check"`
	Before    []attack.Outcome `json:"attacks_before"`
	After     []attack.Outcome `json:"attacks_after"` // in the order of Before
	PGDSteps  int              `json:"pgd_steps"`
	Checks    []Check          `json:"checks"`

	Histograms run.Attachment `json:"histograms"`     // []Histogram: of In, then of each of Sets
	Hashes     run.Attachment `json:"outlier_hashes"` // of all images of Trained, and of those the original knew: see HashSize
	Seconds    float64        `json:"comparison_seconds"`
}

// HashSize is how many bytes of the SHA-256 of an image's pixels a file of hashes keeps, one after the other,
// ascending.
const HashSize = 8

// CleanPair is both networks on the test images as they are, with McNemar's test.
type CleanPair struct {
	N          int        `json:"n"`
	Before     float64    `json:"accuracy_before"`
	BeforeCI95 [2]float64 `json:"before_ci95"`
	After      float64    `json:"accuracy_after"`
	AfterCI95  [2]float64 `json:"after_ci95"`
	OnlyBefore int        `json:"only_before"` // images only the original gets right
	OnlyAfter  int        `json:"only_after"`
	P          float64    `json:"mcnemar_p"`
	Exact      bool       `json:"mcnemar_exact"`
}

// ConfidencePair is how sure both networks are of the images of a set, and how well that tells them from the
// test set.
type ConfidencePair struct {
	OODSet
	Before float64         `json:"mean_max_softmax_before"`
	After  float64         `json:"mean_max_softmax_after"`
	Shift  float64         `json:"shift"` // After - Before
	CI95   [2]float64      `json:"shift_ci95"`
	Scores []DetectionPair `json:"scores,omitempty"` // of outliers
}

// DetectionPair is a detector on both networks.
type DetectionPair struct {
	Detector string   `json:"detector"`
	Label    string   `json:"label"`
	Before   Detected `json:"before"`
	After    Detected `json:"after"`
}

// Detected is how well a detector tells a set from the test set.
type Detected struct {
	metrics.Detection
	CI95 metrics.Intervals `json:"ci95"`
}

// Histogram counts values of a set in bins of equal width from 0 to 1.
type Histogram struct {
	Set    string `json:"set"`
	Before []int  `json:"before"`
	After  []int  `json:"after"`
}
