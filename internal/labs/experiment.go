// Package labs holds the experiments, each from data to figure in one file. An Experiment opens a Job from its
// settings, Do makes a run of a Job, and Study makes the runs of several. A new experiment needs its own file and an
// entry in Experiments.
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

// Experiments returns all experiments, in the order of the course.
func Experiments() []Experiment {
	return []Experiment{resnet(), distillation(), baseline(), finetune(), fgsm(), autoencoder(), oodDetection(),
		robust()}
}

// Experiment opens and plans the runs of one kind.
type Experiment struct {
	Name     string               // in records: lab1/resnet
	Settings func() any           // a pointer to the defaults that a record's settings are read over
	Result   func() record.Result // a pointer to an empty result

	// Check returns an error if something that the settings name is missing. It reads no data. nil: nothing to check.
	Check func(settings any, opt Options) error
	// Open reads the data and networks that a run of the settings needs.
	Open func(ctx context.Context, settings any, opt Options) (Job, error)
	// Plan estimates the cost of a run of the settings. It reads no data.
	Plan func(settings any, opt Options) (Plan, error)
}

// settings is implemented by the settings of every experiment, structs of internal/config.
type settings interface{ Validate() error }

// newExperiment returns the experiment called name with settings of type C and results of type R.
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

// checked returns e with a Check.
func checked[C settings](e Experiment, check func(C, Options) error) Experiment {
	e.Check = func(c any, opt Options) error { return check(c.(C), opt) }
	return e
}

// find returns the experiment called name in records, or what stands for one of an imported network. ok is false if
// this version does not know it.
func find(name string) (e Experiment, ok bool) {
	for _, e := range append(Experiments(), imported()) {
		if e.Name == name {
			return e, true
		}
	}
	return e, false
}

// experimentOf returns the experiment that the settings belong to.
func experimentOf(settings any) Experiment {
	for _, e := range Experiments() {
		if reflect.TypeOf(e.Settings()).Elem() == reflect.TypeOf(settings) {
			return e
		}
	}
	// unreachable: every type of settings belongs to an experiment
	panic(fmt.Sprintf("%T is of no experiment", settings))
}

// Settings returns the settings of rec, read over the experiment's defaults, since an older record lacks settings added
// later. An unknown experiment and invalid settings are errors.
func Settings(rec run.Record) (any, error) {
	e, ok := find(rec.Experiment)
	if !ok {
		return nil, fmt.Errorf("run %s is of experiment %q, which this version of dla does not know", rec.ID,
			rec.Experiment)
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

// settingsOf returns Settings as type C. A record of another experiment is an error.
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

// Known reports whether this version has the experiment called name in records.
func Known(name string) bool {
	_, ok := find(name)
	return ok
}

// ResultOf returns the result of a finished run.
func ResultOf(rec run.Record) (record.Result, error) {
	e, ok := find(rec.Experiment)
	if !ok {
		return nil, fmt.Errorf("run %s is of experiment %q, which this version of dla does not know", rec.ID,
			rec.Experiment)
	}
	res := e.Result()
	return res, record.Read(rec, res)
}

// Job is one run to make.
type Job interface {
	// Spec returns what the run records when it begins. Its Env holds the data alone.
	Spec() run.Spec
	// Run makes the run, or continues it if r was stopped before. An error that wraps the cause of a cancelled ctx, or
	// a *stopped, leaves a run that can be resumed.
	Run(ctx context.Context, r *run.Run, opt Options) (record.Result, error)
}

// Options holds settings that do not affect the results of a run.
type Options struct {
	Root    string                                      // folder of run directories
	MaxTime time.Duration                               // of this process; 0: none
	Profile func(variant string, costs []engine.OpCost) // receives the times of the training steps' ops; nil: not timed
	Resume  bool                                        // reuse finished runs, continue interrupted and failed ones
	Data    data.Options
	Env     run.Env // version, machine and command; Do adds the data
	Sink    train.Sink
	Say     func(format string, args ...any) // prints one line for the user

	// DataAt is the path of the user's own data, or the set, that takes the place of the one that a record names: where
	// the data lie now.
	DataAt string

	TensorBoard bool // keep event files for TensorBoard; a run that was begun with them keeps them anyway

	KeepCheckpoints bool // keep the checkpoints of finished trainings, not their best weights alone

	OtherKernels bool // continue runs begun with other kernels, with other bits, as their records then say

	part     Part        // of a trial's training; zero: all of it
	deadline time.Time   // from MaxTime; zero: none
	loaded   *loaded     // shared by the jobs of a study
	goesOn   *run.Record // the run to continue; nil: a new one
	began    time.Time   // when the work on this run began; zero: with the process
}

var processBegan = time.Now()

// elapsed returns the seconds since the work on a run began, with the reading of its data: since the start of the
// process for its first run. It returns nil for a continued run, whose earlier processes are not known.
func (o Options) elapsed() *float64 {
	if o.goesOn != nil {
		return nil
	}
	began := o.began
	if began.IsZero() {
		began = processBegan
	}
	s := time.Since(began).Seconds()
	return &s
}

// begun returns o at the start of a study: MaxTime starts to run, and nothing is loaded.
func (o Options) begun() Options {
	if o.loaded == nil {
		o.loaded = &loaded{}
	}
	if o.MaxTime > 0 && o.deadline.IsZero() {
		o.deadline = time.Now().Add(o.MaxTime)
	}
	return o
}

// timeLeft returns the rest of MaxTime for train.Job: 0 means no limit.
func (o Options) timeLeft() time.Duration {
	if o.deadline.IsZero() {
		return 0
	}
	return max(time.Nanosecond, time.Until(o.deadline))
}

// loaded holds what the jobs of a study have read, by key.
type loaded struct{ all map[string]any }

// once calls read for the first job of a study and returns its value for all of them. key identifies the value.
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
