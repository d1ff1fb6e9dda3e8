package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/report"
)

// autoencoderOptions are the flags of `dla lab4 autoencoder`.
type autoencoderOptions struct {
	trainingFlags
	encoder string
}

func newAutoencoderCmd(s *Streams) *cobra.Command {
	def := config.DefaultAutoencoder("")
	var o autoencoderOptions
	cmd := &cobra.Command{
		Use:   "autoencoder",
		Short: "Train a decoder that reconstructs images from a classifier's frozen features",
		Long: `Train an autoencoder: a trained classifier's feature extractor, frozen and in evaluation mode, and a
decoder of three convolutional layers with upsampling to the image's size. The loss is the mean squared
error of pixel values from 0 to 1.

--encoder takes any convolutional network: a checkpoint's folder, its name under checkpoints/, or the id
of a finished run. The decoder is trained on the data set that the encoder was.

The validation part selects the epoch, by its loss; the test set is touched once, with that epoch's
weights. The encoder's weights and running statistics are compared bit by bit after the training. The
record has reconstructions of some test images before and after it.`,
		Example: `  dla lab4 autoencoder
  dla lab4 autoencoder --encoder 20261124-0930 --epochs 20
  dla lab4 autoencoder --encoder checkpoints/resnet20 --set train.lr=0.002
  dla lab4 autoencoder --config configs/lab4/autoencoder.yaml --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAutoencoder(cmd, s, o) },
	}
	o.add(cmd, "lab4", def.Training())
	f := cmd.Flags()
	f.StringVar(&o.encoder, "encoder", def.Encoder.From, "classifier whose features are decoded: a checkpoint, or the id of a finished run")
	f.Lookup("seed").Usage = "seed of the split, the decoder's initial weights and the order of batches"
	f.Lookup("data").Usage = "data set: that of the encoder's training, which is the default"
	f.Lookup("data").DefValue = ""
	return cmd
}

// settings resolves the settings of every seed, and loads the encoder, whose data set is the default.
func (o autoencoderOptions) settings(cmd *cobra.Command) (*labs.Network, []config.Autoencoder, error) {
	set := cmd.Flags().Changed
	layers := func(c *config.Autoencoder) error {
		if o.config != "" {
			if err := config.LoadFile(c, o.config); err != nil {
				return err
			}
		}
		if set("data") {
			c.Data.Name = o.data
		}
		if set("encoder") {
			c.Encoder.From = o.encoder
		}
		if set("seed") {
			c.Seed = o.seed
		}
		if set("epochs") {
			c.Train.Epochs = o.epochs
		}
		o.devRun(cmd, small{"", "data.limit", &c.Data.Limit, 512}, small{"epochs", "train.epochs", &c.Train.Epochs, 2})
		return nil
	}
	probe := config.DefaultAutoencoder("")
	if err := errors.Join(layers(&probe), o.assign(&probe), o.check()); err != nil {
		return nil, nil, usageError(err)
	}
	encoder, err := labs.FindEncoder(o.out, probe)
	if err != nil {
		return nil, nil, err
	}
	c := config.DefaultAutoencoder(encoder.Data.Name)
	if err := layers(&c); err != nil {
		return nil, nil, usageError(err)
	}
	all, err := eachSeed(o.trainingFlags, c, func(c *config.Autoencoder) *uint64 { return &c.Seed }, config.Autoencoder.Validate)
	if err != nil {
		return nil, nil, usageError(err)
	}
	return encoder, all, nil
}

func runAutoencoder(cmd *cobra.Command, s *Streams, o autoencoderOptions) (err error) {
	encoder, cfgs, err := o.settings(cmd)
	if err != nil {
		return err
	}
	o.setThreads()
	if o.dryRun {
		var plans []plan
		for _, c := range cfgs {
			plans = append(plans, plan{Variant: labs.AutoencoderVariant(encoder), Seed: c.Seed, Config: labs.AutoencoderSettings(c, encoder), cost: func() (labs.Cost, error) { return labs.AutoencoderCost(encoder, c) }})
		}
		return dryRun(s, autoencoderLine(encoder, cfgs), plans, o.json)
	}
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	fmt.Fprintln(s.Err, autoencoderLine(encoder, cfgs))
	all, err := labs.AutoencoderStudy(x.ctx, encoder, cfgs, x.opt, func(t labs.Trained) {
		x.progress.Flush()
		if len(cfgs) > 1 {
			fmt.Fprintln(s.Err, reached(t))
		}
	})
	x.progress.Close()
	if err != nil {
		return err
	}
	return x.conclude(s, all, len(cfgs), o.out, report.Table, "lab4-autoencoder")
}

// autoencoderLine shows the resolved settings.
func autoencoderLine(encoder *labs.Network, cfgs []config.Autoencoder) string {
	c := cfgs[0]
	return fmt.Sprintf("lab4 autoencoder: a decoder of the features of %s (%s) on %s; %s", encoder.Name, encoder.Source, c.Data.Name, recipe(c.Training(), len(cfgs)))
}

// closingAutoencoder says what a finished autoencoder reached.
func closingAutoencoder(s *Streams, t labs.Trained) {
	r, w := t.Autoencoder, s.Out
	fmt.Fprintf(w, "  test MSE        %s, n = %d\n", squaredError(r.Test.MSE, r.Test.CI95[:]), r.Test.N)
	fmt.Fprintf(w, "  validation      %.6f at epoch %d of %d, which selected the weights; %.6f at the last\n", r.Val.Loss, r.BestEpoch, r.Epochs, r.LastVal.Loss)
	before, after := 0.0, 0.0
	for _, e := range r.Examples.Images {
		before, after = before+e.MSEBefore/float64(len(r.Examples.Images)), after+e.MSE/float64(len(r.Examples.Images))
	}
	fmt.Fprintf(w, "  reconstructions %d test images: MSE %.6f before training, %.6f after\n", len(r.Examples.Images), before, after)
	fmt.Fprintf(w, "  encoder         %s of %s, %d parameters, unchanged bit by bit (sha256 %.12s…)\n", r.Encoder.Network, r.Encoder.Source, r.Encoder.Params, r.Encoder.WeightsSHA256)
	fmt.Fprintf(w, "  network         %s, %d parameters trained\n", t.Variant, r.Params)
}
