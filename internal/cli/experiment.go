package cli

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/buildinfo"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/labs"
	"dla/internal/run"
	"dla/internal/table"
)

// experimentFlags holds the flags that every experiment has beside its settings.
type experimentFlags struct {
	config string
	sets   []string

	out        string
	threads    int
	resume     bool
	kernels    bool
	dryRun     bool
	fastDevRun bool
	json       bool
	events     bool // --tensorboard
	sparkline  bool
	format     formatName // of the results; "": as for readers
	dataAt     string     // see labs.Options
}

// add adds the flags to cmd. configs/LAB holds its configurations. A command may give a flag a more specific usage.
func (o *experimentFlags) add(cmd *cobra.Command, lab string, b *settingFlags) {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "YAML file with settings (see configs/"+lab+")")
	f.StringArrayVar(&o.sets, "set", nil, "one setting, such as train.lr=0.05; repeatable")
	b.bind("seed", "seed", "seed of the split, the initial weights and the order of batches")
	f.StringVar(&o.out, "out", run.DefaultRoot, "directory of run records")
	f.IntVar(&o.threads, "threads", 0, "worker threads; 0: one per core; results do not depend on it")
	f.BoolVar(&o.resume, "resume", false,
		"reuse finished runs with the same settings and data, continue interrupted and failed ones")
	addOtherKernels(cmd, &o.kernels)
	f.BoolVar(&o.dryRun, "dry-run", false, "print the resolved settings and what the training will cost, and stop")
	f.BoolVar(&o.fastDevRun, "fast-dev-run", false,
		"quick check that everything works: two epochs of 512 images; other flags and --set take precedence")
	f.BoolVar(&o.json, "json", false, "with --dry-run: print JSON")
	addEvents(cmd, &o.events)
	f.BoolVar(&o.sparkline, "sparkline", false,
		"on a terminal draw the training loss of the epochs beside the progress bar")
	f.Var(&o.format, "format", "print the results as tables alone ("+strings.Join(table.Formats, ", ")+
		"), and all else to standard error")
	completeWords(cmd, "format", table.Formats)
}

// addEvents adds the flag of event files.
func addEvents(cmd *cobra.Command, events *bool) {
	cmd.Flags().BoolVar(events, "tensorboard", false, "write event files for TensorBoard, wandb and aim into the run's "+
		"folder while it trains: tensorboard --logdir OUT")
}

// addOtherKernels adds the flag that allows resuming a run with other kernels.
func addOtherKernels(cmd *cobra.Command, allow *bool) {
	cmd.Flags().BoolVar(allow, "allow-other-kernels", false,
		"continue a run begun with other kernels (DLA_KERNEL, another machine): its bits will differ, and the "+
			"record says so")
}

// completeWords completes a flag's value from words.
func completeWords(cmd *cobra.Command, flag string, words []string) {
	// fails for an unknown flag only
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// check returns a usage error for an invalid flag.
func (o experimentFlags) check() error {
	if o.threads < 0 {
		return usageError(fmt.Errorf("--threads %d: want 0 or more", o.threads))
	}
	return nil
}

func (o experimentFlags) setThreads() {
	if o.threads > 0 {
		kernel.SetThreads(o.threads)
	}
}

// session holds the display and the stop signal of one command's experiment.
type session struct {
	ctx      context.Context
	opt      labs.Options
	progress *progressView
	code     func() int // exit code that a signal asks for
	close    func() error
}

// begin starts a session; close ends it.
func (o experimentFlags) begin(cmd *cobra.Command, s *Streams) *session {
	x := &session{progress: newProgress(s)}
	x.opt = labOptions(s, o.out, x.progress)
	x.opt.Resume, x.opt.OtherKernels, x.opt.DataAt, x.opt.TensorBoard = o.resume, o.kernels, o.dataAt, o.events
	var stop func()
	x.progress.sparkline = o.sparkline
	x.ctx, x.code, stop = interruptible(cmd.Context())
	context.AfterFunc(x.ctx, x.progress.title.restore) // a second Ctrl-C leaves at once
	x.close = func() error {
		x.progress.Close()
		stop()
		return nil
	}
	return x
}

// labOptions returns the options that all experiments share.
func labOptions(s *Streams, out string, progress *progressView) labs.Options {
	version, revision, dirty := buildinfo.Version()
	say := func(format string, args ...any) { progress.Flush(); fmt.Fprintf(s.Err, format+"\n", args...) }
	return labs.Options{
		Root: out,
		Data: data.Options{Progress: progress.Download, Say: say},
		Env: run.Env{Version: version, Revision: revision, Dirty: dirty, GoVersion: runtime.Version(), OS: runtime.GOOS,
			Arch: runtime.GOARCH,
			CPU:  buildinfo.CPU(), Threads: kernel.Threads(), Kernel: kernel.Level(), Command: os.Args, Started: time.Now()},
		Sink: progress.Event,
		Say:  say,
	}
}
