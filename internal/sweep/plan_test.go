package sweep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dla/internal/config"
)

// rates returns the settings of an MLP with each of the rates, from so many seeds.
func rates(seeds int, lr ...float64) []any {
	var all []any
	for _, r := range lr {
		for s := range seeds {
			c := config.DefaultResnet()
			c.Train.LR, c.Seed, c.Train.Epochs = r, uint64(s), 9
			all = append(all, c)
		}
	}
	return all
}

// study is one of the settings of rates.
func study() Study {
	return Study{Experiment: "lab1/resnet", Objective: Objective{Measure: ValAccuracy}, Epochs: 9, Retries: 2}
}

// defaults returns a pointer to the settings that a plan is read over.
func defaults() *config.Resnet { c := config.DefaultResnet(); return &c }

func planned(t *testing.T, s Study, settings []any) *Plan {
	t.Helper()
	p, err := New(s, settings)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPlansAreForEver: what is planned keeps its number and its settings when a plan is written, read and extended.
func TestPlansAreForEver(t *testing.T) {
	dir := t.TempDir()
	p := planned(t, study(), rates(2, 0.1, 0.2))
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	p, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Extend(study(), rates(3, 0.3, 0.2), defaults(), false); err == nil ||
		!strings.Contains(err.Error(), "has 2 trials that this command lacks, such as trial 1 (train.lr=0.1 seed 0)") {
		t.Errorf("another plan: %v", err)
	}
	c, err := p.Extend(study(), rates(3, 0.3, 0.2, 0.1), defaults(), false)
	if err != nil || c.Added != 5 {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	if p, err = Read(dir); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		lr       float64
		seed     uint64
		settings int
	}{{0.1, 0, 1}, {0.1, 1, 1}, {0.2, 0, 2}, {0.2, 1, 2}, {0.3, 0, 3}, {0.3, 1, 3}, {0.3, 2, 3}, {0.2, 2, 2}, {0.1, 2, 1}}
	if len(p.Trials) != len(want) {
		t.Fatalf("%d trials", len(p.Trials))
	}
	for i, w := range want {
		got := *defaults()
		if err := p.Set(i+1, &got); err != nil {
			t.Fatal(err)
		}
		c := config.DefaultResnet()
		c.Train.LR, c.Seed, c.Train.Epochs = w.lr, w.seed, 9
		if d := config.Differences(c, got); len(d) > 0 || p.Trials[i].Settings != w.settings {
			t.Errorf("trial %d of settings %d differs in %v", i+1, p.Trials[i].Settings, d)
		}
	}
	again := study()
	again.Retries = 5
	if c, err := p.Extend(again, rates(3, 0.1, 0.2, 0.3), defaults(), false); err != nil || c != (Change{Retries: true}) ||
		p.Retries != 5 {
		t.Errorf("other retries: %+v, %v", c, err)
	}
	other := study()
	other.Objective.Measure = ValLoss
	if _, err := p.Extend(other, rates(3, 0.1, 0.2, 0.3), defaults(), true); err == nil ||
		!strings.Contains(err.Error(), "another --objective") {
		t.Errorf("another objective: %v", err)
	}
}

// TestEverySettingReturns: settings of every type come back from a plan as they were.
func TestEverySettingReturns(t *testing.T) {
	a, b := config.DefaultResnet(), config.DefaultFor("resnet20")
	b.Train.Milestones, b.Data.Name, b.Train.LR = []int{3, 5}, "a \"folder\" & #1", 1e-7
	b.Train.Muon.LR, b.Train.Nesterov, b.Model.Res, b.Seed = 0.123456789012345, true, true, 1<<63
	b.Test.Views = config.ShiftViews
	p := planned(t, study(), []any{a, b})
	got := *defaults()
	if err := p.Set(2, &got); err != nil {
		t.Fatal(err)
	}
	if d := config.Differences(b, got); len(d) > 0 {
		t.Errorf("these differ: %v", d)
	}
}

func TestDamagedPlans(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "holds no sweep") {
		t.Errorf("no plan: %v", err)
	}
	if err := planned(t, study(), rates(2, 0.1)).Write(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, planName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(good), "\n")
	for name, text := range map[string]string{
		"is damaged":           "",
		"has format 2":         strings.Replace(string(good), `"format":1`, `"format":2`, 1),
		"no trials":            lines[0],
		"out of order":         lines[0] + lines[2] + lines[1],
		"plan.jsonl:3 is":      string(good[:len(good)-9]),
		"the objective is \"x": strings.Replace(string(good), ValAccuracy, "x", 1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// TestTenThousandTrials: a plan of 10,000 trials is made, written, read, and the state of all trials found, in less
// than a second each; here in many, since tests share a machine. The long test has a claim for each.
func TestTenThousandTrials(t *testing.T) { tenThousandTrials(t, 1000) }

func tenThousandTrials(t *testing.T, claims int) {
	var lr []float64
	for i := range 10000 {
		lr = append(lr, 1e-5*float64(i+1))
	}
	settings := rates(1, lr...)
	dir := t.TempDir()
	mark := time.Now()
	lap := func(what string) {
		d := time.Since(mark)
		t.Logf("%s: %s", what, d.Round(time.Millisecond))
		if d > 20*time.Second {
			t.Errorf("%s took %s", what, d)
		}
		mark = time.Now()
	}
	p := planned(t, study(), settings)
	lap("planned")
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	lap("written")
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	lap("read")
	for n := range claims {
		text := `{"owner":"x","status":"trained","seconds":3.25,"curve":[0.5,0.6,0.7,0.8,0.9,0.91,0.92,0.925,0.93]}` + "\n"
		if err := os.WriteFile(filepath.Join(dir, claimsDir, claimName(n+1, 1)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mark = time.Now()
	states, err := f.Look()
	if err != nil {
		t.Fatal(err)
	}
	lap("status")
	if task, busy := f.Plan.next(states, 0); (task == nil) != (claims == 10000) || busy {
		t.Errorf("next: %+v", task)
	}
	lap("next")
	if states, err = f.Look(); err != nil {
		t.Fatal(err)
	}
	lap("status again")
	if r := f.Plan.Results(states); len(r.Settings) != 10000 || r.Winner() == nil {
		t.Errorf("%d settings", len(r.Settings))
	}
	lap("results")
}
