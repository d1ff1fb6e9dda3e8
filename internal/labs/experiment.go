// Package labs holds the experiments, one file each: the story from data to figure. An Experiment opens the Job of its
// settings, Do makes a run of a Job, and Study makes those of several. To add an experiment is to write its file and to
// enter it in Experiments.
package labs

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"time"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/engine"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
)

// Experiments are all there are, in the order of the course.
func Experiments() []Experiment {
	return []Experiment{resnet(), distillation(), baseline(), finetune(), fgsm(), autoencoder(), oodDetection(), robust()}
}

// Experiment is a kind of run.
type Experiment struct {
	Name     string               // in records: lab1/resnet
	Settings func() any           // a pointer to the settings that those of a record are read over
	Result   func() record.Result // a pointer to an empty result

	// Check looks whether all that the settings name is there, before any data is read; nil where they name nothing.
	Check func(settings any, opt Options) error
	// Open reads what a run of the settings depends on: data, networks.
	Open func(ctx context.Context, settings any, opt Options) (Job, error)
	// Plan says what a run of the settings will cost. It reads no data.
	Plan func(settings any, opt Options) (Plan, error)
}

// settings is what an experiment's settings are: a struct of internal/config.
type settings interface{ Validate() error }

// newExperiment is the experiment called name, of settings of one type.
func newExperiment[C settings, R any, P interface {
	*R
	record.Result
}](name string, defaults func() C, open func(context.Context, C, Options) (Job, error), plan func(C, Options) (Plan, error)) Experiment {
	return Experiment{
		Name:     name,
		Settings: func() any { c := defaults(); return &c },
		Result:   func() record.Result { return P(new(R)) },
		Open:     func(ctx context.Context, c any, opt Options) (Job, error) { return open(ctx, c.(C), opt) },
		Plan:     func(c any, opt Options) (Plan, error) { return plan(c.(C), opt) },
	}
}

// checked is e with the check of what its settings name.
func checked[C settings](e Experiment, check func(C, Options) error) Experiment {
	e.Check = func(c any, opt Options) error { return check(c.(C), opt) }
	return e
}

// find is the experiment called name in records; ok is false where this version has none.
func find(name string) (e Experiment, ok bool) {
	for _, e := range Experiments() {
		if e.Name == name {
			return e, true
		}
	}
	return e, false
}

// experimentOf is the experiment whose settings these are.
func experimentOf(settings any) Experiment {
	for _, e := range Experiments() {
		if reflect.TypeOf(e.Settings()).Elem() == reflect.TypeOf(settings) {
			return e
		}
	}
	panic(fmt.Sprintf("%T is of no experiment", settings)) // a mistake in this program
}

// Settings are those that rec was made with, read over the experiment's defaults, as a record of an older version lacks
// the settings that have come since.
func Settings(rec run.Record) (any, error) {
	e, ok := find(rec.Experiment)
	if !ok {
		return nil, fmt.Errorf("run %s is of experiment %q, which this version of dla does not know", rec.ID, rec.Experiment)
	}
	c := e.Settings()
	if err := config.Load(c, rec.Config, filepath.Join(rec.ID, "config.yaml")); err != nil {
		return nil, err
	}
	if err := c.(settings).Validate(); err != nil {
		return nil, err
	}
	return reflect.ValueOf(c).Elem().Interface(), nil
}

// settingsOf are Settings of one type; rec must be of its experiment.
func settingsOf[C settings](rec run.Record) (c C, err error) {
	all, err := Settings(rec)
	if err != nil {
		return c, err
	}
	c, ok := all.(C)
	if !ok {
		return c, fmt.Errorf("run %s is of experiment %s", rec.ID, rec.Experiment)
	}
	return c, nil
}

// Known says whether this version has the experiment called name in records.
func Known(name string) bool {
	_, ok := find(name)
	return ok
}

// ResultOf is the result of a finished run.
func ResultOf(rec run.Record) (record.Result, error) {
	e, ok := find(rec.Experiment)
	if !ok {
		return nil, fmt.Errorf("run %s is of experiment %q, which this version of dla does not know", rec.ID, rec.Experiment)
	}
	res := e.Result()
	return res, record.Read(rec, res)
}

// Job is one run to be made.
type Job interface {
	// Spec is what its record begins with. Of Env it says the data alone.
	Spec() run.Spec
	// Run makes the run, or goes on with it where r was stopped before. An error that wraps the cause of an ended ctx,
	// or a *stopped, leaves a run that can go on.
	Run(ctx context.Context, r *run.Run, opt Options) (record.Result, error)
}

// Options do not change the results of a run.
type Options struct {
	Root    string                                      // where run directories go
	MaxTime time.Duration                               // of this process; 0: none
	Profile func(variant string, costs []engine.OpCost) // gets what each op of the training steps took; nil: not timed
	Resume  bool                                        // reuse finished runs of the same settings and data, continue interrupted and failed ones
	Data    data.Options
	Env     run.Env // version, machine and command; Do adds the data
	Sink    train.Sink
	Say     func(format string, args ...any) // one line to the user

	KeepCheckpoints bool // of finished trainings too, which need their best weights alone

	OtherKernels bool // go on with runs that other kernels began: in other bits, as their records then say

	deadline time.Time   // by MaxTime; zero: none
	loaded   *loaded     // what the jobs of a study share
	goesOn   *run.Record // the run that is continued; nil: a new one
}

// begun is opt as a study begins: its time runs, and nothing is loaded.
func (o Options) begun() Options {
	if o.loaded == nil {
		o.loaded = &loaded{}
	}
	if o.MaxTime > 0 && o.deadline.IsZero() {
		o.deadline = time.Now().Add(o.MaxTime)
	}
	return o
}

// timeLeft is what remains of MaxTime, as train.Job takes it: 0 is no limit.
func (o Options) timeLeft() time.Duration {
	if o.deadline.IsZero() {
		return 0
	}
	return max(time.Nanosecond, time.Until(o.deadline))
}

// loaded is what the jobs of a study have read, by what it is.
type loaded struct{ all map[string]any }

// once is what read gives, read for the first job of a study alone. key says what it is.
func once[T any](opt Options, key string, read func() (T, error)) (T, error) {
	if v, ok := opt.loaded.all[key]; ok {
		return v.(T), nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	if opt.loaded.all == nil {
		opt.loaded.all = map[string]any{}
	}
	opt.loaded.all[key] = v
	return v, nil
}
