package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/hub"
	"dla/internal/labs"
	"dla/internal/report"
)

// baselineOptions are the flags of `dla lab3 baseline`.
type baselineOptions struct {
	trainingFlags
	encoders []string
	pooling  string
	hidden   int
	patience int
}

func newBaselineCmd(s *Streams) *cobra.Command {
	def := config.DefaultBaseline()
	var o baselineOptions
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "Train a small network on the features of a frozen sentence encoder",
		Long: `Encode every sentence of Rotten Tomatoes once with a frozen encoder, and train two linear layers with ReLU
and dropout between them on the vectors.

--encoder takes minilm, mpnet, distilbert, OWNER/NAME of a Hugging Face hub (` + "`dla models pull`" + ` gets them) or
a Hugging Face folder of the BERT family; several make a study. A sentence's vector is the mean of its
tokens' last hidden states (--pooling cls: the first token's), not normalised unless encoder.normalize says
so, and standardised over the training part. A sentence is cut to max_seq_length tokens where the folder has
a sentence_bert_config.json that says it, as sentence-transformers does.

The vectors are kept in the user's cache folder under what they were computed of: weights, tokenizer,
pooling, sentences. Another head, recipe or seed costs the encoder nothing.

The validation part selects the epoch; the test part is touched once, with that epoch's weights.`,
		Example: `  dla lab3 baseline
  dla lab3 baseline --encoder minilm,mpnet --seeds 3
  dla lab3 baseline --encoder ~/models/my-bert --pooling cls
  dla lab3 baseline --hidden 64 --set head.dropout=0.2 --set train.lr=0.002
  dla lab3 baseline --config configs/lab3/baseline.yaml --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBaseline(cmd, s, o) },
	}
	o.add(cmd, "lab3", def.Training())
	f := cmd.Flags()
	f.StringSliceVar(&o.encoders, "encoder", []string{def.Encoder.From}, "frozen encoder, or several: minilm,mpnet")
	f.StringVar(&o.pooling, "pooling", def.Encoder.Pooling, "what of the tokens a sentence's vector is: mean or cls")
	f.IntVar(&o.hidden, "hidden", def.Head.Hidden, "width between the head's two layers")
	f.IntVar(&o.patience, "patience", def.Train.Patience, "stop after this many epochs without a smaller validation loss; 0: never")
	f.Lookup("seed").Usage = "seed of the head's initial weights, of dropout and of the order of batches"
	f.Lookup("data").Usage = "set of sentences"
	f.Lookup("fast-dev-run").Usage = "two epochs of 512 sentences, to see that everything works; flags and --set that say otherwise win"
	f.Lookup("data").Usage += ": " + strings.Join(data.SentenceNames(), ", ")
	completeWords(cmd, "pooling", config.Poolings)
	var names []string
	for _, k := range hub.Known {
		names = append(names, k.Short)
	}
	completeWords(cmd, "encoder", names)
	return cmd
}

// settings resolves the settings of every run, encoder by encoder.
func (o baselineOptions) settings(cmd *cobra.Command) ([]config.Baseline, error) {
	set := cmd.Flags().Changed
	c := config.DefaultBaseline()
	if o.config != "" {
		if err := config.LoadFile(&c, o.config); err != nil {
			return nil, err
		}
	}
	for flag, assign := range map[string]func(){
		"data":     func() { c.Data.Name = o.data },
		"pooling":  func() { c.Encoder.Pooling = o.pooling },
		"hidden":   func() { c.Head.Hidden = o.hidden },
		"patience": func() { c.Train.Patience = o.patience },
		"seed":     func() { c.Seed = o.seed },
		"epochs":   func() { c.Train.Epochs = o.epochs },
	} {
		if set(flag) {
			assign()
		}
	}
	o.devRun(cmd, small{"", "data.limit", &c.Data.Limit, 512}, small{"epochs", "train.epochs", &c.Train.Epochs, 2})
	if err := o.check(); err != nil {
		return nil, err
	}
	encoders := []string{c.Encoder.From}
	if set("encoder") {
		encoders = o.encoders
	}
	var all distinct[config.Baseline]
	for _, e := range encoders {
		c.Encoder.From = e
		seeds, err := eachSeed(o.trainingFlags, c, func(c *config.Baseline) *uint64 { return &c.Seed }, config.Baseline.Validate)
		if err != nil {
			return nil, err
		}
		all.add(seeds...)
	}
	return all.list, nil
}

// findEncoders finds the encoder of each of cfgs, which of says, each once and before the data is read.
func findEncoders[C any](cfgs []C, of func(C) (from, weights string)) ([]*labs.SentenceEncoder, error) {
	var all []*labs.SentenceEncoder
	found := map[[2]string]*labs.SentenceEncoder{}
	for _, c := range cfgs {
		from, weights := of(c)
		e, ok := found[[2]string{from, weights}]
		if !ok {
			var err error
			if e, err = labs.FindSentenceEncoder(from, weights); err != nil {
				return nil, err
			}
			found[[2]string{from, weights}] = e
		}
		all = append(all, e)
	}
	return all, nil
}

func runBaseline(cmd *cobra.Command, s *Streams, o baselineOptions) (err error) {
	cfgs, err := o.settings(cmd)
	if err != nil {
		return usageError(err)
	}
	o.setThreads()
	encoders, err := findEncoders(cfgs, func(c config.Baseline) (from, weights string) {
		return c.Encoder.From,
			c.Encoder.Weights
	})
	if err != nil {
		return err
	}
	if o.dryRun {
		var plans []plan
		for i, c := range cfgs {
			plans = append(plans, plan{Variant: labs.BaselineVariant(c), Seed: c.Seed, Config: labs.BaselineSettings(c, encoders[i]), cost: func() (labs.Cost, error) { return labs.BaselineCost(c, encoders[i]) }})
		}
		return dryRun(s, baselineLine(cfgs), plans, o.json)
	}
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	x.progress.items = "sentences"
	fmt.Fprintln(s.Err, baselineLine(cfgs))
	all, err := labs.BaselineStudy(x.ctx, encoders, cfgs, x.opt, func(i int, t labs.Trained) {
		x.progress.Flush()
		if len(cfgs) > 1 && t.Done() {
			fmt.Fprintf(s.Err, "[%d/%d] %s\n", i+1, len(cfgs), reached(t))
		}
	})
	x.progress.Close()
	if err != nil {
		return err
	}
	return x.conclude(s, all, len(cfgs), o.out, report.Baseline, "lab3-baseline")
}

// baselineLine shows the resolved settings.
func baselineLine(cfgs []config.Baseline) string {
	c := cfgs[0]
	var names []string
	seeds := 0
	for _, x := range cfgs {
		if n := labs.BaselineVariant(x); !slices.Contains(names, n) {
			names = append(names, n)
		}
		if x.Encoder == c.Encoder {
			seeds++
		}
	}
	return fmt.Sprintf("lab3 baseline: %s on %s, %s pooling, dropout %g; %s", strings.Join(names, " "), c.Data.Name, c.Encoder.Pooling, c.Head.Dropout, recipe(c.Training(), seeds))
}
