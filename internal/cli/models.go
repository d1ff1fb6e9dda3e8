package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/bench"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/hub"
	"dla/internal/labs"
	"dla/internal/model"
	"dla/internal/record"
	"dla/internal/table"
)

func newModelsCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List, describe, fetch, import and export networks, checkpoints and encoders",
		Long: `The networks of lab 1 are trained from scratch, or imported from other programs; the encoders of lab 3 are
Hugging Face folders (config.json, tokenizer.json, model.safetensors or pytorch_model.bin). An encoder's name is
searched as a folder, then in $DLA_MODELS, among the imported encoders and in the cache of Hugging Face's tools.

Records and adapters identify their encoder by a SHA-256 of its settings and the values of its weights, which
copies saved by other programs share. DLA_ANY_ENCODER=1 allows another encoder.`,
		Example: `  dla models ls
  dla models show resnet20 --res
  dla models export 20261124-0930 checkpoints/my-teacher
  dla models pull minilm`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newModelsLsCmd(s), newModelsShowCmd(s), newModelsExportCmd(s), newModelsPullCmd(s),
		newModelsImportCmd(s))
	return cmd
}

// lookupModel returns the network called name as lab1 trains it. An empty set, and depth or width below 0, mean the
// defaults.
func lookupModel(name string, res bool, depth, width int, set string) (model.Model, string, data.Description, error) {
	c := config.DefaultFor(name)
	spec := model.Spec{Name: name, Depth: c.Model.Depth, Width: c.Model.Width, Res: res}
	if depth >= 0 {
		spec.Depth = depth
	}
	if width >= 0 {
		spec.Width = width
	}
	set = cmp.Or(set, c.Data.Name)
	d, err := data.Describe(set)
	if err != nil {
		return nil, set, d, usageError(err)
	}
	m, err := model.New(spec, model.PixelsFor(name, d.C))
	if err != nil {
		if near, ok := similar(name, model.Names); ok && !slices.Contains(model.Names, name) {
			err = fmt.Errorf("%w; did you mean %s?", err, near)
		}
		return nil, set, d, usageError(err)
	}
	return m, set, d, nil
}

// listedModel is a line of `dla models ls`.
type listedModel struct {
	Name   string `json:"name"`
	Params int    `json:"params"`
	MACs   int    `json:"macs"` // one image, forward
	Input  []int  `json:"input"`
	About  string `json:"about"`
	Broken string `json:"broken,omitempty"` // why it cannot be described
}

// listNetworks describes the networks of the zoo, with skip connections if they support them. Broken says why a network
// cannot be described.
func listNetworks(zoo []model.Network) []listedModel {
	var all []listedModel
	for _, entry := range zoo {
		l := listedModel{Name: entry.Name, About: entry.About}
		m, _, set, err := lookupModel(entry.Name, entry.Skips, -1, -1, "")
		if err == nil {
			var n bench.Network
			n, err = bench.Describe(m, set)
			l.Params, l.MACs, l.Input = n.Params, n.MACs, []int{set.H, set.W, set.C}
		}
		if err != nil {
			l.Broken = err.Error()
		}
		all = append(all, l)
	}
	return all
}

func newModelsLsCmd(s *Streams) *cobra.Command {
	var o tableFlags
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List networks with their parameters and multiply-adds, shipped checkpoints, and encoders",
		Long: `List the networks by the names that --model of other commands takes. Parameters are the trained weights;
MACs are the multiply-adds of one image's forward pass. Skip connections (--res) change neither.

Below them are the trained networks under checkpoints/ and the imported ones, by the names that --teacher
takes, and the encoders on this machine, by the names that --encoder takes.`,
		Example: "  dla models ls\n  dla models ls --json\n  dla models ls --format csv",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			all := listNetworks(model.Zoo)
			var trained []labs.Checkpoint
			for _, dir := range labs.CheckpointDirs() {
				some, err := labs.Checkpoints(dir)
				if err != nil {
					return err
				}
				trained = append(trained, some...)
			}
			encoders, err := hub.List()
			if err != nil {
				return err
			}
			if o.asJSON() {
				return writeJSON(s.Out, struct {
					Networks    []listedModel     `json:"networks"`
					Checkpoints []labs.Checkpoint `json:"checkpoints"`
					Encoders    []hub.Encoder     `json:"encoders"`
				}{all, append([]labs.Checkpoint{}, trained...), encoders})
			}
			return o.write(s.Out, modelTables(all, trained, encoders))
		},
	}
	o.add(cmd)
	return cmd
}

// modelTables returns the tables of networks, checkpoints, if there are any, and encoders.
func modelTables(all []listedModel, trained []labs.Checkpoint, encoders []hub.Encoder) table.Tables {
	networks := table.New("", "NAME", "PARAMETERS", "MACS/IMAGE", "INPUT", "WHAT")
	for _, m := range all {
		if m.Broken != "" {
			networks.Row(m.Name, "-", "-", "-", "broken: "+m.Broken)
			continue
		}
		networks.Row(m.Name, shownAs(thousands(m.Params), float64(m.Params)),
			shownAs(inMillions(m.MACs), float64(m.MACs)), shape(m.Input), m.About)
	}
	ts := table.Of(networks)
	checkpoints := table.New("", "CHECKPOINT", "PARAMETERS", "TEST", "DATA", "NETWORK")
	for _, c := range trained {
		if c.Broken != "" {
			checkpoints.Row(c.Name, "-", "-", "-", "broken: "+c.Broken)
			continue
		}
		reached := inPercent(c.TestAccuracy)
		if c.TestMSE != nil {
			reached = table.Number("MSE %.4f", *c.TestMSE)
		}
		checkpoints.Row(c.Name, shownAs(thousands(c.Params), float64(c.Params)), reached, c.Data, c.Network)
	}
	if len(trained) > 0 {
		ts.Add(checkpoints)
	}
	ts.Add(encoderTable(encoders))
	return ts
}

// plannedBatch is the batch size for the memory in `dla models show`: that of every preset.
const plannedBatch = 128

func newModelsShowCmd(s *Streams) *cobra.Command {
	var o struct {
		res          bool
		width, depth int
		data         string
		tableFlags
	}
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one network or checkpoint layer by layer, with its parameters, multiply-adds and memory",
		Long: `Show the layers of one network, of the zoo or of a checkpoint, as the evaluation graph runs them, and
the totals. The name of a layer is the prefix of its parameters' names; layers without parameters have no name.

Memory is what the engine plans for all intermediates and, in training, the gradients; weights and optimiser
state come on top. MACs are the multiply-adds of one image by direct convolution: Winograd's algorithm needs
a quarter of them for most 3x3 convolutions.`,
		Example: `  dla models show resnet20 --res
  dla models show resnet20 --res --width 32
  dla models show mlp --depth 10
  dla models show checkpoints/resnet20
  dla models show small --data mnist --json`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion,
			cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []cobra.Completion
			for _, n := range model.Zoo {
				names = append(names, cobra.CompletionWithDesc(n.Name, n.About))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			depth, width := -1, -1
			for flag, v := range map[string]struct{ given, to *int }{"depth": {&o.depth, &depth},
				"width": {&o.width, &width}} {
				if !cmd.Flags().Changed(flag) {
					continue
				}
				if *v.given < 0 {
					return usageError(fmt.Errorf("--%s %d: want 0 or more", flag, *v.given))
				}
				*v.to = *v.given
			}
			m, name, set, err := lookupModel(args[0], o.res, depth, width, o.data)
			var trained *labs.Network
			if err != nil && !slices.Contains(model.Names, args[0]) && labs.IsCheckpoint(args[0]) {
				for _, flag := range []string{"res", "depth", "width", "data"} {
					if cmd.Flags().Changed(flag) {
						return usageError(fmt.Errorf("--%s is for a network of the zoo; %s is a checkpoint", flag, args[0]))
					}
				}
				if trained, err = labs.LoadCheckpointNamed(args[0]); err == nil {
					m, name, set = trained.Model, trained.Data.Name, trained.Images
				}
			}
			if err != nil {
				return err
			}
			n, err := bench.Describe(m, set)
			if err != nil {
				return err
			}
			training, evaluation, err := bench.PlannedBytes(m, set, plannedBatch)
			if err != nil {
				return err
			}
			conventions := model.ConventionsOf(m)
			if o.asJSON() {
				v := struct {
					Data string `json:"data"`
					bench.Network
					Batch       int               `json:"batch"`
					TrainBytes  int64             `json:"train_bytes"`
					EvalBytes   int64             `json:"eval_bytes"`
					Conventions model.Conventions `json:"conventions"`
					Imported    *record.Imported  `json:"imported,omitempty"`
				}{name, n, plannedBatch, training, evaluation, conventions, nil}
				if trained != nil {
					v.Imported = trained.Result.Imported
				}
				return writeJSON(s.Out, v)
			}
			layers := table.New("", "LAYER", "WHAT", "OUTPUT", "PARAMETERS", "MACS")
			for _, l := range n.Layers {
				layers.Row(dash(l.Name), l.Op, shape(l.Output), shownAs(dashed(l.Params), float64(l.Params)),
					shownAs(dashed(l.MACs), float64(l.MACs)))
			}
			if err := o.write(s.Out, table.Of(layers)); err != nil || !o.asText() {
				return err
			}
			fmt.Fprintf(s.Out, "\n%s on %s (%s)\n", n.Name, name, shape([]int{set.H, set.W, set.C}))
			fmt.Fprintf(s.Out, "  parameters   %s\n", thousands(n.Params))
			fmt.Fprintf(s.Out, "  MACs         %s per image, forward\n", thousands(n.MACs))
			fmt.Fprintf(s.Out, "  memory       %.1f MB planned for a training step of %d images, %.1f MB for their "+
				"evaluation\n", float64(training)/1e6, plannedBatch, float64(evaluation)/1e6)
			fmt.Fprintf(s.Out, "  layout       %s\n", conventions.Layout)
			if conventions.Mean != nil {
				fmt.Fprintf(s.Out, "  pixels       in [0,1], then normalized by mean %.5g and deviation %.5g\n", conventions.Mean,
					conventions.Std)
			} else {
				fmt.Fprintf(s.Out, "  pixels       in [0,1]\n")
			}
			if conventions.Epsilon > 0 {
				fmt.Fprintf(s.Out, "  epsilon      %g, of batch normalisation\n", conventions.Epsilon)
			}
			if conventions.Shortcut != "" {
				fmt.Fprintf(s.Out, "  shortcuts    %s\n", conventions.Shortcut)
			}
			if trained != nil && trained.Result.Imported != nil {
				fmt.Fprintf(s.Out, "imported from %s (SHA-256 %.12s…)\n", trained.Result.Imported.File,
					trained.Result.Imported.SHA256)
				writeImported(s, trained.Result)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.res, "res", false, "with skip connections")
	f.IntVar(&o.depth, "depth", config.DefaultFor("mlp").Model.Depth, "blocks of mlp")
	f.IntVar(&o.width, "width", config.DefaultFor("mlp").Model.Width,
		"width of the layers of mlp, or of the first stage of a ResNet (16 in the paper)")
	f.StringVar(&o.data, "data", "", "data set of the input images: mnist, cifar10; default: mnist for mlp, else "+
		"cifar10")
	o.add(cmd)
	completeWords(cmd, "data", []string{"mnist", "cifar10"})
	return cmd
}

func newModelsExportCmd(s *Streams) *cobra.Command {
	var root, to string
	cmd := &cobra.Command{
		Use:   "export RUN_ID FOLDER",
		Short: "Export the best weights of a run as a checkpoint, for PyTorch, ONNX or transformers",
		Long: `Write the weights and running statistics of the epoch that validation selected.

--to dla (the default) writes FOLDER/model.safetensors, with config.yaml, env.json and result.json of the run
beside it; for an adapter (lab3 finetune) adapter_config.json and adapter_model.safetensors instead. Other
commands find a checkpoint under checkpoints/ by its name. An existing checkpoint is replaced atomically; a
folder with anything else, such as a Hugging Face model or an adapter saved by PEFT, is refused.

--to pytorch writes a classifier of images as a state dict (model.pt, read by torch.load with weights_only=True)
and the Python module that loads it (model.py). --to onnx writes graph and weights in one file (model.onnx,
opset 17, any batch size): images [n, C, H, W] with pixels from 0 to 1 give logits, or reconstructions of an
autoencoder; the tokens of sentences give logits (lab3 finetune, adapters merged) or the vectors of an encoder,
named instead of a run. --to huggingface writes a classifier of sentences as a folder of transformers, adapters
merged into the weights, like lab3 finetune --merge.

These three take a checkpoint, by its folder or its name under checkpoints/, as well as a run, and FOLDER must
be new or empty. README.md in it is the model card: what the model reaches on which data, and the code that
loads it.`,
		Example: `  dla models export 20261124-0930 checkpoints/my-teacher
  dla lab1 distill --teacher my-teacher
  dla models export resnet20 exported/resnet20 --to pytorch
  dla models export resnet20 exported/resnet20-onnx --to onnx
  dla models export minilm exported/minilm-onnx --to onnx          # an encoder
  dla models export minilm-lora exported/minilm-rt --to huggingface`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeExport(&root),
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(labs.ExportFormats, to) {
				return usageError(fmt.Errorf("--to is %q, want one of %s", to, strings.Join(labs.ExportFormats, ", ")))
			}
			c, err := labs.ExportAs(root, args[0], args[1], to)
			if err != nil {
				return err
			}
			trained := ""
			if c.Data != "" {
				trained = ", trained on " + c.Data
			}
			reached := ""
			if c.TestAccuracy != nil {
				reached = fmt.Sprintf(", test accuracy %.2f %%", 100**c.TestAccuracy)
			}
			if c.TestMSE != nil {
				reached = fmt.Sprintf(", test squared error %.6f", *c.TestMSE)
			}
			fmt.Fprintf(s.Out, "%s, %s parameters%s%s: %s\n", c.Network, thousands(c.Params), trained, reached, c.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&root, "out", "runs", "directory of run records")
	cmd.Flags().StringVar(&to, "to", labs.FormatDLA, "format: "+strings.Join(labs.ExportFormats, ", "))
	completeWords(cmd, "to", labs.ExportFormats)
	return cmd
}

// completeExport completes a run's id, then a folder.
func completeExport(root *string) cobra.CompletionFunc {
	runs := completeRuns(root)
	return func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return runs(c, args, word)
		}
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
}

// shape formats the sizes of a tensor: 32x32x16.
func shape(dims []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(dims), "[]"), " ", "x")
}

// thousands formats n in groups of three digits: 272,474.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// dashed is thousands, with "-" for 0.
func dashed(n int) string {
	if n == 0 {
		return "-"
	}
	return thousands(n)
}

// inMillions formats n in millions: 40.6M.
func inMillions(n int) string { return fmt.Sprintf("%.1fM", float64(n)/1e6) }
