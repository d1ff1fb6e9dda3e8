package record

import (
	"dla/internal/attack"
	"dla/internal/metrics"
	"dla/internal/run"
)

// Robust holds what only lab4 robust records: the outliers trained on, and the comparison of the original network
// (before) with the adversarially fine-tuned one (after) on the same images.
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

	Histograms run.Attachment `json:"histograms"` // []Histogram: of In, then of each of Sets
	// of all images of Trained and of the original's own: see HashSize
	Hashes  run.Attachment `json:"outlier_hashes"`
	Seconds float64        `json:"comparison_seconds"`
}

// HashSize is the number of bytes kept of the SHA-256 of an image's pixels. A file of hashes holds them in ascending
// order.
const HashSize = 8

// CleanPair compares both networks on the unchanged test images by McNemar's test.
type CleanPair struct {
	N          int        `json:"n"`
	Before     float64    `json:"accuracy_before"`
	BeforeCI95 [2]float64 `json:"before_ci95"`
	After      float64    `json:"accuracy_after"`
	AfterCI95  [2]float64 `json:"after_ci95"`
	OnlyBefore int        `json:"only_before"` // images that only the original classifies correctly
	OnlyAfter  int        `json:"only_after"`
	P          float64    `json:"mcnemar_p"`
	Exact      bool       `json:"mcnemar_exact"`
}

// ConfidencePair compares both networks' confidence on a set, and how well their scores separate it from the test set.
type ConfidencePair struct {
	OODSet
	Before float64         `json:"mean_max_softmax_before"`
	After  float64         `json:"mean_max_softmax_after"`
	Shift  float64         `json:"shift"` // After - Before
	CI95   [2]float64      `json:"shift_ci95"`
	Scores []DetectionPair `json:"scores,omitempty"` // of outliers
}

// DetectionPair compares a detector on both networks.
type DetectionPair struct {
	Detector string   `json:"detector"`
	Label    string   `json:"label"`
	Before   Detected `json:"before"`
	After    Detected `json:"after"`
}

// Detected measures how well a detector separates a set from the test set.
type Detected struct {
	metrics.Detection
	CI95 metrics.Intervals `json:"ci95"`
}

// Histogram counts both networks' confidences on a set in bins of equal width from 0 to 1.
type Histogram struct {
	Set    string `json:"set"`
	Before []int  `json:"before"`
	After  []int  `json:"after"`
}
