package report

import (
	"slices"

	"dla/internal/run"
)

// StudyTable is the table of what a command ran: recs are the runs of one study. Of a single training it is empty,
// unless the training has a table of its own.
func StudyTable(recs []run.Record) (string, error) {
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
	table, _, err := OwnTable(recs[0])
	return table, err
}
