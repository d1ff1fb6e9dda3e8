package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/document"
	"dla/internal/labs"
	"dla/internal/run"
)

func newReportCmd(s *Streams) *cobra.Command {
	var o struct {
		runs, file string
		tags       []string
		json       bool
	}
	cmd := &cobra.Command{
		Use:   "report [RUN|FOLDER…]",
		Short: "Write a report of runs as one file: HTML or Markdown",
		Long: `Write a report of runs from their records alone: what was run (commands, revision, data, machine), tables with n,
spread and intervals, figures, self-checks, what was not run or stopped, with the command that continues it, and how
to reproduce it. RUN is an id, the beginning of one or a pattern; FOLDER is the folder of a run or of runs. Without any,
all runs under --out are reported.

-o names the file. HTML is one file with its figures inside; it needs no network, runs no script, and prints well.
Markdown has its figures in a folder beside it: report_files for report.md. An earlier report is replaced when the new
one is whole. Equal records give an equal report.

What a study lacks is told from the commands that its runs record, with the configuration files they name.`,
		Example: `  dla report -o report.html
  dla report results/lab1/cnn -o cnn.html
  dla report '*-resnet20-*' --tag final -o resnet20.md`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := document.CheckName(o.file); err != nil {
				return usageError(fmt.Errorf("-o %w", err))
			}
			recs, err := selectRuns(s, o.runs, args, o.tags)
			if err != nil {
				return err
			}
			recs = onlyOnce(s, recs)
			c := document.Content{Runs: recs, Again: reportCommand(args, o.runs, o.file, o.tags)}
			c.Missing, c.Unknown = unfinishedStudies(recs)
			files, err := document.Write(o.file, c)
			if err != nil {
				return err
			}
			if o.json {
				return writeJSON(s.Out, map[string]any{"runs": len(recs), "files": files})
			}
			size := ""
			if st, err := os.Stat(o.file); err == nil {
				size = fmt.Sprintf(", %d kB", (st.Size()+500)/1000)
			}
			fmt.Fprintf(s.Out, "%d runs in %s%s\n", len(recs), strings.Join(files, " and "), size)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.runs, "out", run.DefaultRoot, "directory of run records")
	f.StringVarP(&o.file, "output", "o", "report.html", "file to write: .html or .md")
	f.BoolVar(&o.json, "json", false, "print JSON: the files")
	addTags(cmd, &o.runs, &o.tags)
	cmd.ValidArgsFunction = completeRuns(&o.runs)
	return cmd
}

// reportCommand returns the command that makes a report again.
func reportCommand(args []string, root, file string, tags []string) string {
	all := append([]string{"report"}, args...)
	for _, t := range tags {
		all = append(all, "--tag", t)
	}
	return run.Command(root, append(all, "-o", file)...)
}

// unfinishedStudies asks the commands that recs record which runs they make, and returns those that recs lack, and the
// commands that cannot tell.
func unfinishedStudies(recs []run.Record) (missing []document.Missing, unknown []document.Unknown) {
	type study struct {
		args []string
		recs []run.Record
	}
	var studies []study
	for _, r := range recs {
		if len(r.Env.Command) < 2 {
			continue
		}
		args := r.Env.Command[1:]
		i := slices.IndexFunc(studies, func(s study) bool { return slices.Equal(s.args, args) })
		if i < 0 {
			i = len(studies)
			studies = append(studies, study{args: args})
		}
		studies[i].recs = append(studies[i].recs, r)
	}
	for _, st := range studies {
		planned, err := plannedBy(st.args)
		command := run.Command("", st.args...)
		if err != nil {
			unknown = append(unknown, document.Unknown{Command: command, Why: inOneLine(err)})
			continue
		}
		again := command
		if !slices.Contains(st.args, "--resume") {
			again += " --resume"
		}
		for _, p := range labs.Missing(planned, recs) {
			name := p.Variant
			if name == "" {
				name = p.Experiment
			}
			m := document.Missing{Variant: name, Seed: p.Seed, Command: again}
			if !slices.Contains(missing, m) {
				missing = append(missing, m)
			}
		}
	}
	return missing, unknown
}

// plannedBy returns the runs that the command dla args makes, without making any: it stops where they are known. args
// come from a record, so nothing but an experiment is tried.
func plannedBy(args []string) (planned []labs.Planned, err error) {
	isExperiment := func(e labs.Experiment) bool {
		return len(args) >= 2 && e.Name == args[0]+"/"+args[1]
	}
	if !slices.ContainsFunc(labs.Experiments(), isExperiment) {
		return nil, errors.New("its runs were begun by another command than that of an experiment")
	}
	var said strings.Builder
	known := false
	s := &Streams{In: strings.NewReader(""), Out: io.Discard, Err: &said, planned: func(tasks []labs.Task, root string) {
		known = true
		planned = labs.PlannedOf(tasks, labs.Options{Root: root, Say: func(string, ...any) {}})
	}}
	if execute(append(slices.Clone(args), "--dry-run"), s) != 0 || !known {
		return nil, fmt.Errorf("the command is refused now: %s",
			strings.TrimPrefix(strings.TrimSpace(said.String()), "dla: "))
	}
	return planned, nil
}
