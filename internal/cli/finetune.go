package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/model"
)

func newFinetuneCmd(s *Streams) *cobra.Command {
	def := config.DefaultFinetune(config.MethodLoRA)
	var o trainingFlags
	var grid bool
	var merge string
	cmd := &cobra.Command{
		Use:   "finetune",
		Short: "Fine-tune a sentence encoder, whole or with low-rank adapters (LoRA)",
		Long: `Train a sentence classifier, by default on Rotten Tomatoes: a pretrained encoder with a head of two
layers.

--method lora freezes the encoder and trains matrices A and B beside the attention's linear layers, W·x +
(alpha/rank)·B·A·x (Hu et al. 2021); --targets says beside which: q, qv, qvk, qkvo. full trains every
weight, head the head alone. Several encoders, methods, targets, ranks or seeds make a study; --grid is the
lab's: targets q, qv, qvk with ranks 8 and 16, and full.

The head is that of transformers' BertForSequenceClassification, MPNetForSequenceClassification or
DistilBertForSequenceClassification, on the first token, so that transformers and PEFT load the result.
--set head.kind=pooled puts the head on the pooling that the encoder's folder names (default: mean): linear
with ReLU, dropout, linear. transformers has no class for it; the README.md beside the weights has the code
that loads it.

The optimiser is AdamW with linear warm-up and linear decay to 0. The validation loss selects the epoch; its
weights are evaluated once on the test split. Checkpoints hold the trained weights alone, with the
fingerprint of the encoder.

A run of lora leaves the adapter in OUT/RUN/adapter, in PEFT's format. --merge writes the whole model,
adapters merged into the weights, as a Hugging Face folder.

Settings, later ones take precedence: the method's defaults, --config, flags, --set.` + labelledTexts,
		Example: `  dla lab3 finetune
  dla lab3 finetune --targets q,qv --rank 8,16 --seeds 2
  dla lab3 finetune --grid --seeds 2 --resume                  # goes on where it was stopped
  dla lab3 finetune --encoder mpnet --set train.lr=3e-4
  dla lab3 finetune --method full --merge models/minilm-rt
  dla lab3 finetune --data aclImdb --set data.val=2500
  dla lab3 finetune --encoder mpnet --method full --set train.accumulate=4
  dla lab3 finetune --grid --dry-run`,
		Args: noArgs,
	}
	b := newSettingFlags(cmd, &def)
	b.bindAxis("encoder", "encoder.from", "pretrained encoder, or several: minilm,mpnet")
	b.bindAxis("method", "method", "method of fine-tuning, or several: lora,full,head")
	b.bindAxis("targets", "lora.targets", "adapted layers of the attention, or several choices: q,qv,qvk,qkvo")
	b.bindAxis("rank", "lora.rank", "rank of the adapters, or several: 8,16")
	o.add(cmd, "lab3", b)
	b.bind("alpha", "lora.alpha", "scaling of the adapters: their product is scaled by alpha/rank")
	b.bind("dropout", "lora.dropout", "dropout on the input of the adapters")
	b.bind("patience", "train.patience", "stop after this many epochs without a smaller validation loss; 0: never")
	f := cmd.Flags()
	f.BoolVar(&grid, "grid", false, "the lab's study: targets q, qv, qvk with ranks 8 and 16, and full")
	f.StringVar(&merge, "merge", "", "write the trained model, adapters merged, to this new Hugging Face folder")
	f.Lookup("seed").Usage = "seed of the initial weights, of dropout and of the order of batches"
	f.Lookup("fast-dev-run").Usage = "quick check that everything works: two epochs of 64 sentences; other flags " +
		"and --set take precedence"
	completeWords(cmd, "method", config.Methods)
	completeWords(cmd, "targets", config.Targets)
	completeWords(cmd, "encoder", shortNames())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfgs, err := finetuneSettings(o, b, grid)
		if err == nil && merge != "" && len(cfgs) > 1 {
			err = fmt.Errorf("--merge writes one model, but this study has %d; train one at a time", len(cfgs))
		}
		if err != nil {
			return usageError(err)
		}
		st := study{line: finetuneLine(cfgs), small: o.smallLine(b, smallFinetuning), tasks: tasksOf(cfgs),
			items: "sentences"}
		if merge != "" && !o.dryRun {
			if err := model.Unused(merge); err != nil { // fail before the training, not after it
				return err
			}
			st.after = func(all []labs.Outcome) error { return labs.Merge(o.out, all[0].ID, merge) }
		}
		return o.run(cmd, s, st)
	}
	return cmd
}

// smallFinetuning holds the settings of --fast-dev-run.
var smallFinetuning = []small{{"data.limit", 64}, {"train.epochs", 2}}

// theGrid is the lab's study: the values of each axis.
var theGrid = map[string]string{"method": "lora,full", "targets": "q,qv,qvk", "rank": "8,16"}

// finetuneSettings resolves the settings of every run, encoder by encoder, adapters before the other methods. The
// method determines the defaults.
func finetuneSettings(o trainingFlags, b *settingFlags, grid bool) ([]config.Finetune, error) {
	if grid {
		for flag, values := range theGrid {
			if b.flags.Changed(flag) {
				return nil, fmt.Errorf("--grid and --%s exclude each other: the grid sets it", flag)
			}
			if err := b.flags.Set(flag, values); err != nil {
				return nil, err
			}
		}
	}
	return resolve(o.experimentFlags, b, o.seeds, layers[config.Finetune]{
		plain:   func() config.Finetune { return config.DefaultFinetune(config.MethodLoRA) },
		decided: func(c config.Finetune) (config.Finetune, error) { return config.DefaultFinetune(c.Method), nil },
		special: func(c *config.Finetune) error {
			if c.Method != config.MethodLoRA { // settings of adapters do not apply to this run
				c.LoRA = config.LoRA{}
			}
			return nil
		},
		small: smallFinetuning,
		check: config.Finetune.Validate,
	})
}

// finetuneLine summarises the resolved settings.
func finetuneLine(cfgs []config.Finetune) string {
	c := cfgs[0]
	var names []string
	seeds := map[uint64]bool{}
	for _, x := range cfgs {
		seeds[x.Seed] = true
		if n := labs.FinetuneVariant(x); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	rates := fmt.Sprintf("lr %g", c.Train.LR)
	if slices.ContainsFunc(cfgs, func(x config.Finetune) bool { return x.Train.LR != c.Train.LR }) {
		rates = "lr of each method"
	}
	r := c.Training(0)
	return fmt.Sprintf("lab3 finetune: %s on %s, %s; %s", strings.Join(names, " "), c.Data.Name, rates,
		recipe(r, len(seeds), "sentences"))
}
