package cli

import "github.com/spf13/cobra"

// labelledTexts describes the files that --data takes in lab 3.
const labelledTexts = `

--data takes a set of the catalogue, or a FILE or FOLDER of labelled texts, with two classes or more:
  FILE.csv, .tsv, .jsonl, .parquet   a text and its label a row
  FOLDER/train.csv, validation.csv, test.csv    such files, called after their split
  FOLDER/CLASS/*.txt, FOLDER/CLASS.txt          a text a file, or a text a line; also in folders train, val, test
Columns are found by their usual names (text, sentence, review, content, document; label, sentiment, class,
category, target), or named: --set data.text=COLUMN --set data.label=COLUMN; without a header by number, from 1.
Labels are words or numbers. Splits that are missing are drawn, of each class its share, the same for every
seed: a column called split (data.split), else a tenth for validation and for the test (data.val, data.test: a
share or a number). ` + "`dla data describe FILE`" + ` says what is read.`

func newLab3Cmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab3",
		Short: "Sentence encoders: frozen features, LoRA, fine-tuning, predictions, embeddings",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBaselineCmd(s), newFinetuneCmd(s), newPredictCmd(s), newEncodeCmd(s))
	return cmd
}
