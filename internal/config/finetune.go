package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Finetune holds the settings of lab3 finetune: the training of a sentence encoder, or of adapters on it, with a head
// of two layers.
type Finetune struct {
	Experiment string        `yaml:"experiment" json:"experiment"`
	Seed       uint64        `yaml:"seed" json:"seed"` // of the initial weights, of dropout and of the order of batches
	Data       SentenceData  `yaml:"data" json:"data"`
	Encoder    Pretrained    `yaml:"encoder" json:"encoder"`
	Method     string        `yaml:"method" json:"method"` // lora, full, head
	LoRA       LoRA          `yaml:"lora" json:"lora"`     // zero unless Method is lora
	Head       FinetuneHead  `yaml:"head" json:"head"`
	Train      FinetuneTrain `yaml:"train" json:"train"`
}

// Pretrained names the encoder that a training starts from.
type Pretrained struct {
	From    string `yaml:"from" json:"from"`       // minilm, mpnet, distilbert, OWNER/NAME or a folder
	Weights string `yaml:"weights" json:"weights"` // expected SHA-256 (fingerprint); recorded by a run
}

// LoRA holds the settings of the adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685).
type LoRA struct {
	Targets string  `yaml:"targets" json:"targets"` // adapted layers of the attention: q, qv, qvk, qkvo
	Rank    int     `yaml:"rank" json:"rank"`
	Alpha   float64 `yaml:"alpha" json:"alpha"`     // the adapters' product is scaled by alpha/rank
	Dropout float64 `yaml:"dropout" json:"dropout"` // of the adapters' input
}

// FinetuneHead describes the head on the encoder.
type FinetuneHead struct {
	// Kind is HeadTransformers, the head of transformers' classifier for the encoder's family, or HeadPooled, a head on
	// the pooling that the encoder's folder names. Older records lack it (HeadUnnamed): they have the pooled head, or
	// for DistilBERT that of transformers.
	Kind    string  `yaml:"kind,omitempty" json:"kind,omitempty"`
	Dropout float64 `yaml:"dropout" json:"dropout"` // between its two layers
}

// FinetuneTrain holds the settings of the training: AdamW with linear warm-up and linear decay to 0.
type FinetuneTrain struct {
	Epochs      int     `yaml:"epochs" json:"epochs"`
	BatchSize   int     `yaml:"batch_size" json:"batch_size"` // sentences
	Accumulate  int     `yaml:"accumulate" json:"accumulate"` // micro-batches per batch: more need less memory
	LR          float64 `yaml:"lr" json:"lr"`                 // peak
	Warmup      float64 `yaml:"warmup" json:"warmup"`         // fraction of all steps, in [0, 1)
	WeightDecay float64 `yaml:"weight_decay" json:"weight_decay"`
	Beta1       float64 `yaml:"beta1" json:"beta1"`
	Beta2       float64 `yaml:"beta2" json:"beta2"`
	Eps         float64 `yaml:"eps" json:"eps"`
	ClipNorm    float64 `yaml:"clip_norm" json:"clip_norm"` // 0: off
	// epochs without a smaller validation loss before stopping; 0: no early stop
	Patience int `yaml:"patience" json:"patience"`
}

// Methods of fine-tuning.
const (
	MethodLoRA = "lora" // adapters and the head
	MethodFull = "full" // every weight
	MethodHead = "head" // the head alone
)

// Heads of fine-tuned encoders.
const (
	HeadTransformers = "transformers"
	HeadPooled       = "pooled"
	HeadUnnamed      = ""
)

// Methods lists the methods of fine-tuning, Targets the choices of adapted layers.
var (
	Methods = []string{MethodLoRA, MethodFull, MethodHead}
	Targets = []string{"q", "qv", "qvk", "qkvo"}
)

const finetuneExperiment = "lab3/finetune"

// DefaultFinetune returns the defaults of a method on the smallest encoder. Alpha is constant over ranks, so that the
// learning rate need not change with the rank (Hu et al. 2021, section 4.1).
func DefaultFinetune(method string) Finetune {
	c := Finetune{
		Experiment: finetuneExperiment,
		Data:       SentenceData{Name: "rotten_tomatoes"},
		Encoder:    Pretrained{From: "minilm"},
		Method:     method,
		Head:       FinetuneHead{Kind: HeadTransformers, Dropout: 0.2},
		Train: FinetuneTrain{Epochs: 4, BatchSize: 32, Accumulate: 1, LR: 5e-4, Warmup: 0.06, WeightDecay: 0.01,
			Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, ClipNorm: 1, Patience: 2},
	}
	switch method {
	case MethodLoRA:
		c.LoRA = LoRA{Targets: "qv", Rank: 8, Alpha: 16, Dropout: 0.1}
	case MethodFull:
		c.Train.LR = 3e-5
	case MethodHead:
		c.Train.LR = 1e-3
	}
	return c
}

// Training returns the settings that every training has. steps is the number of steps that the warm-up is a fraction
// of.
func (c Finetune) Training(steps int) Training {
	r := DefaultResnet().Training()
	r.Seed, r.Data.Name, r.Data.Limit = c.Seed, c.Data.Name, c.Data.Limit
	t := c.Train
	r.Train.Epochs, r.Train.BatchSize, r.Train.LR, r.Train.WeightDecay = t.Epochs, t.BatchSize, t.LR, t.WeightDecay
	r.Train.Beta1, r.Train.Beta2, r.Train.Eps = t.Beta1, t.Beta2, t.Eps
	r.Train.ClipNorm, r.Train.Patience = t.ClipNorm, t.Patience
	r.Train.Optimizer, r.Train.Schedule = "adamw", "linear"
	r.Train.WarmupSteps = int(math.Round(t.Warmup * float64(steps)))
	return r
}

// Validate returns an error that names the first invalid setting.
func (c Finetune) Validate() error {
	if c.Experiment != finetuneExperiment {
		return fmt.Errorf("experiment is %q, want %s", c.Experiment, finetuneExperiment)
	}
	if c.Encoder.From == "" {
		return fmt.Errorf("encoder.from is empty, want minilm, mpnet, distilbert, OWNER/NAME or a folder")
	}
	if !slices.Contains(Methods, c.Method) {
		return fmt.Errorf("method is %q, want one of %s", c.Method, strings.Join(Methods, ", "))
	}
	if k := c.Head.Kind; k != HeadTransformers && k != HeadPooled && k != HeadUnnamed {
		return fmt.Errorf("head.kind is %q, want %s or %s", k, HeadTransformers, HeadPooled)
	}
	switch l := c.LoRA; {
	case c.Method != MethodLoRA && l != (LoRA{}):
		return fmt.Errorf("lora is set, but method %s has no adapters", c.Method)
	case c.Method != MethodLoRA:
	case !slices.Contains(Targets, l.Targets):
		return fmt.Errorf("lora.targets is %q, want one of %s", l.Targets, strings.Join(Targets, ", "))
	case l.Rank < 1 || l.Rank > 1<<10:
		return fmt.Errorf("lora.rank is %d, want 1 to %d", l.Rank, 1<<10)
	case !(l.Alpha > 0) || math.IsInf(l.Alpha, 0):
		return fmt.Errorf("lora.alpha is %g, want a finite number above 0", l.Alpha)
	}
	for _, x := range []struct {
		key string
		v   float64
	}{{"lora.dropout", c.LoRA.Dropout}, {"head.dropout", c.Head.Dropout}, {"train.warmup", c.Train.Warmup}} {
		if !(x.v >= 0 && x.v < 1) {
			return fmt.Errorf("%s is %g, want at least 0 and below 1", x.key, x.v)
		}
	}
	if n := c.Train.Accumulate; n < 1 || n > c.Train.BatchSize {
		return fmt.Errorf("train.accumulate is %d, want 1 to train.batch_size, which is %d", n, c.Train.BatchSize)
	}
	if err := c.Data.validate(); err != nil {
		return err
	}
	return c.Training(0).Validate()
}
