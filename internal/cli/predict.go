package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dla/internal/labs"
)

// predictOptions are the flags of `dla lab3 predict`.
type predictOptions struct {
	file    string
	runs    string
	threads int
	json    bool
}

func newPredictCmd(s *Streams) *cobra.Command {
	var o predictOptions
	cmd := &cobra.Command{
		Use:   "predict CHECKPOINT [TEXT…]",
		Short: "Say what a trained classifier makes of sentences",
		Long: `Classify sentences: each TEXT, or each line of --file, or of the standard input. Of each it prints the label,
the label's probability and the sentence, and at the end the tokens per second.

CHECKPOINT is the id of a finished run of lab3 finetune, the folder of an adapter (its own or one that PEFT
made), of a merged model, or the name of one under checkpoints/. The encoder of an adapter is found by its
name, as ` + "`dla models ls`" + ` lists it. Of PEFT's settings of LoRA those are computed that choose layers, ranks, scales
and biases, and the initialisations pissa and olora, which change the encoder; others that change the result (DoRA
and more) are refused by their name.`,
		Example: `  dla lab3 predict 20261124-0930 "a film to remember"
  dla lab3 predict runs/20261124-093015-minilm-lora-qv-r8-s0/adapter -f reviews.txt
  dla lab3 predict models/minilm-rt "flat" "warm and funny" --json
  echo "not bad at all" | dla lab3 predict 20261124-0930`,
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			ids, _ := completeRuns(&o.runs)(c, args, prefix)
			return ids, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runPredict(cmd, s, o, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "file with a sentence a line; -: the standard input")
	f.StringVar(&o.runs, "out", "runs", "directory of run records")
	f.IntVar(&o.threads, "threads", 0, "worker threads; 0: one for each core. Results do not depend on it")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// maxSentences bounds the bytes that are read to be classified.
const maxSentences = 64 << 20

// sentences are those asked for.
func (o predictOptions) sentences(s *Streams, texts []string) ([]string, error) {
	if len(texts) > 0 {
		if o.file != "" {
			return nil, usageError(fmt.Errorf("texts and --file: want one of them"))
		}
		return texts, nil
	}
	in, name := s.In, "the standard input"
	switch {
	case o.file != "" && o.file != "-":
		f, err := os.Open(o.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, name = f, o.file
	case o.file == "" && s.InTTY:
		return nil, usageError(fmt.Errorf("name the text to classify, or a file with --file"))
	}
	lines := bufio.NewScanner(io.LimitReader(in, maxSentences+1))
	lines.Buffer(nil, 1<<20)
	read := 0
	for lines.Scan() {
		if read += len(lines.Bytes()) + 1; read > maxSentences {
			return nil, fmt.Errorf("%s is longer than %d bytes; give it in parts", name, maxSentences)
		}
		if t := strings.TrimSpace(lines.Text()); t != "" {
			texts = append(texts, t)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s holds no sentences; want one a line", name)
	}
	return texts, nil
}

func runPredict(cmd *cobra.Command, s *Streams, o predictOptions, from string, texts []string) error {
	if o.threads < 0 {
		return usageError(fmt.Errorf("--threads %d: want 0 or more", o.threads))
	}
	experimentFlags{threads: o.threads}.setThreads()
	sentences, err := o.sentences(s, texts)
	if err != nil {
		return err
	}
	c, err := labs.FindSentiment(o.runs, from)
	if err != nil {
		return err
	}
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	p, err := c.Predict(ctx, sentences)
	if n := code(); n != 0 {
		return &ExitError{Code: n}
	}
	if err != nil {
		return err
	}
	rate := float64(p.Tokens) / p.Seconds
	if o.json {
		return writeJSON(s.Out, struct {
			Model     string            `json:"model"`
			Source    string            `json:"source"`
			Params    int               `json:"params"`
			Sentences []labs.Prediction `json:"sentences"`
			Seconds   float64           `json:"seconds"`
			Rate      float64           `json:"tokens_per_second"`
		}{c.Name, c.Source, c.Params, p.All, p.Seconds, rate})
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for _, one := range p.All {
		fmt.Fprintf(w, "%s\t%.4f\t%s\n", one.Label, one.Score(), oneLineOf(one.Text))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "%s, %d parameters: %d sentences, %d tokens, %.0f tokens/s\n", c.Name, c.Params, len(p.All), p.Tokens, rate)
	return nil
}

// oneLineOf is a text as a cell of a table: white space and control characters as single spaces.
func oneLineOf(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }), " ")
}
