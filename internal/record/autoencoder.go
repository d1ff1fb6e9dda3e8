package record

import (
	"fmt"

	"dla/internal/run"
)

// Autoencoder is the result of an autoencoder's training.
type Autoencoder struct {
	Test              TestError   `json:"test"`       // at the epoch with the smallest validation loss; evaluated once
	BestEpoch         int         `json:"best_epoch"` // 1-based
	Val               run.Measure `json:"val"`        // of the best epoch
	LastVal           run.Measure `json:"last_val"`   // of the last epoch
	Epochs            int         `json:"epochs"`
	Reason            string      `json:"reason"`       // why the training ended: train.Reason
	WallSeconds       float64     `json:"wall_seconds"` // training and validation, all processes of the run
	Params            int         `json:"params"`       // the decoder's: all that was trained
	MACs              int         `json:"macs"`         // multiply-adds of reconstructing one image
	PeakBytes         int64       `json:"peak_bytes"`   // planned memory of a training step's intermediates and gradients
	WeightsSHA256     string      `json:"weights_sha256"`
	LastWeightsSHA256 string      `json:"last_weights_sha256"`
	Encoder           Frozen      `json:"encoder"`
	Examples          Examples    `json:"examples"`

	GradNorms *run.Attachment `json:"grad_norms,omitempty"` // with train.grad_norms
	Note      string          `json:"note,omitempty"`
}

// TestError is the mean squared error on the test set, of values in [0,1], with its 95 % interval: the mean's normal
// one, over images.
type TestError struct {
	N    int        `json:"n"`
	MSE  float64    `json:"mse"`
	CI95 [2]float64 `json:"ci95"`
}

// Frozen is the encoder as it was after the training.
type Frozen struct {
	Network       string `json:"network"`
	Source        string `json:"source"` // run id or folder
	Params        int    `json:"params"`
	WeightsSHA256 string `json:"weights_sha256"` // of the classifier that it is part of, with its head
	Unchanged     bool   `json:"unchanged"`      // bit by bit
}

// Examples are test images, the first of each class, with their reconstructions before and after training.
type Examples struct {
	// Pictures is a PNG with three rows of the images side by side: as they are, reconstructed by the decoder before
	// training and after it, cut to [0,1].
	Pictures run.Attachment `json:"pictures"`
	Images   []Example      `json:"images"`
}

// Example is one of the images, with the mean squared errors of its two reconstructions.
type Example struct {
	Class     string  `json:"class"`
	MSEBefore float64 `json:"mse_before"`
	MSE       float64 `json:"mse"`
}

// Reached is the mean squared error on the test set.
func (a *Autoencoder) Reached() string { return fmt.Sprintf("test MSE %.6f", a.Test.MSE) }

// SelfChecks is the one check there is.
func (a *Autoencoder) SelfChecks() []Check {
	return []Check{{What: "the encoder's weights and statistics are unchanged, bit for bit",
		Found: fmt.Sprintf("fingerprint %.12s…", a.Encoder.WeightsSHA256), OK: a.Encoder.Unchanged}}
}

// Remark is the note.
func (a *Autoencoder) Remark() string { return a.Note }

// Seconds is the wall time.
func (a *Autoencoder) Seconds() float64 { return a.WallSeconds }
