package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/data"
	"dla/internal/labs"
	"dla/internal/plainfile"
	"dla/internal/run"
	"dla/internal/table"
)

// predictFlags are the flags that `dla predict` and `dla lab3 predict` share.
type predictFlags struct {
	runs    string
	threads int
	tableFlags
}

func (o *predictFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.runs, "out", run.DefaultRoot, "directory of run records")
	f.IntVar(&o.threads, "threads", 0, "worker threads; 0: one per core; results do not depend on it")
	o.tableFlags.add(cmd)
}

// setThreads sets the number of worker threads.
func (o predictFlags) setThreads() error {
	if o.threads < 0 {
		return usageError(fmt.Errorf("--threads %d: want 0 or more", o.threads))
	}
	experimentFlags{threads: o.threads}.setThreads()
	return nil
}

// predictOptions are the flags of `dla lab3 predict`.
type predictOptions struct {
	predictFlags
	file string
}

func newPredictCmd(s *Streams) *cobra.Command {
	var o predictOptions
	cmd := &cobra.Command{
		Use:   "predict CHECKPOINT [TEXT…]",
		Short: "Classify sentences with a fine-tuned model",
		Long: `Classify sentences: each TEXT, or each line of --file or of standard input. For each the command
prints the label, its probability and the sentence, and at the end the tokens per second. Every line has a row; a
line without anything to classify has no label (null in JSON). Sentences longer than the model's limit are truncated
with a message.

Text is read as UTF-8, as UTF-16 with a byte-order mark, or with a message as Windows-1252.

CHECKPOINT is the id of a finished run of lab3 finetune, the folder of an adapter (from dla or PEFT), of a
merged model or of a BertFor-, DistilBertFor- or MPNetForSequenceClassification of transformers, or the name
of one under checkpoints/. With --json, a multi-label model gives a probability for each label, and a
regression gives a value. The encoder of an adapter is found by its name, as ` + "`dla models ls`" + ` lists it.
Supported settings of PEFT's LoRA choose layers, ranks, scales and biases, and the initialisations pissa and
olora, which change the encoder. Other settings that change the result (such as DoRA) are refused by name.`,
		Example: `  dla lab3 predict 20261124-0930 "a film to remember"
  dla lab3 predict runs/20261124-093015-minilm-lora-qv-r8-s0/adapter -f reviews.txt
  dla lab3 predict models/minilm-rt "flat" "warm and funny" --json
  dla lab3 predict 20261124-0930 -f reviews.txt --format csv
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
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "file with one sentence per line; -: standard input")
	o.add(cmd)
	return cmd
}

// Bounds on the text to classify, in bytes.
const (
	maxSentences = 64 << 20
	maxLine      = 1 << 20
)

// sentences returns the sentences to classify, one per line or argument, empty for white space alone. kind names one of
// them, line or text, for messages with its number.
func (o predictOptions) sentences(s *Streams, texts []string) (all []string, kind string, err error) {
	if len(texts) > 0 {
		if o.file != "" {
			return nil, "", usageError(fmt.Errorf("texts and --file exclude each other; give one"))
		}
		for i, t := range texts {
			name := fmt.Sprintf("text %d", i+1)
			if isPictureFile(t) {
				return nil, "", usageError(fmt.Errorf("%s, %s, is an image file; `dla predict` classifies images",
					name, t))
			}
			if t, err = decoded(s, []byte(t), name); err != nil {
				return nil, "", err
			}
			all = append(all, strings.TrimSpace(t))
		}
		return some(all, "text", "the command line", "")
	}
	in, name := s.In, "the standard input"
	switch {
	case o.file != "" && o.file != "-":
		f, err := os.Open(o.file)
		if err != nil {
			return nil, "", err
		}
		defer f.Close()
		in, name = f, o.file
	case o.file == "" && s.InTTY:
		return nil, "", usageError(fmt.Errorf("name the text to classify, or a file with --file"))
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSentences+1))
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", name, err)
	}
	if len(b) > maxSentences {
		return nil, "", fmt.Errorf("%s is longer than %d bytes; split it", name, maxSentences)
	}
	if data.IsPicture(b) {
		return nil, "", fmt.Errorf("%s holds an image; `dla predict` classifies images", name)
	}
	text, err := decoded(s, b, name)
	if err != nil {
		return nil, "", err
	}
	for line := range strings.Lines(text) {
		if len(line) > maxLine {
			return nil, "", fmt.Errorf("%s: line %d has %d bytes, more than the limit of %d for a sentence; want "+
				"one sentence per line", name, len(all)+1, len(line), maxLine)
		}
		all = append(all, strings.TrimSpace(line))
	}
	return some(all, "line", name, "; want one a line")
}

// isPictureFile reports whether name is that of an image file.
func isPictureFile(name string) bool {
	f, _, err := plainfile.Open(name)
	if err != nil {
		return false
	}
	defer f.Close() // read only
	begin := make([]byte, 4096)
	n, _ := io.ReadFull(f, begin)
	return data.IsPicture(begin[:n])
}

// decoded returns the text b, called name, as UTF-8. It prints a message for any other encoding.
func decoded(s *Streams, b []byte, name string) (string, error) {
	text, encoding, err := data.DecodeText(b)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if encoding != "UTF-8" {
		fmt.Fprintf(s.Err, "%s is not UTF-8; read as %s\n", name, encoding)
	}
	return text, nil
}

// some returns all, or an error if it is empty.
func some(all []string, kind, name, wanted string) ([]string, string, error) {
	for _, t := range all {
		if t != "" {
			return all, kind, nil
		}
	}
	return nil, "", fmt.Errorf("%s holds no sentences%s", name, wanted)
}

func runPredict(cmd *cobra.Command, s *Streams, o predictOptions, from string, texts []string) error {
	if err := o.setThreads(); err != nil {
		return err
	}
	sentences, kind, err := o.sentences(s, texts)
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
	var cut, empty []int // numbers, from 1
	for i, one := range p.All {
		if one.Truncated {
			cut = append(cut, i+1)
		}
		if one.Label == nil {
			empty = append(empty, i+1)
		}
	}
	if len(cut) > 0 {
		fmt.Fprintf(s.Err, "%s: longer than the limit of %d tokens of %s; the rest was left out\n", numbered(kind, cut),
			c.MaxLength(), c.Name)
	}
	if len(empty) > 0 {
		fmt.Fprintf(s.Err, "%s: nothing to classify\n", numbered(kind, empty))
	}
	if o.asJSON() {
		return writeJSON(s.Out, struct {
			Model     string            `json:"model"`
			Source    string            `json:"source"`
			Params    int               `json:"params"`
			Sentences []labs.Prediction `json:"sentences"` // one per line or text, in order
			Seconds   float64           `json:"seconds"`
			Rate      float64           `json:"tokens_per_second"`
		}{c.Name, c.Source, c.Params, p.All, p.Seconds, rate})
	}
	t := table.New("", "class", "probability", "text")
	t.NoHead = true
	for _, one := range p.All {
		if one.Label == nil {
			t.Row("-", "-", "(nothing to classify)")
			continue
		}
		t.Row(*one.Label, table.Number("%.4f", one.Score()), oneLineOf(one.Text))
	}
	if err := o.write(s.Out, table.Of(t)); err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "%s, %d parameters: %d sentences, %d tokens, %.0f tokens/s\n", c.Name, c.Params,
		len(p.All)-len(empty), p.Tokens, rate)
	return nil
}

// numbered lists the first of the numbered lines or texts: lines 3, 8 and 12 more.
func numbered(kind string, numbers []int) string {
	if len(numbers) > 1 {
		kind += "s"
	}
	const shown = 8
	var all []string
	for _, n := range numbers[:min(shown, len(numbers))] {
		all = append(all, strconv.Itoa(n))
	}
	text := kind + " " + strings.Join(all, ", ")
	if more := len(numbers) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// oneLineOf returns text for a table cell: white space and control characters become single spaces.
func oneLineOf(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r >= 0x80 &&
			r < 0xa0
	}), " ")
}
