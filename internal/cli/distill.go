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
	// for --help
	def.Data.Augment.Copies = config.DefaultDistill("student", "teacher", config.Augmented).Data.Augment.Copies
	var o trainingFlags
	cmd := &cobra.Command{
		Use:   "distill",
		Short: "Train a small network with and without the logits of a large one",
		Long: `Train or load a teacher, and train two students per seed with one recipe: one on labels and the teacher's
logits, one on labels alone. The loss of the first is
(1-w)·cross-entropy + w·T²·KL(teacher ‖ student), both softened by the temperature T (Hinton et al. 2015).

--teacher takes a network (` + "`dla models ls`" + `), which is trained by lab1 resnet's recipe, the id of a
finished run, or a checkpoint: its folder, or its name under checkpoints/.

--soft-labels cached: logits of the unchanged training images, computed once; the students then train
without augmentation. augmented: logits of --copies augmented copies of each image, which the students see
in turn. live: logits of each batch, computed by the teacher during training. OUT/soft-labels keeps cached
and augmented logits, so that another temperature or weight does not run the teacher again; --max-time
does not interrupt their computation.

The teacher and the plain student are ordinary runs of lab1 resnet. Finished runs of them under --out are
not trained again, nor with --resume a finished distilled student.`,
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
	b.bind("weight", "distill.weight", "w: weight of the teacher's term of the loss, 0 to 1; the labels' term has "+
		"weight 1-w")
	b.bind("soft-labels", "distill.soft_labels", "cached, augmented or live")
	b.bind("copies", "data.augment.copies", "augmented copies of each image, for --soft-labels augmented")
	addViews(cmd, b)
	addOptimizer(cmd, b)
	completeWords(cmd, "student", model.Names)
	completeWords(cmd, "teacher", model.Names)
	completeWords(cmd, "soft-labels", config.SoftLabelKinds)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfgs, err := distillSettings(o, b)
		if err != nil {
			return usageError(err)
		}
		return o.run(cmd, s, study{line: distillLine(cfgs), small: o.smallLine(b, smallDistillation),
			tasks: labs.DistillTasks(cfgs)})
	}
	return cmd
}

// smallDistillation holds the settings of --fast-dev-run.
var smallDistillation = append(slices.Clip(smallTraining), small{"teacher.train.epochs", 2})

// distillSettings resolves the settings of every seed. The networks and the kind of soft labels determine the defaults.
func distillSettings(o trainingFlags, b *settingFlags) ([]config.Distill, error) {
	return resolve(o.experimentFlags, b, o.seeds, layers[config.Distill]{
		plain: func() config.Distill { return config.DefaultDistill("student", "teacher", config.Cached) },
		decided: func(c config.Distill) (config.Distill, error) {
			def := config.DefaultDistill(c.Model.Name, c.Teacher.Model.Name, c.Distill.SoftLabels)
			ownDefaults(&def.Data, c.Data)
			for _, m := range []*config.Model{&def.Model, &def.Teacher.Model} {
				if n, err := model.Find(m.Name); err == nil { // another name is refused with the rest of the settings
					m.Res = n.Skips
				}
			}
			return def, nil
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

// checkDistill checks the settings and the names of the networks.
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

// distillLine summarises the resolved settings.
func distillLine(cfgs []config.Distill) string {
	c := cfgs[0]
	teacher := c.Teacher.From
	if teacher == "" {
		teacher = variantName(c.TeacherTraining())
	}
	return fmt.Sprintf("lab1 distill: teacher %s, student %s on %s, T %g, weight %g, soft labels %s; %s", teacher,
		variantName(c.Plain()), c.Data.Name,
		c.Distill.Temperature, c.Distill.Weight, c.Distill.SoftLabels, recipe(c.Training(), len(cfgs), "images"))
}
