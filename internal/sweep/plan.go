// Package sweep keeps a study of many trainings in a folder: a plan of numbered trials, which processes on one or many
// machines claim, and what came of them. There is no server and no database:
//
//	plan.jsonl       a line on the study, then a line for each trial: its settings, numbered once and for ever
//	claims/N-K       who makes, or made, the K-th attempt at trial N, and what came of it (claim.go)
//	00007-NAME/      the run of trial 7, an ordinary run: the folder is one of runs as well
//	data.json        which data the trials are trained on, by name and fingerprint
//	trials.csv, results.md, figures/   derived from the above, and drawn again at will
//
// A trial is a training of its own, validated after each epoch. Trials are compared by validation alone; the test set
// is touched for the winner, in a step of its own.
package sweep

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/config"
	"dla/internal/plainfile"
)

// Study is the first line of plan.jsonl: what all trials share.
type Study struct {
	Format     int       `json:"format"`
	Experiment string    `json:"experiment"` // in records: lab1/resnet
	Command    []string  `json:"command"`    // the arguments that made the plan, or last extended it
	Objective  Objective `json:"objective"`
	Stop       Stop      `json:"stop"`
	Retries    int       `json:"retries"` // attempts after a failed one
	Epochs     int       `json:"epochs"`  // of a trial that is not stopped
	Varied     []Varied  `json:"varied"`  // settings that differ between trials, without the seed
	Base       string    `json:"base"`    // settings of trial 1, YAML
}

// Varied is a setting that differs between trials.
type Varied struct {
	Key  string          `json:"key"`
	Base json.RawMessage `json:"base"` // its value in the base
}

// Trial is one training of the plan.
type Trial struct {
	N        int                        `json:"trial"`    // from 1
	Settings int                        `json:"settings"` // from 1; trials with equal settings but for the seed share it
	Seed     uint64                     `json:"seed"`
	Set      map[string]json.RawMessage `json:"set,omitempty"` // settings that differ from the base
}

// key identifies the settings of t in its plan, without the seed.
func (t Trial) key() string {
	b, err := json.Marshal(t.Set)
	if err != nil {
		panic(err) // unreachable: the values are JSON
	}
	return string(b)
}

// Line formats what distinguishes t from other trials: train.lr=0.05 seed 1.
func (s Study) Line(t Trial) string {
	var parts []string
	for _, v := range s.Varied {
		parts = append(parts, v.Key+"="+plain(s.value(t, v)))
	}
	return strings.Join(append(parts, fmt.Sprintf("seed %d", t.Seed)), " ")
}

// value returns t's value of the setting v.
func (s Study) value(t Trial, v Varied) json.RawMessage {
	if x, ok := t.Set[v.Key]; ok {
		return x
	}
	return v.Base
}

// plain returns a setting's value as --set takes it.
func plain(v json.RawMessage) string {
	var word string
	if json.Unmarshal(v, &word) == nil {
		return word
	}
	return string(v)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Plan is the content of plan.jsonl.
type Plan struct {
	Study
	Trials []Trial // trial N at N-1
}

const (
	planName  = "plan.jsonl"
	format    = 1
	maxPlan   = 1 << 30 // bytes
	claimsDir = "claims"
)

// Is reports whether the folder dir holds a sweep.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, planName))
	return err == nil
}

// New plans a trial for each of the settings, structs of one type with a seed, each once, in their order.
func New(study Study, settings []any) (*Plan, error) {
	study.Format = format
	p := &Plan{Study: study}
	base, err := config.Marshal(settings[0])
	if err != nil {
		return nil, err
	}
	p.Base = string(base)
	return p, p.add(settings[0], settings)
}

// add appends a trial for each of the settings that p has none for. base holds the settings of p.Base.
func (p *Plan) add(base any, settings []any) error {
	groups, have := map[string]int{}, map[string]bool{}
	for _, t := range p.Trials {
		k := t.key()
		groups[k], have[fmt.Sprint(k, t.Seed)] = t.Settings, true
	}
	for _, s := range settings {
		t, err := trialOf(base, s)
		if err != nil {
			return err
		}
		k := t.key()
		id := fmt.Sprint(k, t.Seed)
		if have[id] {
			continue
		}
		have[id] = true
		if groups[k] == 0 {
			groups[k] = len(groups) + 1
		}
		t.N, t.Settings = len(p.Trials)+1, groups[k]
		p.Trials = append(p.Trials, t)
		for _, key := range sortedKeys(t.Set) {
			if slices.ContainsFunc(p.Varied, func(v Varied) bool { return v.Key == key }) {
				continue
			}
			v, err := config.Get(base, key)
			if err != nil {
				return err
			}
			b, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			p.Varied = append(p.Varied, Varied{key, b})
		}
	}
	return nil
}

// trialOf returns the trial of settings, without its numbers.
func trialOf(base, settings any) (Trial, error) {
	t := Trial{}
	for k, v := range config.Differences(base, settings) {
		b, err := json.Marshal(v)
		if err != nil {
			return t, fmt.Errorf("%s: %w", k, err)
		}
		if k == "seed" {
			continue
		}
		if t.Set == nil {
			t.Set = map[string]json.RawMessage{}
		}
		t.Set[k] = b
	}
	seed, err := config.Get(settings, "seed")
	if err != nil {
		return t, err
	}
	t.Seed = seed.(uint64)
	return t, nil
}

// Set sets the settings of trial n in dst, a pointer to the experiment's defaults.
func (p *Plan) Set(n int, dst any) error {
	t, err := p.Trial(n)
	if err != nil {
		return err
	}
	if err := config.Load(dst, []byte(p.Base), planName+", base"); err != nil {
		return err
	}
	for _, k := range sortedKeys(t.Set) {
		if err := config.Assign(dst, k+"="+string(t.Set[k])); err != nil {
			return fmt.Errorf("%s, trial %d: %w", planName, n, err)
		}
	}
	return config.SetValue(dst, "seed", t.Seed)
}

// Trial returns trial n.
func (p *Plan) Trial(n int) (Trial, error) {
	if n < 1 || n > len(p.Trials) {
		return Trial{}, fmt.Errorf("there is no trial %d; the plan has trials 1 to %d", n, len(p.Trials))
	}
	return p.Trials[n-1], nil
}

// Change says what Extend did to a plan.
type Change struct {
	Added   int  // trials
	Missing int  // trials of the folder's plan that the new one lacks
	Retries bool // another number of retries
}

// Extend appends the trials of settings that p lacks. All that was planned stays, under its number. A study of another
// kind, or trials that settings lack, are an error, unless keep is set for the latter: the error says what differs.
func (p *Plan) Extend(study Study, settings []any, defaults any, keep bool) (Change, error) {
	if err := p.same(study); err != nil {
		return Change{}, err
	}
	if err := config.Load(defaults, []byte(p.Base), planName+", base"); err != nil {
		return Change{}, err
	}
	base := reflect.ValueOf(defaults).Elem().Interface()
	wanted := map[string]bool{}
	for _, s := range settings {
		t, err := trialOf(base, s)
		if err != nil {
			return Change{}, err
		}
		wanted[fmt.Sprint(t.key(), t.Seed)] = true
	}
	var c Change
	var first Trial
	for _, t := range p.Trials {
		if !wanted[fmt.Sprint(t.key(), t.Seed)] {
			if c.Missing++; c.Missing == 1 {
				first = t
			}
		}
	}
	if c.Missing > 0 && !keep {
		var differ []string // from the settings that the plan's trials share
		news, err := trialOf(base, settings[0])
		if err != nil {
			return c, err
		}
		for _, k := range sortedKeys(news.Set) {
			differ = append(differ, k+"="+plain(news.Set[k]))
		}
		if differ == nil {
			differ = []string{"the settings of trial 1"}
		}
		return c, fmt.Errorf("the plan there has %d trials that this command lacks, such as trial %d (%s); this "+
			"command's first has %s; give the same command, choose another folder with --out, or add this command's "+
			"trials to the others with --extend", c.Missing, first.N, p.Line(first), strings.Join(differ, " "))
	}
	n := len(p.Trials)
	err := p.add(base, settings)
	if c.Added = len(p.Trials) - n; c.Added > 0 {
		p.Command, p.Epochs = study.Command, max(p.Epochs, study.Epochs)
	}
	c.Retries = p.Retries != study.Retries
	p.Retries = study.Retries
	return c, err
}

// same returns an error where a plan for study is no plan of p's kind.
func (p *Plan) same(study Study) error {
	for _, d := range []struct {
		what      string
		old, here any
	}{
		{"experiment", p.Experiment, study.Experiment}, {"--objective", p.Objective, study.Objective},
		{"rule of early stopping", p.Stop, study.Stop}, {"number of epochs", p.Epochs, study.Epochs},
	} {
		if d.old != d.here && (d.what != "number of epochs" || p.Stop.Rule != "") {
			return fmt.Errorf("the plan there has another %s: %v, not %v; choose another folder with --out", d.what,
				d.old, d.here)
		}
	}
	return nil
}

// Write writes p into the folder dir, whole or not at all.
func (p *Plan) Write(dir string) error {
	if err := atomicfile.MkdirAll(filepath.Join(dir, claimsDir), 0o777); err != nil {
		return fmt.Errorf("no sweep can be kept in %s: %w; choose another folder with --out", dir, err)
	}
	_, _, err := atomicfile.Write(filepath.Join(dir, planName), func(w io.Writer) error {
		b := bufio.NewWriter(w)
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		if err := e.Encode(p.Study); err != nil {
			return err
		}
		for _, t := range p.Trials {
			if err := e.Encode(t); err != nil {
				return err
			}
		}
		return b.Flush()
	})
	return err
}

// Read reads the plan in the folder dir.
func Read(dir string) (*Plan, error) {
	path := filepath.Join(dir, planName)
	b, err := plainfile.Read(path, maxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no sweep: it has no %s; begin one with `dla sweep EXPERIMENT --out %s`", dir,
			planName, dir)
	}
	if err != nil {
		return nil, err
	}
	damaged := func(line int, err error) error {
		return fmt.Errorf("%s:%d is damaged: %w; put back a good copy, or give the sweep's command again in another "+
			"folder", path, line, err)
	}
	p := &Plan{}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&p.Study); err != nil {
		return nil, damaged(1, err)
	}
	if p.Format != format {
		return nil, fmt.Errorf("%s has format %d, and this version of dla reads format %d; use the version that made "+
			"it", path, p.Format, format)
	}
	for n := 1; ; n++ {
		var t Trial
		err := d.Decode(&t)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && (t.N != n || t.Settings < 1 || t.Settings > n) {
			err = fmt.Errorf("trial %d with settings %d is out of order", t.N, t.Settings)
		}
		if err != nil {
			return nil, damaged(n+1, err)
		}
		p.Trials = append(p.Trials, t)
	}
	if len(p.Trials) == 0 {
		return nil, damaged(2, errors.New("it has no trials"))
	}
	if err := p.Check(); err != nil {
		return nil, damaged(1, err)
	}
	return p, nil
}

// Check returns an error for a study that cannot be made.
func (s Study) Check() error {
	if s.Epochs < 1 || s.Retries < 0 {
		return errors.New("it has negative numbers")
	}
	if err := s.Objective.check(); err != nil {
		return err
	}
	return s.Stop.Check(s.Epochs)
}
