package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dla/internal/download"
	"dla/internal/hub"
)

func newModelsPullCmd(s *Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pull NAME…",
		Short: "Fetch encoders from the Hugging Face hub, replacing damaged files",
		Long: `Fetch encoders from the Hugging Face hub into the cache of Hugging Face's own tools: neither they nor dla
fetch a file again that the other has fetched. A name is minilm, mpnet or distilbert, a full name
(all-MiniLM-L6-v2), or OWNER/NAME of any model of these architectures.

Every file is checked against the hub's hash. The weights come last: configuration, tokenizer and the header
of the weights are read first, and an unsupported model is refused before its weights are fetched. An
interrupted download continues where it stopped when the command is repeated.

Environment, as Hugging Face's tools take it:
  HF_HOME, HF_HUB_CACHE     where the cache is; default ~/.cache/huggingface/hub
  HF_ENDPOINT               another hub than https://huggingface.co; the token goes to its host only
  HF_TOKEN, HF_TOKEN_PATH   token for private and gated models, or the file it is in
  HF_HUB_OFFLINE            1: use no network`,
		Example: `  dla models pull minilm
  dla models pull distilbert-base-uncased all-mpnet-base-v2
  HF_ENDPOINT=https://hub.example.org dla models pull sentence-transformers/all-MiniLM-L12-v2`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeKnownModel,
		RunE: func(cmd *cobra.Command, names []string) error {
			h, err := hub.FromEnv()
			if err != nil {
				return usageError(err)
			}
			for _, n := range names {
				if _, err := hub.RepoOf(n); err != nil {
					return usageError(err)
				}
			}
			return putEncoders(cmd, s, names, asJSON, h.Pull)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newModelsImportCmd(s *Streams) *cobra.Command {
	var asJSON bool
	var name string
	cmd := &cobra.Command{
		Use:   "import FOLDER",
		Short: "Check and copy an encoder from a Hugging Face folder",
		Long: `Copy an encoder's files (config.json, tokenizer.json or vocab.txt, model.safetensors and the files beside
them) from a folder to where commands find them by name: the folder's, or that of --name. Configuration,
tokenizer, and names and shapes of the weights are checked first.

To use a folder without a copy, give its path to --encoder, or set DLA_MODELS=DIR to find DIR/NAME by NAME.`,
		Example: `  dla models import ~/Downloads/all-MiniLM-L6-v2
  dla models import ~/Downloads/model --name distilbert`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return putEncoders(cmd, s, args, asJSON, func(ctx context.Context, dir string,
				progress func(download.Progress)) (hub.Encoder, string, error) {
				e, err := hub.Import(ctx, dir, name, progress)
				return e, "copied", err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name to find it by; default the folder's")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	completeWords(cmd, "name", shortNames())
	return cmd
}

// putEncoders gets each of args by what put does, and says where it is and how it came there.
func putEncoders(cmd *cobra.Command, s *Streams, args []string, asJSON bool,
	put func(context.Context, string, func(download.Progress)) (hub.Encoder, string, error)) error {
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	var all []hub.Encoder
	for _, arg := range args {
		progress := newProgress(s)
		e, how, err := put(ctx, arg, progress.Download)
		progress.Close()
		if c := code(); c != 0 {
			return &ExitError{Code: c}
		}
		if err != nil {
			return err
		}
		if !asJSON {
			fmt.Fprintf(s.Out, "%s is in %s, %s\n", e.Name, e.Dir, how)
		}
		all = append(all, e)
	}
	if asJSON {
		return writeJSON(s.Out, all)
	}
	return nil
}

// writeEncoders lists encoders as a table.
func writeEncoders(out io.Writer, all []hub.Encoder) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ENCODER\tPARAMETERS\tSIZE\tTYPE\tSOURCE\tWHERE")
	for _, e := range all {
		size, where := "-", e.Dir
		switch {
		case e.Source == "absent":
			where = "get it with `dla models pull " + e.Name + "`"
		case e.Broken != "":
			where = "broken: " + e.Broken
		default:
			size = fmt.Sprintf("%.1f MB", float64(e.Bytes)/1e6)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, dashed(e.Params), size, dash(e.ModelType), e.Source, where)
	}
	return w.Flush()
}

func shortNames() []string {
	var names []string
	for _, k := range hub.Known {
		names = append(names, k.Short)
	}
	return names
}

func completeKnownModel(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	for _, k := range hub.Known {
		if !slices.Contains(args, k.Short) {
			names = append(names, cobra.CompletionWithDesc(k.Short, k.About))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
