package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
)

func newBaselineCmd(s *Streams) *cobra.Command {
	def := config.DefaultBaseline()
	var o trainingFlags
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "Train a small network on the features of a frozen sentence encoder",
		Long: `Encode every sentence of a set, by default Rotten Tomatoes, once with a frozen encoder, and train two
linear layers, with ReLU and dropout between them, on the vectors.

--encoder takes minilm, mpnet, distilbert, OWNER/NAME of a Hugging Face hub (see ` + "`dla models pull`" + `) or
a Hugging Face folder of the BERT family; several make a study. The vector of a sentence is the mean of its
tokens' last hidden states (--pooling cls: the first token's), normalised only if encoder.normalize is true,
and standardised over the training split. Sentences are truncated to max_seq_length tokens if the folder has
a sentence_bert_config.json that sets it, as sentence-transformers does.

The user's cache folder keeps the vectors, keyed by weights, tokenizer, pooling and sentences. Another head,
recipe or seed does not run the encoder again.

The validation loss selects the epoch; its weights are evaluated once on the test split.` + labelledTexts,
		Example: `  dla lab3 baseline
  dla lab3 baseline --encoder minilm,mpnet --seeds 3
  dla lab3 baseline --encoder ~/models/my-bert --pooling cls
  dla lab3 baseline --data reviews.csv
  dla lab3 baseline --data ag_news --set data.text=Description --set 'data.label=Class Index'
  dla lab3 baseline --hidden 64 --set head.dropout=0.2 --set train.lr=0.002
  dla lab3 baseline --config configs/lab3/baseline.yaml --dry-run`,
		Args: noArgs,
	}
	b := newSettingFlags(cmd, &def)
	b.bindAxis("encoder", "encoder.from", "frozen encoder, or several: minilm,mpnet")
	o.add(cmd, "lab3", b)
	b.bind("pooling", "encoder.pooling", "pooling of the last hidden states: mean or cls")
	b.bind("hidden", "head.hidden", "width between the two layers of the head")
	b.bind("patience", "train.patience", "stop after this many epochs without a smaller validation loss; 0: never")
	f := cmd.Flags()
	f.Lookup("seed").Usage = "seed of the head's initial weights, of dropout and of the order of batches"
	f.Lookup("fast-dev-run").Usage = "quick check that everything works: two epochs of 512 sentences; other flags " +
		"and --set take precedence"
	completeWords(cmd, "pooling", config.Poolings)
	completeWords(cmd, "encoder", shortNames())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfgs, err := resolve(o.experimentFlags, b, o.seeds, layers[config.Baseline]{
			plain: config.DefaultBaseline, small: smallTraining, check: config.Baseline.Validate})
		if err != nil {
			return usageError(err)
		}
		return o.run(cmd, s, study{line: baselineLine(cfgs), small: o.smallLine(b, smallTraining), tasks: tasksOf(cfgs),
			items: "sentences"})
	}
	return cmd
}

// baselineLine summarises the resolved settings.
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
	return fmt.Sprintf("lab3 baseline: %s on %s, %s pooling, dropout %g; %s", strings.Join(names, " "), c.Data.Name,
		c.Encoder.Pooling, c.Head.Dropout, recipe(c.Training(), seeds, "sentences"))
}
