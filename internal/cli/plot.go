package cli

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dla/internal/report"
	"dla/internal/run"
)

func newPlotCmd(s *Streams) *cobra.Command {
	var o struct {
		runs, out string
		all       bool
		table     bool
		readme    bool
		check     bool
		tableFlags
	}
	cmd := &cobra.Command{
		Use:   "plot [RUN…]",
		Short: "Draw figures from run records alone",
		Long: `Draw loss, val_loss and accuracy against the epoch as PNG and SVG, one line per variant with mean and
range over its seeds. figures.json names the runs of the figures.

RUN is an id, the beginning of one, or a pattern such as '*-d5-*'; --all takes every finished run. Runs
that recorded gradient norms (lab1 resnet --grad-norms) are also drawn layer by layer. An evaluation
(lab4 fgsm) has its own figures, in a folder named after the run if other runs are drawn too.

--readme, in the root of the repository, draws every figure and writes every table of README.md and of
the pages under results, from the records that results/figures.yaml names. With --check it changes
nothing, prints what would change, and fails if anything would.`,
		Example: `  dla plot --all --out figures
  dla plot '*-mlp-d5-*' --out figures/d5
  dla plot --all --runs results/lab1/mlp --table
  dla plot --readme --check`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.check && !o.readme {
				return usageError(fmt.Errorf("--check needs --readme"))
			}
			if o.readme {
				return plotReadme(s, o.check)
			}
			recs, err := pick(s, o.runs, args, o.all)
			if err != nil {
				return err
			}
			files, err := report.Figures(recs, o.out)
			if err != nil {
				return err
			}
			if o.asJSON() {
				return writeJSON(s.Out, map[string]any{"runs": len(recs), "files": files})
			}
			to := s.Out
			if formatted := cmd.Flags().Changed("format"); formatted || o.table {
				ts, err := report.Tables(recs)
				switch {
				case err != nil:
					return err
				case !formatted:
					fmt.Fprintln(s.Out, ts.Page())
				default:
					if err := o.write(s.Out, ts); err != nil {
						return err
					}
					to = s.Err // only the table goes to a program
				}
			}
			fmt.Fprintf(to, "%d runs drawn: %s\n", len(recs), strings.Join(files, " "))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.runs, "runs", run.DefaultRoot, "directory of run records")
	f.StringVar(&o.out, "out", "figures", "directory for the figures")
	f.BoolVar(&o.all, "all", false, "draw every finished run")
	f.BoolVar(&o.table, "table", false, "also print the results as a Markdown table")
	f.BoolVar(&o.readme, "readme", false,
		"draw the figures and write the tables of README.md and of the pages under results")
	f.BoolVar(&o.check, "check", false, "with --readme: change nothing, and fail if anything would change")
	o.add(cmd)
	f.Lookup("format").Usage = "also print the results as tables: markdown, csv, latex or text"
	f.Lookup("json").Usage = "print JSON: the files"
	cmd.ValidArgsFunction = completeRuns(&o.runs)
	return cmd
}

// plotReadme makes the figures and tables of README.md and of the pages under results, or checks them.
func plotReadme(s *Streams, check bool) error {
	sections, err := report.Sections(filepath.Join("results", "figures.yaml"))
	if err != nil {
		return err
	}
	changed, err := report.Readme(".", sections, check)
	if err != nil {
		return err
	}
	if check && len(changed) > 0 {
		return fmt.Errorf("these differ from the records: %s; `dla plot --readme` updates them",
			strings.Join(changed, ", "))
	}
	if len(changed) == 0 {
		fmt.Fprintln(s.Out, "the figures and tables of all sections agree with the records")
		return nil
	}
	fmt.Fprintf(s.Out, "updated: %s\n", strings.Join(changed, " "))
	return nil
}

// pick returns the runs that args name, or with all every finished run. It names broken runs, which may have been
// finished.
func pick(streams *Streams, root string, args []string, all bool) ([]run.Record, error) {
	if len(args) == 0 && !all {
		return nil, usageError(fmt.Errorf("name the runs to draw, or use --all"))
	}
	list, err := run.List(root)
	if err != nil {
		return nil, err
	}
	var recs []run.Record
	add := func(id string) error {
		if slices.ContainsFunc(recs, func(r run.Record) bool { return r.ID == id }) {
			return nil
		}
		r, err := run.Find(root, id)
		if err != nil {
			return err
		}
		recs = append(recs, r)
		return nil
	}
	for _, a := range args {
		if !strings.ContainsAny(a, "*?[") {
			r, err := run.Find(root, a)
			if err != nil {
				return nil, err
			}
			if err := add(r.ID); err != nil {
				return nil, err
			}
			continue
		}
		n := 0
		for _, s := range list {
			ok, err := path.Match(a, s.ID)
			if err != nil {
				return nil, usageError(fmt.Errorf("pattern %q: %w", a, err))
			}
			if ok {
				n++
				if err := add(s.ID); err != nil {
					return nil, err
				}
			}
		}
		if n == 0 {
			return nil, fmt.Errorf("no run under %s matches %q; `%s` lists them", root, a,
				run.Command(root, "runs", "ls"))
		}
	}
	for _, s := range list {
		if all && s.Status == run.StatusBroken {
			fmt.Fprintf(streams.Err, "left out: %s is broken: %s\n", s.ID, s.Detail)
		}
		if all && s.Status == run.StatusFinished {
			if err := add(s.ID); err != nil {
				return nil, err
			}
		}
	}
	if len(recs) == 0 {
		return nil, fmt.Errorf("there is no finished run under %s", root)
	}
	return recs, nil
}
