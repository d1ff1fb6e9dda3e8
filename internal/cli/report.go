package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
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
spread and intervals, figures, sweeps, self-checks, what was not run or stopped, with the command that continues it, and
how to reproduce it. RUN is an id, the beginning of one or a pattern; FOLDER is the folder of a run or of runs. Without any,
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
			recs, left, err := selectRuns(o.runs, args, o.tags)
			if err != nil {
				return err
			}
			recs, twice := onlyOnce(recs)
			left = append(left, twice...)
			sayLeft(s, left)
			c := document.Content{Runs: recs, Again: reportCommand(args, o.runs, o.file, o.tags)}
			for _, l := range left {
				c.Notes = append(c.Notes, "Left out: "+l+".")
			}
			if c.Missing, c.Unknown, err = unfinishedStudies(recs); err != nil {
				return err
			}
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

// unfinishedStudies asks the commands that recs record which runs they make. It returns those that neither recs nor the
// folders of recs hold, the unfinished ones in these folders, and the commands that cannot tell.
func unfinishedStudies(recs []run.Record) (missing []document.Missing, unknown []document.Unknown, err error) {
	all, err := withNeighbours(recs)
	if err != nil {
		return nil, nil, err
	}
	var studies [][]string
	for _, r := range recs {
		if len(r.Env.Command) < 3 || !isExperiment(r.Env.Command[1:]) {
			continue // imported, or made again: no study asks for it
		}
		args := r.Env.Command[1:]
		if !slices.ContainsFunc(studies, func(s []string) bool { return slices.Equal(s, args) }) {
			studies = append(studies, args)
		}
	}
	for _, args := range studies {
		planned, err := plannedBy(args)
		command := run.Command("", args...)
		if err != nil {
			unknown = append(unknown, document.Unknown{Command: command, Why: inOneLine(err)})
			continue
		}
		again := command
		if !slices.Contains(args, "--resume") {
			again += " --resume"
		}
		for _, p := range labs.Missing(planned, all) {
			name := p.Variant
			if name == "" {
				name = p.Experiment
			}
			m := document.Missing{Variant: name, Seed: p.Seed, State: "not begun", Command: again}
			if !slices.Contains(missing, m) {
				missing = append(missing, m)
			}
		}
	}
	for _, r := range all[len(recs):] {
		ofStudy := func(args []string) bool {
			return len(r.Env.Command) > 0 && slices.Equal(args, r.Env.Command[1:])
		}
		if r.Status != run.StatusFinished && r.Damage() == nil && slices.ContainsFunc(studies, ofStudy) {
			missing = append(missing, document.Missing{Variant: r.Variant, Seed: r.Seed, State: string(r.Status),
				Command: r.Command("resume")})
		}
	}
	return missing, unknown, nil
}

// withNeighbours returns recs and the other runs in their folders: a report of some runs of a study does not say that
// the others were never begun.
func withNeighbours(recs []run.Record) ([]run.Record, error) {
	all := slices.Clone(recs)
	var roots []string
	for _, r := range recs {
		root := filepath.Dir(r.Dir)
		if slices.Contains(roots, root) {
			continue
		}
		roots = append(roots, root)
		ids, err := run.IDs(root)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if dir := filepath.Join(root, id); !slices.ContainsFunc(recs, func(r run.Record) bool { return r.Dir == dir }) {
				all = append(all, run.Read(dir))
			}
		}
	}
	return all, nil
}

// isExperiment reports whether args begin with the command of an experiment.
func isExperiment(args []string) bool {
	return slices.ContainsFunc(labs.Experiments(), func(e labs.Experiment) bool {
		return len(args) >= 2 && e.Name == args[0]+"/"+args[1]
	})
}

// plannedBy returns the runs that the command dla args makes, without making any: it stops where they are known. args
// come from a record, and are those of an experiment.
func plannedBy(args []string) (planned []labs.Planned, err error) {
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
