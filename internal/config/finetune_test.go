package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestFinetuneFileIsTheDefault: the file that ships says what happens without it, whatever the method decides.
func TestFinetuneFileIsTheDefault(t *testing.T) {
	def := DefaultFinetune(MethodLoRA)
	c := Finetune{LoRA: LoRA{Targets: def.LoRA.Targets, Rank: def.LoRA.Rank}}
	c.Train.LR, c.Train.Beta1, c.Train.Beta2, c.Train.Eps = def.Train.LR, def.Train.Beta1, def.Train.Beta2, def.Train.Eps
	if err := LoadFile(&c, filepath.Join("..", "..", "configs", "lab3", "finetune.yaml")); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, def) {
		t.Errorf("%+v, want %+v", c, def)
	}
	for _, m := range Methods {
		if err := DefaultFinetune(m).Validate(); err != nil {
			t.Errorf("the default of %s: %v", m, err)
		}
	}
}

func TestFinetuneTraining(t *testing.T) {
	r := DefaultFinetune(MethodFull).Training(1068)
	if r.Train.WarmupSteps != 64 || r.Train.Schedule != "linear" || r.Train.Optimizer != "adamw" || r.Train.LR != 3e-5 {
		t.Errorf("a training of %+v", r.Train)
	}
}

func TestFinetuneMistakes(t *testing.T) {
	for assignment, want := range map[string]string{
		"experiment=lab3/baseline": `experiment is "lab3/baseline", want lab3/finetune`,
		"encoder.from=''":          "encoder.from is empty",
		"method=some":              `method is "some", want one of lora, full, head`,
		"method=full":              "method full has no adapters",
		"lora.targets=vq":          `lora.targets is "vq"`,
		"lora.rank=2000":           "lora.rank is 2000",
		"lora.alpha=0":             "lora.alpha is 0",
		"lora.alpha=.inf":          "lora.alpha is +Inf",
		"lora.dropout=1":           "lora.dropout is 1",
		"head.dropout=-0.1":        "head.dropout is -0.1",
		"train.warmup=1":           "train.warmup is 1",
		"train.warmup=.nan":        "train.warmup is NaN",
		"train.accumulate=0":       "train.accumulate is 0",
		"train.lr=0":               "train.lr is 0",
		"train.batch_size=0":       "train.accumulate is 1, want 1 to train.batch_size, which is 0",
		"train.epochs=0":           "train.epochs is 0",
		"data.limit=-1":            "data.limit is -1",
		"lora.ranks=4":             "did you mean lora.rank?",
	} {
		c := DefaultFinetune(MethodLoRA)
		err := Set(&c, assignment)
		if err == nil {
			err = c.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", assignment, err, want)
		}
	}
}
