package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/labs"
)

func newBaselineCmd(s *Streams) *cobra.Command {
	def := config.DefaultBaseline()
	var o trainingFlags
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
	}
	b := newSettingFlags(cmd, &def)
	b.bindAxis("encoder", "encoder.from", "frozen encoder, or several: minilm,mpnet")
	o.add(cmd, "lab3", b)
	b.bind("pooling", "encoder.pooling", "what of the tokens a sentence's vector is: mean or cls")
	b.bind("hidden", "head.hidden", "width between the head's two layers")
	b.bind("patience", "train.patience", "stop after this many epochs without a smaller validation loss; 0: never")
	f := cmd.Flags()
	f.Lookup("seed").Usage = "seed of the head's initial weights, of dropout and of the order of batches"
	f.Lookup("data").Usage = "set of sentences: " + strings.Join(data.SentenceNames(), ", ")
	f.Lookup("fast-dev-run").Usage = "two epochs of 512 sentences, to see that everything works; flags and --set that say otherwise win"
	completeWords(cmd, "pooling", config.Poolings)
	completeWords(cmd, "encoder", shortNames())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfgs, err := resolve(o.experimentFlags, b, o.seeds, layers[config.Baseline]{
			plain: config.DefaultBaseline, small: smallTraining, check: config.Baseline.Validate})
		if err != nil {
			return usageError(err)
		}
		return o.run(cmd, s, study{line: baselineLine(cfgs), small: o.smallLine(b, smallTraining), tasks: tasksOf(cfgs), items: "sentences"})
	}
	return cmd
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
