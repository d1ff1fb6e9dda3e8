package document

import (
	"fmt"
	"path/filepath"

	"dla/internal/data"
	"dla/internal/report"
	"dla/internal/run"
	"dla/internal/sweep"
)

// sweeps shows the tables and figures of the sweeps that the runs are trials of, with all of their trials.
func sweeps(c *Content) (blocks []Block, err error) {
	for i, dir := range unique(c.Runs, func(r run.Record) string { return filepath.Dir(r.Dir) }) {
		if !sweep.Is(dir) {
			continue
		}
		f, err := sweep.Open(dir)
		if err != nil {
			return nil, err
		}
		states, err := f.Look()
		if err != nil {
			return nil, err
		}
		r := f.Plan.Results(states)
		r.Outside = f.Outside(states)
		blocks = append(blocks, Block{Text: fmt.Sprintf("The sweep of %s in %s: %s.", r.Experiment, filepath.Base(dir),
			sweep.Summary(states))})
		for _, p := range r.Tables() {
			blocks = append(blocks, Block{Table: p.Table, Text: p.Text})
		}
		name, warning := "", ""
		for _, rec := range c.Runs {
			if filepath.Dir(rec.Dir) != dir {
				continue
			}
			if name = data.Title(rec.Env.Data.Name); rec.Env.Data.Synthetic {
				warning = report.SyntheticNote(rec.Env.Data.Name)
			}
			break
		}
		figs, err := drawnBy(func(tmp string) ([]string, error) { return r.Figures(tmp, name, warning) })
		if err != nil {
			return nil, err
		}
		for _, fig := range figs {
			fig.Name = fmt.Sprintf("sweep-%d-%s", i+1, fig.Name)
			blocks = append(blocks, Block{Figure: fig})
		}
		blocks = append(blocks, Block{Code: run.Command("", "sweep", "run", dir)})
	}
	return blocks, nil
}
