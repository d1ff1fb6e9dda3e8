package document

import (
	"fmt"
	"path/filepath"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/run"
	"dla/internal/sweep"
	"dla/internal/table"
)

// notRun lists what the studies lack: runs that were stopped, with the command that continues each, and runs that were
// never begun.
func notRun(c *Content) (blocks []Block, err error) {
	t := table.New("lrll", "run", "seed", "state", "command that continues")
	for _, r := range c.Runs {
		if r.Status == run.StatusFinished || sweep.Is(filepath.Dir(r.Dir)) { // trials are told of with their sweep
			continue
		}
		state := string(r.Status)
		if n := len(r.Metrics); n > 0 {
			state += fmt.Sprintf(" after epoch %d", n)
			if all := epochsOf(r); all > 0 {
				state += fmt.Sprintf(" of %d", all)
			}
		}
		if r.Detail != "" {
			state += ": " + r.Detail
		}
		command := run.Command(filepath.Dir(r.Dir), "runs", "resume", r.ID)
		if r.Status == run.StatusRunning {
			command = "it is running"
		}
		t.Row(r.Variant, r.Seed, state, command)
	}
	begun := len(t.Rows)
	for _, m := range c.Missing {
		t.Row(m.Variant, m.Seed, m.State, m.Command)
	}
	if len(t.Rows) > 0 {
		blocks = append(blocks, Block{Table: t})
	}
	if len(t.Rows) > begun {
		blocks = append(blocks, Block{Text: "Not begun is what the commands would make now, with the configuration files " +
			"that they name."})
	}
	for _, u := range c.Unknown {
		blocks = append(blocks, Block{Text: fmt.Sprintf("Whether this study is complete cannot be told: %s.", u.Why)},
			Block{Code: u.Command})
	}
	if len(blocks) == 0 {
		blocks = []Block{{Text: "Nothing is missing: every run that the commands above ask for is finished."}}
	}
	return blocks, nil
}

// epochsOf returns the number of epochs that r is to train, 0 where it trains none.
func epochsOf(r run.Record) int {
	s, err := labs.Settings(r)
	if err != nil {
		return 0
	}
	v, err := config.Get(s, "train.epochs")
	if err != nil {
		return 0
	}
	n, _ := v.(int)
	return n
}
