package report

import (
	"slices"

	"dla/internal/run"
	"dla/internal/table"
)

// StudyTable returns the table that a command prints after a study, whose runs are recs. It is empty for a single
// training without a table of its own.
func StudyTable(recs []run.Record) (table.Tables, error) {
	has := func(experiment string) bool {
		return slices.ContainsFunc(recs, func(r run.Record) bool { return r.Experiment == experiment })
	}
	switch {
	case has("lab4/robust"):
		return Robust(recs)
	case has("lab1/distill") && len(recs) > 1:
		return Distillation(recs)
	case len(recs) > 1:
		return Tables(recs)
	}
	own, _, err := OwnTable(recs[0])
	return own, err
}
