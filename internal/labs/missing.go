package labs

import (
	"slices"

	"dla/internal/config"
	"dla/internal/report"
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
			p.Variant, p.Seed, p.settings = plan.Variant, plan.Seed, plan.Config
		}
		if seed, err := config.Get(t.Settings, "seed"); err == nil {
			p.Seed, _ = seed.(uint64)
		}
		all = append(all, p)
	}
	return all
}

// Missing returns the runs of planned that recs lack. A record stands for one run, of the same experiment and settings;
// what the planned settings leave empty, such as the weights of an encoder, a run records as it found it.
func Missing(planned []Planned, recs []run.Record) []Planned {
	settings := make([]map[string]string, len(recs))
	for i, r := range recs {
		if c, err := Settings(r); err == nil {
			settings[i] = flat(c)
		}
	}
	taken := make([]bool, len(recs))
	return slices.DeleteFunc(slices.Clone(planned), func(p Planned) bool {
		want := flat(p.settings)
		for i, r := range recs {
			if !taken[i] && r.Experiment == p.Experiment && fits(want, settings[i]) {
				taken[i] = true
				return true
			}
		}
		return false
	})
}

// flat returns settings by their keys; nil for none.
func flat(settings any) map[string]string {
	yaml, err := config.Marshal(settings)
	if err != nil {
		return nil
	}
	all, err := report.Flatten(run.Record{Config: yaml})
	if err != nil {
		return nil
	}
	return all
}

// fits reports whether the settings got are those of want, where these are not empty.
func fits(want, got map[string]string) bool {
	if want == nil || len(want) != len(got) {
		return false
	}
	for k, v := range want {
		if g, ok := got[k]; !ok || v != "" && v != "[]" && v != g {
			return false
		}
	}
	return true
}
