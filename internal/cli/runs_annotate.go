package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/run"
)

func newRunsNoteCmd(s *Streams, root *string) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "note ID [TEXT]",
		Short: "Write a note beside a run, or show it",
		Long: `Write a note beside the record of a run, in place of an earlier one; without TEXT show it. The note lies in
annotation.json in the run's folder. It changes nothing that the record's checksums cover, so a finished run stays
what it is, and a run that is training goes on. Lists, tables and reports show it.`,
		Example: `  dla runs note 20261124-0930 "the learning rate was too large from epoch 20 on"
  dla runs note 20261124-0930
  dla runs note 20261124-0930 --rm`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeRuns(root),
		RunE: func(_ *cobra.Command, args []string) error {
			if remove && len(args) == 2 {
				return usageError(errors.New("--rm removes the note; give no text"))
			}
			if len(args) == 1 && !remove {
				r, err := run.Find(*root, args[0])
				if err != nil {
					return err
				}
				fmt.Fprintln(s.Out, dash(r.Note))
				return nil
			}
			text := ""
			if len(args) == 2 {
				text = strings.TrimSpace(args[1])
			}
			if text == "" && !remove {
				return usageError(errors.New("the note is empty; --rm removes one"))
			}
			id, _, err := run.Annotate(*root, args[0], func(a *run.Annotation) { a.Note = text })
			if err != nil {
				return err
			}
			if remove {
				fmt.Fprintf(s.Out, "%s has no note\n", id)
				return nil
			}
			fmt.Fprintf(s.Out, "%s: %s\n", id, text)
			return nil
		},
	}
	cmd.Flags().BoolVar(&remove, "rm", false, "remove the note")
	return cmd
}

func newRunsTagCmd(s *Streams, root *string) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "tag ID [TAG…]",
		Short: "Give a run tags, by which lists, tables and reports select",
		Long: `Add tags to a run, or with --rm remove them; without TAG show them. A tag is a word. The tags lie beside the
record in annotation.json and change nothing that its checksums cover. --tag of ` + "`dla runs ls`, `dla runs table`" + `
and ` + "`dla report`" + ` selects by them.`,
		Example: `  dla runs tag 20261124-0930 final figure-3
  dla runs tag 20261124-0930 figure-3 --rm
  dla runs ls --tag final`,
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return completeRuns(root)(c, args, prefix)
			}
			return completeTags(root)(c, args, prefix)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			id, tags := args[0], args[1:]
			for _, t := range tags {
				if err := run.CheckTag(t); err != nil {
					return usageError(err)
				}
			}
			if len(tags) == 0 {
				if remove {
					return usageError(errors.New("name the tags to remove"))
				}
				r, err := run.Find(*root, id)
				if err != nil {
					return err
				}
				fmt.Fprintln(s.Out, dash(strings.Join(r.Tags, " ")))
				return nil
			}
			id, a, err := run.Annotate(*root, id, func(a *run.Annotation) {
				if !remove {
					a.Tags = append(a.Tags, tags...)
					return
				}
				a.Tags = slices.DeleteFunc(a.Tags, func(t string) bool { return slices.Contains(tags, t) })
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "%s: %s\n", id, dash(strings.Join(a.Tags, " ")))
			return nil
		},
	}
	cmd.Flags().BoolVar(&remove, "rm", false, "remove these tags")
	return cmd
}

// completeTags completes the tags of runs in the shell.
func completeTags(root *string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		all, err := run.List(*root)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var tags []string
		for _, r := range all {
			for _, t := range r.Tags {
				if !slices.Contains(tags, t) {
					tags = append(tags, t)
				}
			}
		}
		return tags, cobra.ShellCompDirectiveNoFileComp
	}
}
