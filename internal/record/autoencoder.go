package record

import (
	"fmt"

	"dla/internal/run"
)

// Autoencoder is the result of lab4 autoencoder: a decoder trained on a frozen encoder.
type Autoencoder struct {
	Test        TestError   `json:"test"`       // of the epoch with the smallest validation loss; evaluated once
	BestEpoch   int         `json:"best_epoch"` // 1-based
	Val         run.Measure `json:"val"`        // of the best epoch
	LastVal     run.Measure `json:"last_val"`   // of the last epoch
	Epochs      int         `json:"epochs"`
	Reason      string      `json:"reason"`       // train.Reason: why the training stopped
	WallSeconds float64     `json:"wall_seconds"` // training and validation, all processes of the run
	Params      int         `json:"params"`       // trained, so the decoder's
	MACs        int         `json:"macs"`         // multiply-adds to reconstruct one image
	// planned memory of a training step's intermediates and gradients
	PeakBytes         int64    `json:"peak_bytes"`
	WeightsSHA256     string   `json:"weights_sha256"`
	LastWeightsSHA256 string   `json:"last_weights_sha256"`
	Encoder           Frozen   `json:"encoder"`
	Examples          Examples `json:"examples"`

	GradNorms *run.Attachment `json:"grad_norms,omitempty"` // with train.grad_norms
	Note      string          `json:"note,omitempty"`
}

// TestError is the mean squared error of pixel values in [0,1] on the test set. CI95 is the normal 95 % interval of the
// mean over images.
type TestError struct {
	N    int        `json:"n"`
	MSE  float64    `json:"mse"`
	CI95 [2]float64 `json:"ci95"`
}

// Frozen describes the encoder after the training.
type Frozen struct {
	Network       string `json:"network"`
	Source        string `json:"source"` // run id or folder
	Params        int    `json:"params"`
	WeightsSHA256 string `json:"weights_sha256"` // of the whole classifier, head included
	Unchanged     bool   `json:"unchanged"`      // bit for bit
}

// Examples holds the first test image of each class with its reconstructions before and after training.
type Examples struct {
	// Pictures is a PNG with three rows: the images, their reconstructions before training and those after it, clipped
	// to [0,1].
	Pictures run.Attachment `json:"pictures"`
	Images   []Example      `json:"images"`
}

// Example gives the class of an image and the mean squared errors of its two reconstructions.
type Example struct {
	Class     string  `json:"class"`
	MSEBefore float64 `json:"mse_before"`
	MSE       float64 `json:"mse"`
}

// Reached gives the mean squared error on the test set.
func (a *Autoencoder) Reached() string { return fmt.Sprintf("test MSE %.6f", a.Test.MSE) }

// SelfChecks returns the one check: the encoder did not change.
func (a *Autoencoder) SelfChecks() []Check {
	return []Check{{What: "the encoder's weights and statistics are unchanged, bit for bit",
		Found: fmt.Sprintf("fingerprint %.12s…", a.Encoder.WeightsSHA256), OK: a.Encoder.Unchanged}}
}

// Remark returns the note.
func (a *Autoencoder) Remark() string { return a.Note }

// Seconds returns the wall time.
func (a *Autoencoder) Seconds() float64 { return a.WallSeconds }
