package cli

import (
	"context"
	"errors"
	"fmt"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"dla/internal/run"
	"dla/internal/watch"
)

func newRunsWatchCmd(s *Streams, root *string) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "watch [ID…]",
		Short: "Watch runs while they train: a table and curves in the terminal",
		Long: `Watch the runs under --out, or those of the given ids or beginnings of ids: a table with status, time
left and the last metrics, and curves of the chosen run. Only the folders of the runs are read, so it
works over ssh and on a shared disk, and quitting it (q) touches no run.

  ↑ ↓     choose a run                 tab     next metric
  space   draw this run with others    l       logarithmic axis on and off
  ?       all keys                     q       quit

Where the output is no terminal, a line is printed for each epoch as it comes and when a run ends,
until no run trains any more. Time left is estimated from the last epochs; a training that stops early
needs less.`,
		Example: `  dla runs watch
  dla runs watch 20261124-0930 --out results/lab1/mlp
  dla runs watch > epochs.txt
  dla runs watch --once                                # the table, once`,
		ValidArgsFunction: completeRuns(root),
		RunE: func(cmd *cobra.Command, args []string) error {
			var dirs []string
			for _, id := range args {
				r, err := run.Examine(*root, id)
				if err != nil {
					return err
				}
				dirs = append(dirs, r.Dir)
			}
			switch {
			case once:
				return watch.Table(s.Out, watched(*root, dirs))
			case s.OutTTY && s.InTTY:
				_, err := tea.NewProgram(watchScreen(*root, dirs), tea.WithContext(cmd.Context()), tea.WithInput(s.In),
					tea.WithOutput(s.screen)).Run()
				if err != nil && !errors.Is(err, tea.ErrInterrupted) {
					return fmt.Errorf("the screen cannot be drawn: %w; `dla runs watch | cat` prints lines", err)
				}
				return nil
			}
			ctx, code, stop := interruptible(cmd.Context())
			defer stop()
			n, err := watch.Lines(ctx, s.Out, watched(*root, dirs), len(args) == 0)
			switch {
			case errors.Is(err, context.Canceled):
				return &ExitError{Code: code()}
			case err == nil && n == 0:
				fmt.Fprintf(s.Err, "no run under %s trains; `%s` lists them\n", *root, run.Command(*root, "runs", "ls"))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print the table once and stop")
	return cmd
}

// watched returns the runs in dirs, or where there are none all under root.
func watched(root string, dirs []string) *watch.Runs {
	if len(dirs) == 0 {
		return watch.Under(root)
	}
	return watch.Of(dirs...)
}

// watchScreen returns the screen of the runs in dirs, or of all under root.
func watchScreen(root string, dirs []string) *watch.Screen {
	return watch.NewScreen(watched(root, dirs), root, func(text string) string { return string(escaped([]byte(text))) })
}
