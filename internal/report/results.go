package report

import (
	"fmt"
	"slices"
	"strings"

	"dla/internal/run"
	"dla/internal/table"
)

// Set is runs on the same data.
type Set struct {
	Title string // display name of the data, with the fingerprint where two sets of a name differ
	Runs  []run.Record
}

// Sets divides recs by their data, in their order.
func Sets(recs []run.Record) []Set {
	var sets []Set
	for _, r := range recs {
		i := slices.IndexFunc(sets, func(s Set) bool { return s.Runs[0].Fingerprint == r.Fingerprint })
		if i < 0 {
			i = len(sets)
			sets = append(sets, Set{Title: setName(r)})
		}
		sets[i].Runs = append(sets[i].Runs, r)
	}
	for i := range sets {
		twin := func(s Set) bool {
			return setName(s.Runs[0]) == setName(sets[i].Runs[0]) && s.Runs[0].Fingerprint != sets[i].Runs[0].Fingerprint
		}
		if slices.ContainsFunc(sets, twin) {
			sets[i].Title += fmt.Sprintf(" (fingerprint %.8s)", sets[i].Runs[0].Fingerprint)
		}
	}
	return sets
}

// Results returns the tables of the finished runs among recs, grouped over seeds: those on each set of data, each kind
// of experiment with its own. Their notes follow.
func Results(recs []run.Record) (table.Tables, error) {
	recs = slices.DeleteFunc(slices.Clone(recs), func(r run.Record) bool { return r.Result == nil })
	var all table.Tables
	sets := Sets(recs)
	for _, s := range sets {
		ts, err := resultsOf(s.Runs)
		if err != nil {
			return nil, err
		}
		for _, t := range ts.All() {
			if len(sets) > 1 {
				t.Title = strings.TrimPrefix(t.Title+", "+s.Title, ", ")
			}
		}
		all = append(all, ts...)
	}
	var notes []string
	for _, r := range recs {
		if r.Note != "" {
			notes = append(notes, r.ID+": "+r.Note)
		}
	}
	if notes != nil {
		all.Say("%s", strings.Join(notes, "\n"))
	}
	return all, nil
}

// resultsOf is Results of runs on the same data.
func resultsOf(recs []run.Record) (all table.Tables, err error) {
	is := func(experiments ...string) func(run.Record) bool {
		return func(r run.Record) bool { return slices.Contains(experiments, r.Experiment) }
	}
	rest := recs
	if slices.ContainsFunc(recs, is("lab1/distill")) { // with the networks that it compares with
		both := is("lab1/distill", "lab1/resnet")
		var its []run.Record
		for _, r := range recs {
			if both(r) {
				its = append(its, r)
			}
		}
		if all, err = Distillation(its); err != nil {
			return nil, err
		}
		rest = slices.DeleteFunc(slices.Clone(recs), both)
	}
	if len(rest) > 0 {
		ts, err := Tables(rest)
		if err != nil {
			return nil, err
		}
		all = append(all, ts...)
	}
	robust := slices.DeleteFunc(slices.Clone(recs), func(r run.Record) bool { return r.Experiment != "lab4/robust" })
	if len(robust) > 0 {
		ts, err := Robust(robust)
		if err != nil {
			return nil, err
		}
		all = append(all, ts...)
	}
	return all, nil
}
