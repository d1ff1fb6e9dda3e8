package record

import (
	"fmt"

	"dla/internal/run"
)

// Classifier is the result of a classifier's training.
type Classifier struct {
	Test              Test           `json:"test"`       // at the epoch that validation selected; evaluated once
	BestEpoch         int            `json:"best_epoch"` // 1-based
	Val               run.Measure    `json:"val"`        // of the best epoch
	LastVal           run.Measure    `json:"last_val"`   // of the last epoch
	Epochs            int            `json:"epochs"`
	Reason            string         `json:"reason"`       // why the training ended: train.Reason
	WallSeconds       float64        `json:"wall_seconds"` // training and validation, all processes of the run
	Params            int            `json:"params"`
	MACs              int            `json:"macs"`       // multiply-adds of one sample's forward pass
	PeakBytes         int64          `json:"peak_bytes"` // planned memory of a training step's intermediates and gradients
	WeightsSHA256     string         `json:"weights_sha256"`
	LastWeightsSHA256 string         `json:"last_weights_sha256"`
	Predictions       run.Attachment `json:"predictions"` // of the test set: metrics.Predictions

	TestIndex *run.Attachment `json:"test_index,omitempty"` // of images in another order than the published one: data.WritePlaces
	GradNorms *run.Attachment `json:"grad_norms,omitempty"` // with train.grad_norms
	Train     *run.Measure    `json:"train,omitempty"`      // lab3 baseline: of the best epoch, on the training split, evaluated
	Encoder   *Encoder        `json:"encoder,omitempty"`    // lab3
	Robust    *Robust         `json:"robust,omitempty"`     // lab4 robust: the comparison with the original
	Finetuned *Finetuned      `json:"finetuned,omitempty"`  // lab3 finetune
	Checks    []Check         `json:"checks,omitempty"`     // lab1 distill
	Note      string          `json:"note,omitempty"`
}

// Test is the accuracy on the test set with its 95 % Wilson interval.
type Test struct {
	N        int        `json:"n"`
	Correct  int        `json:"correct"`
	Loss     float64    `json:"loss"`
	Accuracy float64    `json:"accuracy"`
	CI95     [2]float64 `json:"ci95"`
}

// Encoder is the pretrained sentence encoder that a run used.
type Encoder struct {
	Name      string `json:"name"`
	Params    int    `json:"params"`
	Width     int    `json:"width"`                    // of a sentence's features
	Weights   string `json:"weights_sha256"`           // labs.SentenceEncoder's
	Content   string `json:"content_sha256,omitempty"` // labs.SentenceEncoder's; older records have neither this
	Files     string `json:"files_sha256,omitempty"`   // nor the hash of the files' bytes, which Weights was then
	Tokenizer string `json:"tokenizer_sha256"`
}

// Finetuned is what only a fine-tuning's result has. The parameters of the Classifier are those trained.
type Finetuned struct {
	Total   int      `json:"total_params"`      // of encoder, adapters and head
	Labels  []string `json:"labels"`            // of the classes
	Head    string   `json:"head,omitempty"`    // on the encoder; records from before there was a choice lack it
	Adapter string   `json:"adapter,omitempty"` // folder of the run that holds it, as PEFT reads it
	Checks  []Check  `json:"checks"`
}

// Reached is the test accuracy.
func (c *Classifier) Reached() string {
	return fmt.Sprintf("test accuracy %.2f %%", 100*c.Test.Accuracy)
}

// SelfChecks are those of distillation, of fine-tuning or of the comparison with the original.
func (c *Classifier) SelfChecks() []Check {
	switch {
	case c.Finetuned != nil:
		return c.Finetuned.Checks
	case c.Robust != nil:
		return c.Robust.Checks
	}
	return c.Checks
}

// Remark is the note.
func (c *Classifier) Remark() string { return c.Note }

// Seconds is the wall time.
func (c *Classifier) Seconds() float64 { return c.WallSeconds }
