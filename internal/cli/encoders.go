package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"dla/internal/data"
	"dla/internal/download"
	"dla/internal/hub"
	"dla/internal/labs"
	"dla/internal/model"
	"dla/internal/table"
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
	var i labs.Import
	cmd := &cobra.Command{
		Use:   "import FILE|FOLDER",
		Short: "Import a network that PyTorch trained, or an encoder from a Hugging Face folder",
		Long: `FILE is a checkpoint of PyTorch (.pth, .pt, .th of any version, or .safetensors) with the weights of the
network --as of the zoo: one of ours in PyTorch's layout, or a ResNet or WideResNet for CIFAR by the names of usual
programs. The state dict may be bare or under state_dict, model_state_dict, model or net. Nothing in the file is
executed; a file that wants anything but weights is refused by name.

The file does not say how pixels are normalized, nor where a ResNet's shortcuts have their zeros. Both are found by
accuracy on images of the training set, never of the test set. The accuracy on the test set is then measured once,
and compared with the one that the file states. The checkpoint is found by the name --name (default: the file's),
or is written to that folder if --name is a path; every command that takes a checkpoint takes it.

FOLDER is an encoder: its files are copied to where commands find them by name, the folder's or that of --name:
config.json, tokenizer.json or vocab.txt, the files beside them, and the weights as model.safetensors or
pytorch_model.bin, or as several files with an index. Configuration, tokenizer, and names and shapes of the weights
are checked first.

To use an encoder's folder without a copy, give its path to --encoder, or set DLA_MODELS=DIR to find DIR/NAME by NAME.`,
		Example: `  dla models import resnet20-12fca82f.th --as resnet20 --name akamaster20
  dla lab4 fgsm --checkpoint akamaster20
  dla models import model.safetensors --as resnet18 --name checkpoints/mine
  dla models import ~/Downloads/all-MiniLM-L6-v2
  dla models import ~/Downloads/model --name distilbert`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if isFile(args[0]) {
				i.File, i.Name = args[0], name
				return importNetwork(cmd, s, i, asJSON)
			}
			if err := onlyForFiles(cmd, "as", "res", "data"); err != nil {
				return err
			}
			return putEncoders(cmd, s, args, asJSON, func(ctx context.Context, dir string,
				progress func(download.Progress)) (hub.Encoder, string, error) {
				e, err := hub.Import(ctx, dir, name, progress)
				return e, "copied", err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name to find it by, or the path of a network's folder; default the file's or folder's")
	f.StringVar(&i.As, "as", "", "network of the zoo whose weights FILE holds: resnet20, resnet18, wrn28-10, …")
	f.BoolVar(&i.Res, "res", true, "the network has skip connections")
	f.StringVar(&i.Data, "data", "cifar10", "data set that the network is for")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	completeWords(cmd, "name", shortNames())
	completeWords(cmd, "as", model.Names)
	completeWords(cmd, "data", data.Names())
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

// encoderTable lists encoders.
func encoderTable(all []hub.Encoder) *table.Table {
	t := table.New("", "ENCODER", "PARAMETERS", "SIZE", "TYPE", "SOURCE", "WHERE")
	for _, e := range all {
		size, where := table.Cell{Text: "-"}, e.Dir
		switch {
		case e.Source == "absent":
			where = "get it with `dla models pull " + e.Name + "`"
		case e.Broken != "":
			where = "broken: " + e.Broken
		default:
			size = shownAs(inMB(e.Bytes), float64(e.Bytes))
		}
		t.Row(e.Name, shownAs(dashed(e.Params), float64(e.Params)), size, dash(e.ModelType), e.Source, where)
	}
	return t
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
