package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/buildinfo"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/labs"
	"dla/internal/model"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/train"
)

func newLab1Cmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab1",
		Short: "Residual networks: what depth does with and without skip connections",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newResnetCmd(s))
	return cmd
}

// resnetOptions are the flags of `dla lab1 resnet`.
type resnetOptions struct {
	config   string
	sets     []string
	models   []string
	depths   []int
	width    int
	res      string
	seed     uint64
	seeds    int
	data     string
	conv     string
	epochs   int
	patience int

	out        string
	threads    int
	maxTime    time.Duration
	resume     bool
	dryRun     bool
	fastDevRun bool
	profile    bool
	json       bool
}

func newResnetCmd(s *Streams) *cobra.Command {
	def := config.DefaultResnet()
	var o resnetOptions
	cmd := &cobra.Command{
		Use:   "resnet",
		Short: "Train MLPs on MNIST and CNNs on CIFAR-10, with and without skip connections",
		Long: `Train a network with or without skip connections (--res: each block is x + block(x)).

--model mlp, on MNIST: 784 -> 128, DEPTH blocks of two 128-wide linear layers with ReLU, a head.
--model small, medium, large (the lab's CNNs), resnet20, resnet32, … resnet110 (He et al. 2016; without
--res their plain twins), on CIFAR-10. ` + "`dla models ls`" + ` lists them.

The validation part (5,000 images) selects the epoch; the test set is touched once, with that
epoch's weights. Each run leaves a directory under --out with its configuration, environment,
metrics, checkpoints and figures. Several models or depths, both values of --res or several seeds
make a study: every combination is trained in turn and drawn together.

Settings come from, later ones winning: built-in defaults, --config, flags, --set.`,
		Example: `  dla lab1 resnet --depth 5 --res
  dla lab1 resnet --depth 1,2,3,4,5 --res both --seeds 3
  dla lab1 resnet --model large --res
  dla lab1 resnet --model small,medium,large --res both
  dla lab1 resnet --config configs/lab1/resnet-paper.yaml --model resnet56
  dla lab1 resnet --depth 5 --res --set train.lr=0.05 --set train.schedule=constant
  dla lab1 resnet --config configs/lab1/mlp.yaml --dry-run
  dla lab1 resnet --depth 1,2,3,4,5 --res both --seeds 3 --resume    # goes on where it was stopped`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runResnet(cmd, s, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "YAML file with settings (see configs/lab1)")
	f.StringArrayVar(&o.sets, "set", nil, "one setting, as train.lr=0.05; repeatable")
	f.StringSliceVar(&o.models, "model", []string{def.Model.Name}, "network, or several: small,medium,large; with --data cifar10 the default is small")
	f.IntSliceVar(&o.depths, "depth", []int{def.Model.Depth}, "blocks of mlp; several: 1,2,3,4,5")
	f.IntVar(&o.width, "width", def.Model.Width, "width of mlp's layers; of a ResNet's first stage, 16 in the paper")
	f.StringVar(&o.res, "res", strconv.FormatBool(def.Model.Res), "skip connections: true, false or both")
	f.Lookup("res").NoOptDefVal = "true"
	f.Uint64Var(&o.seed, "seed", def.Seed, "seed of the split, the initial weights and the order of batches")
	f.IntVar(&o.seeds, "seeds", 1, "train each variant from this many seeds: seed, seed+1, …")
	f.StringVar(&o.data, "data", def.Data.Name, "data set: mnist, cifar10, synthetic-digits, synthetic-shapes; default cifar10 for all models but mlp")
	f.StringVar(&o.conv, "conv", def.Train.Conv, "convolutions: winograd where it can be, or direct")
	f.IntVar(&o.epochs, "epochs", def.Train.Epochs, "passes over the training set")
	f.IntVar(&o.patience, "patience", def.Train.Patience, "stop after this many epochs without a better validation accuracy; 0: never")
	f.StringVar(&o.out, "out", "runs", "directory of run records")
	f.IntVar(&o.threads, "threads", 0, "worker threads; 0: one for each core. Results do not depend on it")
	f.DurationVar(&o.maxTime, "max-time", 0, "stop with a checkpoint after this long, as 90s or 2h; exit code 3")
	f.BoolVar(&o.resume, "resume", false, "reuse finished runs of the same settings and data, continue interrupted ones")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the resolved settings and what the training will cost, and stop")
	f.BoolVar(&o.fastDevRun, "fast-dev-run", false, "two epochs of 512 images, to see that everything works")
	f.BoolVar(&o.profile, "profile", false, "time every op of the training steps and print what each took")
	f.BoolVar(&o.json, "json", false, "with --dry-run: print JSON")
	completeWords(cmd, "model", model.Names)
	completeWords(cmd, "data", data.Names())
	completeWords(cmd, "res", []string{"true", "false", "both"})
	completeWords(cmd, "conv", []string{"winograd", "direct"})
	return cmd
}

// completeWords completes a flag's value from words.
func completeWords(cmd *cobra.Command, flag string, words []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for an unknown flag only
}

// base is what all runs have in common, but for --set. The network decides the defaults, so it is
// looked for first: in the flags, then in --set and the file.
func (o resnetOptions) base(cmd *cobra.Command) (config.Resnet, error) {
	set := cmd.Flags().Changed
	layers := func(c *config.Resnet) error {
		if o.config != "" {
			if err := config.LoadFile(c, o.config); err != nil {
				return err
			}
		}
		if set("data") {
			c.Data.Name = o.data
		}
		if set("model") {
			c.Model.Name = o.models[0]
		}
		return nil
	}
	probe := config.DefaultResnet()
	probe.Model.Name = ""
	if err := layers(&probe); err != nil {
		return probe, err
	}
	for _, a := range o.sets {
		if err := config.Set(&probe, a); err != nil {
			return probe, err
		}
	}
	name := probe.Model.Name
	if name == "" {
		name = "mlp"
		if d, err := data.Describe(probe.Data.Name); err == nil && d.C > 1 {
			name = "small"
		}
	}
	c := config.DefaultFor(name)
	if err := layers(&c); err != nil {
		return c, err
	}
	if set("width") {
		c.Model.Width = o.width
	}
	if set("seed") {
		c.Seed = o.seed
	}
	if set("epochs") {
		c.Train.Epochs = o.epochs
	}
	if set("patience") {
		c.Train.Patience = o.patience
	}
	if set("conv") {
		c.Train.Conv = o.conv
	}
	if o.fastDevRun {
		c.Data.Limit, c.Train.Epochs = 512, 2
	}
	return c, nil
}

// variants resolves the settings of every run asked for.
func (o resnetOptions) variants(cmd *cobra.Command) ([]config.Resnet, error) {
	set := cmd.Flags().Changed
	base, err := o.base(cmd)
	if err != nil {
		return nil, err
	}
	models := []string{base.Model.Name}
	if set("model") {
		models = o.models
	}
	for _, m := range models {
		if len(models) > 1 && (m == "mlp") != (models[0] == "mlp") {
			return nil, usageError(fmt.Errorf("--model %s: mlp and the convolutional networks have different defaults; train them apart", strings.Join(models, ",")))
		}
	}
	depths, res := []int{base.Model.Depth}, []bool{base.Model.Res}
	if set("depth") {
		depths = o.depths
	}
	if set("res") {
		switch o.res {
		case "both":
			res = []bool{false, true}
		default:
			b, err := strconv.ParseBool(o.res)
			if err != nil {
				return nil, usageError(fmt.Errorf("--res %q: want true, false or both", o.res))
			}
			res = []bool{b}
		}
	}
	if o.seeds < 1 {
		return nil, usageError(fmt.Errorf("--seeds %d: want at least 1", o.seeds))
	}
	var all []config.Resnet
	for _, m := range models {
		for _, d := range depths {
			for _, r := range res {
				for i := range o.seeds {
					c := base
					c.Model.Name, c.Model.Depth, c.Model.Res, c.Seed = m, d, r, base.Seed+uint64(i)
					if err := o.finish(&c); err != nil {
						return nil, err
					}
					if !slices.ContainsFunc(all, func(x config.Resnet) bool { return sameSettings(x, c) }) {
						all = append(all, c)
					}
				}
			}
		}
	}
	return all, nil
}

// finish makes the assignments of --set and checks the whole.
func (o resnetOptions) finish(c *config.Resnet) error {
	for _, a := range o.sets {
		if err := config.Set(c, a); err != nil {
			return err
		}
	}
	if err := c.Validate(); err != nil {
		return err
	}
	_, err := labs.ResnetVariant(*c)
	return err
}

func sameSettings(a, b config.Resnet) bool {
	x, errA := config.Marshal(a)
	y, errB := config.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

func runResnet(cmd *cobra.Command, s *Streams, o resnetOptions) error {
	cfgs, err := o.variants(cmd)
	if err != nil {
		return usageError(err)
	}
	if o.threads < 0 {
		return usageError(fmt.Errorf("--threads %d: want 0 or more", o.threads))
	}
	if o.threads > 0 {
		kernel.SetThreads(o.threads)
	}
	if o.dryRun {
		return dryRun(s, cfgs, o.json)
	}
	ctx, code, stop := interruptible(cmd.Context())
	defer stop()
	progress := newProgress(s)
	defer progress.Close()
	opt := labOptions(s, o.out, progress)
	opt.MaxTime, opt.Resume = o.maxTime, o.resume
	if o.profile {
		opt.Profile = func(variant string, costs []engine.OpCost) {
			progress.Flush()
			fmt.Fprintf(s.Err, "\n%s, training steps:\n%s", variant, costTable(costs))
		}
	}
	fmt.Fprintln(s.Err, oneLine(cfgs))
	each := func(i int, t labs.Trained) {
		progress.Flush()
		if len(cfgs) == 1 {
			return
		}
		note := ""
		if t.Reused {
			note = ", finished before"
		}
		if done(t.Reason) {
			fmt.Fprintf(s.Err, "[%d/%d] %s seed %d: test accuracy %.2f %%%s\n", i+1, len(cfgs), variantName(t.Config), t.Config.Seed, 100*t.Result.Test.Accuracy, note)
		}
	}
	all, err := labs.ResnetStudy(ctx, cfgs, opt, each)
	progress.Close()
	if err != nil {
		if len(all) > 0 {
			fmt.Fprintf(s.Err, "%d of %d runs are finished; the same command with --resume goes on from here\n", len(all), len(cfgs))
		}
		return err
	}
	last := all[len(all)-1]
	if !done(last.Reason) {
		return stopped(s, last, code(), o.out, len(cfgs) > 1)
	}
	if len(all) == 1 {
		closing(s, last, o.out)
		return nil
	}
	return closingStudy(s, all, o.out)
}

func done(r train.Reason) bool { return r == train.Finished || r == train.EarlyStop }

// labOptions are the options every command that trains shares.
func labOptions(s *Streams, out string, progress *progressView) labs.Options {
	version, revision, dirty := buildinfo.Version()
	say := func(format string, args ...any) { progress.Flush(); fmt.Fprintf(s.Err, format+"\n", args...) }
	return labs.Options{
		Root: out,
		Data: data.Options{Progress: progress.Download, Say: say},
		Env: run.Env{Version: version, Revision: revision, Dirty: dirty, GoVersion: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
			CPU: buildinfo.CPU(), Threads: kernel.Threads(), Kernel: kernel.Level(), Command: os.Args, Started: time.Now()},
		Sink: progress.Event,
		Say:  say,
	}
}

// resumeRun is `dla runs resume`: it continues one interrupted run to its end.
func resumeRun(ctx context.Context, s *Streams, root, id string, maxTime time.Duration) error {
	rec, err := run.Find(root, id)
	if err != nil {
		return err
	}
	if rec.Experiment != labs.ResnetExperiment {
		return fmt.Errorf("run %s is of experiment %q, which this version of dla does not know", rec.ID, rec.Experiment)
	}
	ctx, code, stop := interruptible(ctx)
	defer stop()
	progress := newProgress(s)
	defer progress.Close()
	opt := labOptions(s, root, progress)
	opt.MaxTime = maxTime
	t, err := labs.ResumeResnet(ctx, rec.ID, opt)
	progress.Close()
	if err != nil {
		return err
	}
	if !done(t.Reason) {
		return stopped(s, t, code(), root, false)
	}
	closing(s, t, root)
	return nil
}

// oneLine shows the resolved settings.
func oneLine(cfgs []config.Resnet) string {
	c := cfgs[0]
	var names []string
	for _, x := range cfgs {
		if n := variantName(x); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	t := c.Train
	opt := fmt.Sprintf("%s lr %g", t.Optimizer, t.LR)
	if t.Optimizer == "sgd" && t.Momentum > 0 {
		opt += fmt.Sprintf(" momentum %g", t.Momentum)
	}
	if t.WeightDecay > 0 {
		opt += fmt.Sprintf(" weight_decay %g", t.WeightDecay)
	}
	seeds := fmt.Sprintf("seed %d", c.Seed)
	if n := len(cfgs) / len(names); n > 1 {
		seeds = fmt.Sprintf("seeds %d-%d", c.Seed, c.Seed+uint64(n)-1)
	}
	line := fmt.Sprintf("lab1 resnet: %s on %s, %d epochs, batch %d, %s, %s, %s; %d threads, %s kernels",
		strings.Join(names, " "), c.Data.Name, t.Epochs, t.BatchSize, opt, t.Schedule, seeds, kernel.Threads(), kernel.Level())
	if c.Train.Conv == "direct" {
		line += ", convolutions direct"
	}
	if c.Data.Limit > 0 {
		line += fmt.Sprintf("; ONLY %d images of each split", c.Data.Limit)
	}
	return line
}

// variantName is the name of a network that variants has checked.
func variantName(c config.Resnet) string {
	name, err := labs.ResnetVariant(c)
	if err != nil {
		return c.Model.Name
	}
	return name
}

// closing says what a finished run reached, where its record is and what to type next.
func closing(s *Streams, t labs.Trained, root string) {
	r := t.Result
	w := s.Out
	fmt.Fprintln(w)
	if r.Note != "" {
		fmt.Fprintf(w, "  NOTE            %s\n", r.Note)
	}
	if t.Config.Data.Limit > 0 {
		fmt.Fprintf(w, "  NOTE            trained and tested on %d images of each split only\n", t.Config.Data.Limit)
	}
	fmt.Fprintf(w, "  test accuracy   %.2f %%  (95 %% interval %.2f-%.2f, n = %d)\n", 100*r.Test.Accuracy, 100*r.Test.CI95[0], 100*r.Test.CI95[1], r.Test.N)
	fmt.Fprintf(w, "  validation      %.2f %% at epoch %d of %d, which selected the weights; %.2f %% at the last\n", 100*r.Val.Accuracy, r.BestEpoch, r.Epochs, 100*r.LastVal.Accuracy)
	fmt.Fprintf(w, "  network         %s, %d parameters\n", variantName(t.Config), r.Params)
	fmt.Fprintf(w, "  wall time       %s\n", time.Duration(r.WallSeconds*float64(time.Second)).Round(100*time.Millisecond))
	fmt.Fprintf(w, "  record          %s\n", t.Dir)
	if len(t.Figures) > 0 {
		fmt.Fprintf(w, "  figures         %s\n", filepath.Join(t.Dir, "figures"))
	}
	fmt.Fprintf(w, "\nnext: dla runs show %s%s\n      dla runs compare ID ID\n", t.ID, outFlag(root))
}

func outFlag(root string) string {
	if root == "runs" {
		return ""
	}
	return " --out " + root
}

// closingStudy draws the study's figures and prints its table.
func closingStudy(s *Streams, all []labs.Trained, root string) error {
	var recs []run.Record
	for _, t := range all {
		rec, err := run.Find(root, t.ID)
		if err != nil {
			return err
		}
		recs = append(recs, rec)
	}
	dir := filepath.Join(root, "figures", "lab1-resnet")
	files, err := report.Figures(recs, dir)
	if err != nil {
		return err
	}
	table, err := report.Table(recs)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "\n%s\n", table)
	if n := all[0].Result.Note; n != "" {
		fmt.Fprintf(s.Out, "NOTE: %s\n", n)
	}
	fmt.Fprintf(s.Out, "%d runs in %s, %d figure files in %s\n", len(all), root, len(files), dir)
	fmt.Fprintf(s.Out, "\nnext: dla runs ls%s\n      dla plot --all%s\n", outFlag(root), strings.ReplaceAll(outFlag(root), "--out", "--runs"))
	return nil
}

// stopped says how to go on with a run that was interrupted or ran out of time.
func stopped(s *Streams, t labs.Trained, code int, root string, study bool) error {
	fmt.Fprintf(s.Err, "\nstopped (%s); the state is saved. Go on with: dla runs resume %s%s\n", t.Reason, t.ID, outFlag(root))
	if study {
		fmt.Fprintln(s.Err, "or with the whole study: the same command with --resume")
	}
	if t.Reason == train.OutOfTime {
		code = exitMaxTime
	}
	if code == 0 {
		code = 130
	}
	return &ExitError{Code: code}
}

// dryRun prints the settings of every run and what the training will cost, reading no data.
func dryRun(s *Streams, cfgs []config.Resnet, asJSON bool) error {
	type plan struct {
		Variant string        `json:"variant"`
		Seed    uint64        `json:"seed"`
		Config  config.Resnet `json:"config"`
		Cost    labs.Cost     `json:"cost"`
	}
	var plans []plan
	costs := map[string]labs.Cost{} // seeds of a variant cost the same
	total := 0.0
	for _, c := range cfgs {
		name := variantName(c)
		if _, ok := costs[name]; !ok {
			cost, err := labs.ResnetCost(c)
			if err != nil {
				return err
			}
			costs[name] = cost
		}
		plans = append(plans, plan{name, c.Seed, c, costs[name]})
		total += costs[name].TotalSeconds
	}
	if asJSON {
		e := json.NewEncoder(s.Out)
		e.SetIndent("", "  ")
		return e.Encode(plans)
	}
	yaml, err := config.Marshal(cfgs[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s\n%s\n", oneLine(cfgs), yaml)
	for _, p := range plans {
		fmt.Fprintf(s.Out, "%-16s seed %-3d %9d parameters  %6.1f MFLOP/image forward  %8.1f GFLOP in all  %5.1f MB step memory  about %s\n", p.Variant, p.Seed,
			p.Cost.Params, 2*float64(p.Cost.MACs)/1e6, p.Cost.TrainFLOPs/1e9, float64(p.Cost.PeakBytes)/1e6, roundSeconds(p.Cost.TotalSeconds))
	}
	if len(plans) > 1 {
		fmt.Fprintf(s.Out, "%d runs, about %s\n", len(plans), roundSeconds(total))
	}
	return nil
}

func roundSeconds(sec float64) time.Duration {
	return time.Duration(sec * float64(time.Second)).Round(time.Second)
}
