package labs

import (
	"slices"

	"dla/internal/config"
	"dla/internal/run"
)

// Planned is a run that a study is to make.
type Planned struct {
	Experiment string
	Variant    string // "" where the settings name something that is missing here
	Seed       uint64

	settings any
}

// PlannedOf returns the runs of tasks but those that are reused from elsewhere, such as a teacher. It reads no data.
func PlannedOf(tasks []Task, opt Options) (all []Planned) {
	opt = opt.begun()
	for _, t := range tasks {
		if t.Reuse {
			continue
		}
		e := experimentOf(t.Settings)
		p := Planned{Experiment: e.Name, settings: t.Settings}
		if plan, err := e.Plan(t.Settings, opt); err == nil {
			p.Variant, p.Seed = plan.Variant, plan.Seed
		}
		if seed, err := config.Get(t.Settings, "seed"); err == nil {
			p.Seed, _ = seed.(uint64)
		}
		all = append(all, p)
	}
	return all
}

// Missing returns the runs of planned that recs lack: first by their settings, then by experiment, variant and seed,
// since a run may record more than was asked for, such as the weights that it found. A record stands for one of them.
func Missing(planned []Planned, recs []run.Record) []Planned {
	left := slices.Clone(recs)
	take := func(same func(run.Record) bool) bool {
		i := slices.IndexFunc(left, same)
		if i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
		return i >= 0
	}
	planned = slices.DeleteFunc(slices.Clone(planned), func(p Planned) bool {
		yaml, err := config.Marshal(p.settings)
		spec := run.Spec{Config: yaml}
		return err == nil && take(func(r run.Record) bool { return r.Experiment == p.Experiment && sameSettings(r, spec) })
	})
	return slices.DeleteFunc(planned, func(p Planned) bool {
		return take(func(r run.Record) bool {
			return r.Experiment == p.Experiment && r.Variant == p.Variant && r.Seed == p.Seed
		})
	})
}
