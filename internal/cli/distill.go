package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/model"
)

func newDistillCmd(s *Streams) *cobra.Command {
	def := config.DefaultDistill("student", "teacher", config.Cached)
	def.Data.Augment.Copies = config.DefaultDistill("student", "teacher", config.Augmented).Data.Augment.Copies // for --help
	var o trainingFlags
	cmd := &cobra.Command{
		Use:   "distill",
		Short: "Train a small network from a large one's logits, and without them",
		Long: `Train a teacher, or load one, and two students from each seed by one recipe: one from labels and the
teacher's logits, one from labels alone. The loss of the former is
(1-w)·cross-entropy + w·T²·KL(teacher ‖ student), both softened by the temperature T (Hinton et al. 2015).

--teacher takes a network (` + "`dla models ls`" + `), which is trained by lab1 resnet's recipe, the id of a
finished run, or a checkpoint: its folder, or its name under checkpoints/.

--soft-labels cached: logits of the training images as they are, computed once; the students then train
without augmentation. augmented: of --copies changed copies of each, which the students see in turn.
live: of each batch as it comes, by running the teacher. Cached and augmented logits are kept in
OUT/soft-labels, so that another temperature or weight costs the teacher nothing; --max-time does not
cut their computation short.

The teacher and the plain student are ordinary runs of lab1 resnet, and where they are found finished
under --out they are not trained again; with --resume neither is the distilled student.`,
		Example: `  dla lab1 distill
  dla lab1 distill --seeds 3 --soft-labels augmented --resume
  dla lab1 distill --teacher resnet56 --student resnet20 --temperature 2 --weight 0.5
  dla lab1 distill --teacher 20261124-0930 --soft-labels live
  dla lab1 distill --teacher checkpoints/teacher --epochs 30
  dla lab1 distill --config configs/lab1/distill.yaml --set teacher.train.epochs=30 --dry-run`,
		Args: noArgs,
	}
	b := newSettingFlags(cmd, &def)
	o.add(cmd, "lab1", b)
	b.add("teacher", "teacher.model.name", "network to train as the teacher, id of a finished run, or a checkpoint")
	b.bind("student", "model.name", "network to train as the student")
	b.bind("temperature", "distill.temperature", "T: softens both distributions")
	b.bind("weight", "distill.weight", "w: of the teacher's part of the loss, 0 to 1; the labels' is the rest")
	b.bind("soft-labels", "distill.soft_labels", "cached, augmented or live")
	b.bind("copies", "data.augment.copies", "augmented copies of each image, for --soft-labels augmented")
	completeWords(cmd, "student", model.Names)
	completeWords(cmd, "teacher", model.Names)
	completeWords(cmd, "soft-labels", config.SoftLabelKinds)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfgs, err := distillSettings(o, b)
		if err != nil {
			return usageError(err)
		}
		return o.run(cmd, s, study{line: distillLine(cfgs), small: o.smallLine(b, smallDistillation), tasks: labs.DistillTasks(cfgs)})
	}
	return cmd
}

// smallDistillation is what --fast-dev-run makes of a distillation.
var smallDistillation = append(slices.Clip(smallTraining), small{"teacher.train.epochs", 2})

// distillSettings resolves the settings of every seed. The networks and the kind of soft labels decide the defaults.
func distillSettings(o trainingFlags, b *settingFlags) ([]config.Distill, error) {
	return resolve(o.experimentFlags, b, o.seeds, layers[config.Distill]{
		plain: func() config.Distill { return config.DefaultDistill("student", "teacher", config.Cached) },
		decided: func(c config.Distill) (config.Distill, error) {
			return config.DefaultDistill(c.Model.Name, c.Teacher.Model.Name, c.Distill.SoftLabels), nil
		},
		special: func(c *config.Distill) error {
			if !b.flags.Changed("teacher") {
				return nil
			}
			teacher, err := b.flags.GetString("teacher")
			c.Teacher.From = teacher
			if slices.Contains(model.Names, teacher) {
				c.Teacher.From, c.Teacher.Model.Name = "", teacher
			}
			return err
		},
		small: smallDistillation,
		check: checkDistill,
	})
}

// checkDistill checks the settings and that there are such networks.
func checkDistill(c config.Distill) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if _, err := labs.DistillVariant(c); err != nil || c.Teacher.From != "" {
		return err
	}
	_, err := labs.ResnetVariant(c.TeacherTraining())
	return err
}

// distillLine shows the resolved settings.
func distillLine(cfgs []config.Distill) string {
	c := cfgs[0]
	teacher := c.Teacher.From
	if teacher == "" {
		teacher = variantName(c.TeacherTraining())
	}
	return fmt.Sprintf("lab1 distill: %s teaches %s on %s, T %g, weight %g, soft labels %s; %s", teacher, variantName(c.Plain()), c.Data.Name,
		c.Distill.Temperature, c.Distill.Weight, c.Distill.SoftLabels, recipe(c.Training(), len(cfgs)))
}
