package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/atomicfile"
	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/npz"
)

// encodeOptions are the flags of `dla lab3 encode`.
type encodeOptions struct {
	predictOptions
	to        string
	pooling   string
	normalize bool
}

func newEncodeCmd(s *Streams) *cobra.Command {
	o := encodeOptions{pooling: config.PoolMean}
	cmd := &cobra.Command{
		Use:   "encode MODEL --npz FILE [TEXT…]",
		Short: "Write token ids, embeddings and logits of sentences as NumPy's .npz",
		Long: `Encode sentences: each TEXT, or each line of --file or of standard input, an empty one too. MODEL is an
encoder (minilm, mpnet, distilbert, OWNER/NAME, a folder) or a classifier, as ` + "`dla lab3 predict`" + ` takes it.

FILE gets these arrays, which numpy.load reads:
  ids         int32 [tokens]             token ids of all sentences, one after the other, [CLS] and [SEP] included
  offsets     int64 [sentences + 1]      where each sentence begins in ids: ids[offsets[i]:offsets[i+1]]
  truncated   uint8 [sentences]          1: longer than the model's limit, and cut there
  embeddings  float32 [sentences, width] the last hidden states' mean over the tokens (--pooling cls: the first
                                         token's); of a classifier those of its trained encoder
  logits      float32 [sentences, classes]   of a classifier, in the order of its labels, which are printed

An encoder without a head truncates as sentence-transformers does, a classifier at its own limit.`,
		Example: `  dla lab3 encode minilm -f reviews.txt --npz reviews.npz --normalize
  dla lab3 encode 20261124-0930 -f reviews.txt --npz reviews.npz
  dla lab3 encode minilm-lora "flat" "warm and funny" --npz two.npz --json`,
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			ids, _ := completeRuns(&o.runs)(c, args, prefix)
			return append(ids, shortNames()...), cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runEncode(cmd, s, o, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "npz", "", "new file to write")
	f.StringVarP(&o.file, "file", "f", "", "file with one sentence per line; -: standard input")
	f.StringVar(&o.pooling, "pooling", o.pooling, "pooling of the last hidden states: mean or cls")
	f.BoolVar(&o.normalize, "normalize", false, "divide each embedding by its length")
	o.add(cmd)
	completeWords(cmd, "pooling", config.Poolings)
	return cmd
}

func runEncode(cmd *cobra.Command, s *Streams, o encodeOptions, from string, texts []string) error {
	if o.to == "" {
		return usageError(errors.New("name the file to write: --npz FILE"))
	}
	if !slices.Contains(config.Poolings, o.pooling) {
		return usageError(fmt.Errorf("--pooling %s: want one of %s", o.pooling, strings.Join(config.Poolings, ", ")))
	}
	if _, err := os.Lstat(o.to); err == nil {
		return usageError(fmt.Errorf("%s is there already; name a new file with --npz", o.to))
	}
	if err := o.setThreads(); err != nil {
		return err
	}
	sentences, kind, err := o.sentences(s, texts)
	if err != nil {
		return err
	}
	e, err := labs.FindTextEncoder(o.runs, from)
	if err != nil {
		return err
	}
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	progress := newProgress(s)
	progress.items = "sentences"
	r, err := e.Encode(ctx, sentences, o.pooling, o.normalize, labOptions(s, o.runs, progress))
	progress.Close()
	if n := code(); n != 0 {
		return &ExitError{Code: n}
	}
	if err != nil {
		return err
	}
	if cut := r.Cut(); len(cut) > 0 {
		fmt.Fprintf(s.Err, "%s: longer than the limit of %s; the rest was left out\n", numbered(kind, cut), e.Name)
	}
	arrays := r.Arrays()
	if _, _, err := atomicfile.Write(o.to, func(w io.Writer) error { return npz.Write(w, arrays) }); err != nil {
		return err
	}
	var labels []string
	if e.Classifier != nil {
		labels = e.Classifier.Labels
	}
	if o.json {
		shapes := map[string][]int{}
		for _, a := range arrays {
			shapes[a.Name] = a.Shape
		}
		return writeJSON(s.Out, struct {
			Model  string           `json:"model"`
			Source string           `json:"source"`
			File   string           `json:"file"`
			Labels []string         `json:"labels,omitempty"` // of the logits, in order
			Arrays map[string][]int `json:"arrays"`           // shapes
		}{e.Name, e.Source, o.to, labels, shapes})
	}
	var what []string
	for _, a := range arrays {
		what = append(what, fmt.Sprintf("%s %v", a.Name, a.Shape))
	}
	fmt.Fprintf(s.Out, "%s: %s\n", o.to, strings.Join(what, ", "))
	if labels != nil {
		fmt.Fprintf(s.Out, "labels of the logits: %s\n", oneLineOf(strings.Join(labels, ", ")))
	}
	return nil
}
