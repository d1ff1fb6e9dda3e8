package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dla/internal/run"
	"dla/internal/table"
)

func newRunsCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "Run records: list, watch, show, compare, tabulate, annotate, export, resume, remove",
		Example: `  dla runs ls
  dla runs compare 20261124-093015-mlp-d5-res-s0 20261124-093512-mlp-d5-plain-s0
  dla runs table --format latex
  dla runs reproduce 20261124-093015-mlp-d5-res-s0`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var root string
	cmd.PersistentFlags().StringVar(&root, "out", run.DefaultRoot, "directory of run records")
	cmd.AddCommand(newRunsLsCmd(s, &root), newRunsShowCmd(s, &root), newRunsCompareCmd(s, &root),
		newRunsTableCmd(s, &root), newRunsDiffCmd(s, &root), newRunsReproduceCmd(s, &root), newRunsNoteCmd(s, &root),
		newRunsTagCmd(s, &root), newRunsResumeCmd(s, &root), newRunsRmCmd(s, &root), newRunsExportCmd(s, &root),
		newRunsWatchCmd(s, &root))
	return cmd
}

func newRunsLsCmd(s *Streams, root *string) *cobra.Command {
	var o tableFlags
	var tags []string
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the runs, oldest first",
		Example: "  dla runs ls\n  dla runs ls --tag final\n  dla runs ls --json\n  dla runs ls --format csv > runs.csv",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := run.List(*root)
			if err != nil {
				return err
			}
			total := len(all)
			all = slices.DeleteFunc(all, func(r run.Summary) bool { return !r.Tagged(tags) })
			if o.asJSON() {
				return writeJSON(s.Out, append([]run.Summary{}, all...)) // [], not null, for no runs
			}
			if len(all) == 0 && o.asText() {
				if total > 0 {
					fmt.Fprintf(s.Out, "none of the %d runs under %s has the tag %s\n", total, *root,
						strings.Join(tags, " and "))
					return nil
				}
				fmt.Fprintf(s.Out, "no runs under %s; start with: %s\n", *root,
					run.Command(*root, "lab1", "resnet", "--depth", "5", "--res"))
				return nil
			}
			return o.write(s.Out, listing(all))
		},
	}
	o.add(cmd)
	addTags(cmd, root, &tags)
	return cmd
}

// addTags adds the flag that selects runs by their tags.
func addTags(cmd *cobra.Command, root *string, tags *[]string) {
	cmd.Flags().StringArrayVar(tags, "tag", nil, "only runs with this tag; repeatable: with all of them")
	// fails for an unknown flag only
	_ = cmd.RegisterFlagCompletionFunc("tag", completeTags(root))
}

// listing returns the table of runs, and which of them are broken.
func listing(all []run.Summary) table.Tables {
	t := table.New("", "ID", "EXPERIMENT", "VARIANT", "SEED", "STATUS", "EPOCHS", "TEST ACC", "TAGS", "NOTE")
	var broken []string
	for _, r := range all {
		t.Row(r.ID, dash(r.Experiment), dash(r.Variant), r.Seed, string(r.Status), r.Epochs, inPercent(r.TestAccuracy),
			strings.Join(r.Tags, ","), table.Short(r.Note, 60))
		if r.Status == run.StatusBroken {
			broken = append(broken, fmt.Sprintf("%s is broken: %s", r.ID, r.Detail))
		}
	}
	ts := table.Of(t.DropEmpty("TAGS", "NOTE"))
	if broken != nil {
		ts.Say("%s", strings.Join(broken, "\n"))
	}
	return ts
}

// completeRuns completes run ids in the shell.
func completeRuns(root *string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		all, err := run.List(*root)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var ids []string
		for _, r := range all {
			ids = append(ids, r.ID)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

func newRunsResumeCmd(s *Streams, root *string) *cobra.Command {
	var maxTime time.Duration
	var kernels, keep, events bool
	var at string
	cmd := &cobra.Command{
		Use:   "resume ID",
		Short: "Continue an interrupted run, with the same bits as if it had never stopped",
		Example: "  dla runs resume 20261124-093015-mlp-d5-res-s0\n  dla runs resume 20261124-0930 " +
			"--max-time 10m",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRuns(root),
		RunE: func(cmd *cobra.Command, args []string) error {
			return resumeRun(cmd, s, trainingFlags{experimentFlags: experimentFlags{out: *root, kernels: kernels, events: events,
				dataAt: at},
				maxTime: maxTime, keep: keep}, args[0])
		},
	}
	addOtherKernels(cmd, &kernels)
	addDataAt(cmd, &at)
	addKeepCheckpoints(cmd, &keep)
	addEvents(cmd, &events)
	cmd.Flags().DurationVar(&maxTime, "max-time", 0, "stop with a checkpoint after this time; exit code 3")
	return cmd
}

func newRunsRmCmd(s *Streams, root *string) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "rm ID…",
		Short: "Delete runs with their records and checkpoints",
		Long: "Delete runs permanently. Give whole ids. On a terminal the command asks, elsewhere it " +
			"needs --yes.",
		Example: "  dla runs rm 20261124-093015-mlp-d5-res-s0\n  dla runs rm " +
			"20261124-093015-mlp-d5-res-s0 20261124-093512-mlp-d5-plain-s0 --yes",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, ids []string) error {
			for _, id := range ids { // before asking and removing
				r, err := run.Examine(*root, id)
				if err != nil {
					return err
				}
				if r.ID != id {
					return fmt.Errorf("%q is the beginning of %s; to remove that run give its whole id", id, r.ID)
				}
			}
			if err := confirmed(s, yes, strings.Join(ids, ", ")); err != nil {
				return err
			}
			for _, id := range ids {
				if err := run.Remove(*root, id); err != nil {
					return err
				}
				fmt.Fprintf(s.Out, "removed %s\n", id)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirmed asks whether to delete what, unless yes is set.
func confirmed(s *Streams, yes bool, what string) error {
	if yes {
		return nil
	}
	if !s.InTTY {
		return usageError(errors.New("not on a terminal, so nothing is removed without confirmation: add --yes"))
	}
	fmt.Fprintf(s.Err, "delete %s? [y/N] ", what)
	answer, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was removed")
	}
	return nil
}
