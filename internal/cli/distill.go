package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/model"
	"dla/internal/report"
)

// distillOptions are the flags of `dla lab1 distill`.
type distillOptions struct {
	trainingFlags
	teacher, student string
	temperature      float64
	weight           float64
	softLabels       string
	copies           int
}

func newDistillCmd(s *Streams) *cobra.Command {
	def := config.DefaultDistill("student", "teacher", config.Cached)
	var o distillOptions
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
		RunE: func(cmd *cobra.Command, _ []string) error { return runDistill(cmd, s, o) },
	}
	f := cmd.Flags()
	o.add(cmd, "lab1", def.Plain())
	f.StringVar(&o.teacher, "teacher", def.Teacher.Model.Name, "network to train as the teacher, id of a finished run, or a checkpoint")
	f.StringVar(&o.student, "student", def.Model.Name, "network to train as the student")
	f.Float64Var(&o.temperature, "temperature", def.Distill.Temperature, "T: softens both distributions")
	f.Float64Var(&o.weight, "weight", def.Distill.Weight, "w: of the teacher's part of the loss, 0 to 1; the labels' is the rest")
	f.StringVar(&o.softLabels, "soft-labels", def.Distill.SoftLabels, "cached, augmented or live")
	f.IntVar(&o.copies, "copies", config.DefaultDistill("student", "teacher", config.Augmented).Data.Augment.Copies, "changed copies of each image, for --soft-labels augmented")
	completeWords(cmd, "student", model.Names)
	completeWords(cmd, "teacher", model.Names)
	completeWords(cmd, "soft-labels", config.SoftLabelKinds)
	return cmd
}

// settings resolves the settings of every seed. The networks and the kind of soft labels decide the
// defaults, so they are looked for first.
func (o distillOptions) settings(cmd *cobra.Command) ([]config.Distill, error) {
	set := cmd.Flags().Changed
	layers := func(c *config.Distill) error {
		if o.config != "" {
			if err := config.LoadFile(c, o.config); err != nil {
				return err
			}
		}
		if set("data") {
			c.Data.Name = o.data
		}
		if set("student") {
			c.Model.Name = o.student
		}
		if set("soft-labels") {
			c.Distill.SoftLabels = o.softLabels
		}
		if set("teacher") {
			c.Teacher.From = o.teacher
			if slices.Contains(model.Names, o.teacher) {
				c.Teacher.From, c.Teacher.Model.Name = "", o.teacher
			}
		}
		return nil
	}
	probe := config.DefaultDistill("student", "teacher", config.Cached)
	if err := errors.Join(layers(&probe), o.assign(&probe)); err != nil {
		return nil, err
	}
	c := config.DefaultDistill(probe.Model.Name, probe.Teacher.Model.Name, probe.Distill.SoftLabels)
	if err := layers(&c); err != nil {
		return nil, err
	}
	if set("temperature") {
		c.Distill.Temperature = o.temperature
	}
	if set("weight") {
		c.Distill.Weight = o.weight
	}
	if set("copies") {
		c.Data.Augment.Copies = o.copies
	}
	if set("seed") {
		c.Seed = o.seed
	}
	if set("epochs") {
		c.Train.Epochs = o.epochs
	}
	o.devRun(cmd, small{"", "data.limit", &c.Data.Limit, 512}, small{"epochs", "train.epochs", &c.Train.Epochs, 2},
		small{"", "teacher.train.epochs", &c.Teacher.Train.Epochs, 2})
	if err := o.check(); err != nil {
		return nil, err
	}
	return eachSeed(o.trainingFlags, c, func(c *config.Distill) *uint64 { return &c.Seed }, checkDistill)
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

func runDistill(cmd *cobra.Command, s *Streams, o distillOptions) (err error) {
	cfgs, err := o.settings(cmd)
	if err != nil {
		return usageError(err)
	}
	o.setThreads()
	if o.dryRun {
		return dryRunDistill(s, cfgs, o.json)
	}
	x, err := o.begin(cmd, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	fmt.Fprintln(s.Err, distillLine(cfgs))
	d, err := labs.Distill(x.ctx, cfgs, x.opt, func(t labs.Trained) {
		x.progress.Flush()
		fmt.Fprintln(s.Err, reached(t))
	})
	x.progress.Close()
	if err != nil {
		return err
	}
	if d.Stopped != nil {
		return stopped(s, *d.Stopped, x.code(), o.out, true)
	}
	return closingDistill(s, d, o.out)
}

// distillLine shows the resolved settings.
func distillLine(cfgs []config.Distill) string {
	c := cfgs[0]
	teacher := c.Teacher.From
	if teacher == "" {
		teacher = variantName(c.TeacherTraining())
	}
	return fmt.Sprintf("lab1 distill: %s teaches %s on %s, T %g, weight %g, soft labels %s; %s", teacher, variantName(c.Plain()), c.Data.Name,
		c.Distill.Temperature, c.Distill.Weight, c.Distill.SoftLabels, recipe(c.Plain(), len(cfgs)))
}

// closingDistill prints the self-checks and the tables and draws the figures.
func closingDistill(s *Streams, d labs.Distilled, root string) error {
	if len(d.Checks) > 0 {
		fmt.Fprintln(s.Out)
		printChecks(s.Out, d.Checks)
	}
	var all []labs.Trained
	if d.Trained != nil {
		all = append(all, *d.Trained)
	}
	for _, p := range d.Pairs {
		all = append(all, p.Plain, p.Distilled)
	}
	recs, err := recordsOf(all, root)
	if err != nil {
		return err
	}
	table, err := report.Distillation(recs)
	if err != nil {
		return err
	}
	if d.Trained == nil {
		t := d.Teacher
		fmt.Fprintf(s.Out, "\nteacher: %s of %s, %d parameters, test accuracy %.2f %%\n", t.Name, t.Source, t.Params.Count(), 100*t.Result.Test.Accuracy)
	}
	fmt.Fprintf(s.Out, "\n%s\n", table)
	for _, f := range d.Labels {
		fmt.Fprintf(s.Out, "soft labels in %s\n", f)
	}
	return drawStudy(s, all, recs, root, "lab1-distill")
}

// dryRunDistill prints the settings of every run and what the training will cost, reading no data. What
// the teacher's logits cost is not in it.
func dryRunDistill(s *Streams, cfgs []config.Distill, asJSON bool) error {
	var plans []plan
	for i, c := range cfgs {
		name, err := labs.DistillVariant(c)
		if err != nil {
			return err
		}
		plans = append(plans, planned(name, c.Seed, c, c.Plain()), planned(variantName(c.Plain()), c.Seed, c.Plain(), c.Plain()))
		if t := c.TeacherTraining(); i == 0 && c.Teacher.From == "" {
			plans = append(plans, planned(variantName(t), t.Seed, t, t))
		}
	}
	return dryRun(s, distillLine(cfgs), plans, asJSON)
}
