package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/report"
	"dla/internal/run"
)

// finetuneOptions are the flags of `dla lab3 finetune`.
type finetuneOptions struct {
	trainingFlags
	encoders []string
	methods  []string
	targets  []string
	ranks    []int
	alpha    float64
	dropout  float64
	patience int
	grid     bool
	merge    string
}

func newFinetuneCmd(s *Streams) *cobra.Command {
	def := config.DefaultFinetune(config.MethodLoRA)
	var o finetuneOptions
	cmd := &cobra.Command{
		Use:   "finetune",
		Short: "Fine-tune a sentence encoder, whole or by adapters of low rank (LoRA)",
		Long: `Train a classifier of the sentences of Rotten Tomatoes: a pretrained encoder with a head of two layers.

--method lora freezes the encoder and trains matrices A and B beside the attention's linear layers, W·x +
(alpha/rank)·B·A·x (Hu et al. 2021); --targets says beside which: q, qv, qvk, qkvo. full trains every
weight, head the head alone. Several encoders, methods, targets, ranks or seeds make a study; --grid is the
lab's: q, qv, qvk by ranks 8 and 16, and full.

The head is that of transformers' BertForSequenceClassification, MPNetForSequenceClassification or
DistilBertForSequenceClassification, on the first token, so that transformers and PEFT load what is written.
--set head.kind=pooled puts one on what the encoder's folder pools by (the mean if it does not say): linear
with ReLU, dropout, linear. transformers has no class for it; the README.md beside the weights has the lines
that load it.

AdamW, the rate rising linearly over the first steps and falling linearly to 0. The epoch with the smallest
validation loss is kept; the test part is touched once, with its weights. Checkpoints hold what is trained
alone, beside the fingerprint of the encoder.

A run of lora leaves the adapter in OUT/RUN/adapter, as PEFT writes and reads it. --merge writes the whole
model, adapters added to the weights, as a Hugging Face folder.

Settings come from, later ones winning: the method's defaults, --config, flags, --set.`,
		Example: `  dla lab3 finetune
  dla lab3 finetune --targets q,qv --rank 8,16 --seeds 2
  dla lab3 finetune --grid --seeds 2 --resume                  # goes on where it was stopped
  dla lab3 finetune --encoder mpnet --set train.lr=3e-4
  dla lab3 finetune --method full --merge models/minilm-rt
  dla lab3 finetune --encoder mpnet --method full --set train.accumulate=4
  dla lab3 finetune --grid --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runFinetune(cmd, s, o) },
	}
	o.add(cmd, "lab3", def.Training(0))
	f := cmd.Flags()
	f.StringSliceVar(&o.encoders, "encoder", []string{def.Encoder.From}, "pretrained encoder, or several: minilm,mpnet")
	f.StringSliceVar(&o.methods, "method", []string{def.Method}, "what is trained, or several: lora,full,head")
	f.StringSliceVar(&o.targets, "targets", []string{def.LoRA.Targets}, "layers of the attention with adapters, or several choices: q,qv,qvk,qkvo")
	f.IntSliceVar(&o.ranks, "rank", []int{def.LoRA.Rank}, "rank of the adapters, or several: 8,16")
	f.Float64Var(&o.alpha, "alpha", def.LoRA.Alpha, "scale of the adapters, times their rank")
	f.Float64Var(&o.dropout, "dropout", def.LoRA.Dropout, "dropout of the adapters' input")
	f.IntVar(&o.patience, "patience", def.Train.Patience, "stop after this many epochs without a smaller validation loss; 0: never")
	f.BoolVar(&o.grid, "grid", false, "the lab's study: targets q, qv, qvk by ranks 8 and 16, and full")
	f.StringVar(&o.merge, "merge", "", "write the trained model, adapters merged, to this Hugging Face folder")
	f.Lookup("seed").Usage = "seed of the initial weights, of dropout and of the order of batches"
	f.Lookup("data").Usage = "set of sentences"
	f.Lookup("fast-dev-run").Usage = "two epochs of 64 sentences, to see that everything works; flags and --set that say otherwise win"
	completeWords(cmd, "method", config.Methods)
	completeWords(cmd, "targets", config.Targets)
	completeWords(cmd, "encoder", shortNames())
	return cmd
}

// settings resolves the settings of every run: encoder by encoder, adapters before the other methods.
func (o finetuneOptions) settings(cmd *cobra.Command) ([]config.Finetune, error) {
	set := cmd.Flags().Changed
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.grid {
		for _, flag := range []string{"method", "targets", "rank"} {
			if set(flag) {
				return nil, fmt.Errorf("--grid and --%s: the grid has its own", flag)
			}
		}
		o.methods, o.targets, o.ranks = []string{config.MethodLoRA, config.MethodFull}, []string{"q", "qv", "qvk"}, []int{8, 16}
	}
	file := config.DefaultFinetune(config.MethodLoRA)
	if o.config != "" { // for what is to be expanded
		if err := config.LoadFile(&file, o.config); err != nil {
			return nil, err
		}
	}
	for flag, single := range map[string]func(){
		"encoder": func() { o.encoders = []string{file.Encoder.From} },
		"method":  func() { o.methods = []string{file.Method} },
		"targets": func() { o.targets = []string{file.LoRA.Targets} },
		"rank":    func() { o.ranks = []int{file.LoRA.Rank} },
	} {
		if !set(flag) && (!o.grid || flag == "encoder") {
			single()
		}
	}
	var all distinct[config.Finetune]
	for _, e := range o.encoders {
		for _, m := range o.methods {
			for _, t := range o.targets {
				for _, r := range o.ranks {
					seeds, err := o.seedsOf(cmd, e, m, t, r)
					if err != nil {
						return nil, err
					}
					all.add(seeds...)
				}
			}
		}
	}
	if o.merge != "" && len(all.list) > 1 {
		return nil, fmt.Errorf("--merge writes one model, and these are %d; train them apart", len(all.list))
	}
	return all.list, nil
}

// seedsOf is the settings of one choice of what is trained, from every seed.
func (o finetuneOptions) seedsOf(cmd *cobra.Command, encoder, method, targets string, rank int) ([]config.Finetune,
	error) {
	set := cmd.Flags().Changed
	c := config.DefaultFinetune(method)
	if o.config != "" {
		if err := config.LoadFile(&c, o.config); err != nil {
			return nil, err
		}
	}
	for flag, assign := range map[string]func(){
		"data":     func() { c.Data.Name = o.data },
		"alpha":    func() { c.LoRA.Alpha = o.alpha },
		"dropout":  func() { c.LoRA.Dropout = o.dropout },
		"patience": func() { c.Train.Patience = o.patience },
		"seed":     func() { c.Seed = o.seed },
		"epochs":   func() { c.Train.Epochs = o.epochs },
	} {
		if set(flag) {
			assign()
		}
	}
	o.devRun(cmd, small{"", "data.limit", &c.Data.Limit, 64}, small{"epochs", "train.epochs", &c.Train.Epochs, 2})
	c.Encoder.From, c.Method, c.LoRA.Targets, c.LoRA.Rank = encoder, method, targets, rank
	if method != config.MethodLoRA { // what a file or a study says of adapters is not of this run
		c.LoRA = config.LoRA{}
	}
	return eachSeed(o.trainingFlags, c, func(c *config.Finetune) *uint64 { return &c.Seed }, config.Finetune.Validate)
}

func runFinetune(cmd *cobra.Command, s *Streams, o finetuneOptions) (err error) {
	cfgs, err := o.settings(cmd)
	if err != nil {
		return usageError(err)
	}
	o.setThreads()
	encoders, err := findEncoders(cfgs, func(c config.Finetune) (from, weights string) {
		return c.Encoder.From,
			c.Encoder.Weights
	})
	if err != nil {
		return err
	}
	if o.dryRun {
		var plans []plan
		for i, c := range cfgs {
			plans = append(plans, plan{Variant: labs.FinetuneVariant(c), Seed: c.Seed, Config: labs.FinetuneSettings(c, encoders[i]), cost: func() (labs.Cost, error) { return labs.FinetuneCost(c, encoders[i]) }})
		}
		return dryRun(s, finetuneLine(cfgs), plans, o.json)
	}
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	x.progress.items = "sentences"
	defer func() { err = errors.Join(err, x.close()) }()
	fmt.Fprintln(s.Err, finetuneLine(cfgs))
	var heads []string
	for i, c := range cfgs {
		head, err := labs.FinetuneHead(c, encoders[i])
		if err != nil {
			return err
		}
		if !slices.Contains(heads, head) {
			heads = append(heads, head)
			fmt.Fprintf(s.Err, "head: %s\n", head)
		}
	}
	all, err := labs.FinetuneStudy(x.ctx, encoders, cfgs, o.merge, x.opt, func(i int, t labs.Trained) {
		x.progress.Flush()
		if len(cfgs) > 1 && t.Done() {
			fmt.Fprintf(s.Err, "[%d/%d] %s\n", i+1, len(cfgs), reached(t))
		}
	})
	x.progress.Close()
	if err != nil {
		return err
	}
	last := all[len(all)-1]
	if last.Done() {
		for _, t := range all {
			if len(all) > 1 {
				fmt.Fprintf(s.Out, "\n%s seed %d, ", t.Variant, t.Config.Seed)
			} else {
				fmt.Fprintln(s.Out)
			}
			printChecks(s.Out, t.Result.Finetuned.Checks)
		}
	}
	if err := x.conclude(s, all, len(cfgs), o.out, report.Finetuning, "lab3-finetune"); err != nil {
		return err
	}
	if len(all) == 1 {
		fmt.Fprintf(s.Out, "      %s\n", run.Command(o.out, "lab3", "predict", last.ID, "a film to remember"))
	}
	return nil
}

// finetuneLine shows the resolved settings.
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
	return fmt.Sprintf("lab3 finetune: %s on %s, %s; %s", strings.Join(names, " "), c.Data.Name, rates, recipe(r, len(seeds)))
}
