package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
)

func newAutoencoderCmd(s *Streams) *cobra.Command {
	def := config.DefaultAutoencoder("")
	var o trainingFlags
	cmd := &cobra.Command{
		Use:   "autoencoder",
		Short: "Train a decoder that reconstructs images from a classifier's frozen features",
		Long: `Train an autoencoder: a trained classifier's feature extractor, frozen and in evaluation mode, and a
decoder of three convolutional layers with upsampling to the image's size. The loss is the mean squared
error of pixel values from 0 to 1.

--encoder takes any convolutional network: a checkpoint's folder, its name under checkpoints/, or the id
of a finished run. The decoder is trained on the encoder's data set.

The validation loss selects the epoch; its weights are evaluated once on the test set. A self-check
compares the encoder's weights and running statistics before and after training, bit for bit. The record
holds reconstructions of some test images before and after training.`,
		Example: `  dla lab4 autoencoder
  dla lab4 autoencoder --encoder 20261124-0930 --epochs 20
  dla lab4 autoencoder --encoder checkpoints/resnet20 --set train.lr=0.002
  dla lab4 autoencoder --config configs/lab4/autoencoder.yaml --dry-run`,
		Args: noArgs,
	}
	b := newSettingFlags(cmd, &def)
	o.add(cmd, "lab4", b)
	b.bind("encoder", "encoder.from", "classifier to decode the features of: a checkpoint, or a run's id")
	f := cmd.Flags()
	f.Lookup("seed").Usage = "seed of the split, the decoder's initial weights and the order of batches"
	f.Lookup("data").Usage = "data set; default: the encoder's, and no other is accepted, of your own images where they are now"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		encoder, cfgs, err := autoencoderSettings(o, b)
		if err != nil {
			return err
		}
		return o.run(cmd, s, study{line: autoencoderLine(encoder, cfgs), small: o.smallLine(b, smallTraining),
			tasks: tasksOf(cfgs)})
	}
	return cmd
}

// autoencoderSettings resolves the settings of every seed and loads the encoder. Its data set is the default.
func autoencoderSettings(o trainingFlags, b *settingFlags) (encoder *labs.Network, all []config.Autoencoder,
	err error) {
	var notFound error // not a usage error
	all, err = resolve(o.experimentFlags, b, o.seeds, layers[config.Autoencoder]{
		plain: func() config.Autoencoder { return config.DefaultAutoencoder("") },
		decided: func(c config.Autoencoder) (config.Autoencoder, error) {
			if encoder == nil {
				if encoder, notFound = labs.FindEncoder(o.out, c); notFound != nil {
					return c, notFound
				}
			}
			def := config.DefaultAutoencoder(encoder.Data.Name)
			if encoder.Data.Own != nil {
				if def.Data = encoder.TrainingData(); def.Data.Val == 0 {
					def.Data.Val = config.Tenth
				}
			}
			return def, nil
		},
		small: smallTraining,
		check: config.Autoencoder.Validate,
	})
	if err != nil && notFound == nil {
		err = usageError(err)
	}
	return encoder, all, err
}

// autoencoderLine summarises the resolved settings.
func autoencoderLine(encoder *labs.Network, cfgs []config.Autoencoder) string {
	c := cfgs[0]
	return fmt.Sprintf("lab4 autoencoder: decoder of the features of %s (%s) on %s; %s", encoder.Name, encoder.Source,
		c.Data.Name, recipe(c.Training(), len(cfgs), "images"))
}
