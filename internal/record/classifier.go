package record

import (
	"fmt"

	"dla/internal/run"
)

// Classifier is the result of training a classifier.
type Classifier struct {
	Test        Test        `json:"test"`       // of the epoch that validation selected; evaluated once
	BestEpoch   int         `json:"best_epoch"` // 1-based
	Val         run.Measure `json:"val"`        // of the best epoch
	LastVal     run.Measure `json:"last_val"`   // of the last epoch
	Epochs      int         `json:"epochs"`
	Reason      string      `json:"reason"`       // train.Reason: why the training stopped
	WallSeconds float64     `json:"wall_seconds"` // training and validation, all processes of the run

	// ElapsedSeconds is the time from the start of the process, or of the run where it was not the process's first, to
	// the end of the evaluation on the test set. A run that was continued has none.
	ElapsedSeconds *float64 `json:"elapsed_seconds,omitempty"`

	Params int `json:"params"`
	MACs   int `json:"macs"` // multiply-adds of the forward pass of one sample
	// planned memory of a training step's intermediates and gradients
	PeakBytes         int64          `json:"peak_bytes"`
	WeightsSHA256     string         `json:"weights_sha256"`
	LastWeightsSHA256 string         `json:"last_weights_sha256"`
	Predictions       run.Attachment `json:"predictions"` // of the test set: metrics.Predictions.Bytes

	TestViews *Views `json:"test_views,omitempty"` // beside Test, with test-time augmentation
	// TestLast is that of the last epoch's weights, beside Test, for images. It is nil where these are the selected
	// weights, and in older records.
	TestLast *Test `json:"test_last,omitempty"`

	ByClass *ByClass `json:"by_class,omitempty"` // measures of each class; missing from older records

	// TestIndex is set where the test images are not in their published order: see data.WritePlaces.
	TestIndex *run.Attachment `json:"test_index,omitempty"`
	GradNorms *run.Attachment `json:"grad_norms,omitempty"` // with train.grad_norms
	// lab3 baseline: training split, best epoch, without dropout
	Train     *run.Measure `json:"train,omitempty"`
	Encoder   *Encoder     `json:"encoder,omitempty"`   // lab3
	Robust    *Robust      `json:"robust,omitempty"`    // lab4 robust: the comparison with the original
	Finetuned *Finetuned   `json:"finetuned,omitempty"` // lab3 finetune
	Checks    []Check      `json:"checks,omitempty"`    // lab1 distill
	Imported  *Imported    `json:"imported,omitempty"`  // of a network that another program trained
	Note      string       `json:"note,omitempty"`
}

// Imported says where an imported network came from, and how what its file does not say was found.
type Imported struct {
	File   string             `json:"file"` // its name
	SHA256 string             `json:"sha256"`
	Stated map[string]float64 `json:"stated,omitempty"` // numbers beside the weights: best_prec1, epoch

	// Tried are the ways to compute the network with these weights, the chosen one first, then by accuracy.
	Tried []Tried `json:"tried"`
}

// Tried is one way to compute a network, and its accuracy on images of the training set.
type Tried struct {
	Normalization string  `json:"normalization"`      // of pixels
	Shortcut      string  `json:"shortcut,omitempty"` // where a ResNet changes shape
	N             int     `json:"n"`                  // images
	Accuracy      float64 `json:"accuracy"`
	Loss          float64 `json:"loss"`
}

// StatedAccuracy returns the accuracy, as a fraction, that the file states, and its name there. ok is false where it
// states none.
func (i Imported) StatedAccuracy() (name string, accuracy float64, ok bool) {
	for _, name := range []string{"best_prec1", "best_acc1", "best_acc", "best_accuracy", "test_acc", "test_accuracy",
		"acc1", "prec1", "acc", "accuracy", "top1"} {
		v, ok := i.Stated[name]
		if !ok || v <= 0 || v > 100 {
			continue
		}
		if v > 1 { // in percent
			v /= 100
		}
		return name, v, true
	}
	return "", 0, false
}

// Test is the accuracy on the test set with its 95 % Wilson interval.
type Test struct {
	N        int        `json:"n"`
	Correct  int        `json:"correct"`
	Loss     float64    `json:"loss"`
	Accuracy float64    `json:"accuracy"`
	CI95     [2]float64 `json:"ci95"`
}

// Views is the accuracy on the test set of the mean of logits over several views of each image.
type Views struct {
	Views string `json:"views"` // their name: see config.Views
	Test
}

// Encoder describes the pretrained sentence encoder of a run.
type Encoder struct {
	Name      string `json:"name"`
	Params    int    `json:"params"`
	Width     int    `json:"width"`                    // features per sentence
	Weights   string `json:"weights_sha256"`           // see labs.SentenceEncoder
	Content   string `json:"content_sha256,omitempty"` // see labs.SentenceEncoder; missing from older records
	Files     string `json:"files_sha256,omitempty"`   // of the files' bytes; in older records Weights is this
	Tokenizer string `json:"tokenizer_sha256"`
}

// Finetuned holds what only lab3 finetune records. Classifier.Params counts the trained parameters alone.
type Finetuned struct {
	Total   int      `json:"total_params"`      // of encoder, adapters and head
	Labels  []string `json:"labels"`            // of the classes
	Head    string   `json:"head,omitempty"`    // kind of head; older records lack it
	Adapter string   `json:"adapter,omitempty"` // folder of the run with the adapter in PEFT format
	Checks  []Check  `json:"checks"`
}

// LastTested returns the evaluation of the last epoch's weights on the test set, which may be the selected ones; nil
// where it was not made.
func (c *Classifier) LastTested() *Test {
	if c.TestLast == nil && c.BestEpoch == c.Epochs {
		return &c.Test
	}
	return c.TestLast
}

// Reached gives the test accuracy.
func (c *Classifier) Reached() string {
	return fmt.Sprintf("test accuracy %.2f %%", 100*c.Test.Accuracy)
}

// SelfChecks returns the checks of distillation, of fine-tuning or of the comparison with the original network.
func (c *Classifier) SelfChecks() []Check {
	switch {
	case c.Finetuned != nil:
		return c.Finetuned.Checks
	case c.Robust != nil:
		return c.Robust.Checks
	}
	return c.Checks
}

// Remark returns the note.
func (c *Classifier) Remark() string { return c.Note }

// Seconds returns the wall time.
func (c *Classifier) Seconds() float64 { return c.WallSeconds }
