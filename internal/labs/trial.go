package labs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"dla/internal/run"
	"dla/internal/train"
)

// Trained is the reason of a training that is done and was not evaluated on the test set: see Part.
const Trained train.Reason = "trained"

// Part says how far Trial takes a training.
type Part struct {
	// Untested leaves out the evaluation on the test set: the training is then to be compared with others, which are
	// selected by validation. Trial without it evaluates a training that is done, and ends in the bits of a run that
	// was evaluated at once.
	Untested bool
	Halt     func(epochs int) bool // see train.Job; nil: never
	Guard    func() error          // see run.Run; nil: none
	// Data is called, where not nil, before anything is recorded, with the name and the fingerprint of the data that were
	// found here. An error ends the trial.
	Data func(name, fingerprint string) error
}

// checkData calls p.Data with job's data.
func (p Part) checkData(job Job) error {
	if p.Data == nil {
		return nil
	}
	d := job.Spec().Env.Data
	return p.Data(d.Name, d.Fingerprint)
}

// Sharing returns opt for several calls of Trial, which then share what they read.
func (o Options) Sharing() Options { return o.begun() }

// NewSettings returns a pointer to the default settings of the experiment called name in records.
func NewSettings(name string) (any, error) {
	e, ok := find(name)
	if !ok {
		return nil, fmt.Errorf("this version of dla does not know the experiment %q", name)
	}
	return e.Settings(), nil
}

// ExperimentOf returns the name in records of the experiment that the settings belong to.
func ExperimentOf(settings any) string { return experimentOf(settings).Name }

// SelectsByLoss reports whether the trainings of the experiment called name select the epoch by the smallest validation
// loss, not by the highest validation accuracy.
func SelectsByLoss(name string) bool {
	return name == BaselineExperiment || name == FinetuneExperiment || name == AutoencoderExperiment
}

// Check returns an error if something that the settings name is missing. It reads no data.
func Check(settings any, opt Options) error {
	if e := experimentOf(settings); e.Check != nil {
		return e.Check(settings, opt.begun())
	}
	return nil
}

// Trial makes, or goes on with, the run called id under opt.Root, a training of the settings, as far as p says.
func Trial(ctx context.Context, settings any, id string, p Part, opt Options) (Outcome, error) {
	if v := reflect.ValueOf(settings); v.Kind() == reflect.Pointer {
		settings = v.Elem().Interface()
	}
	opt = opt.begun()
	opt.part, opt.began, opt.Resume = p, time.Now(), true
	if _, err := os.Lstat(filepath.Join(opt.Root, id)); errors.Is(err, fs.ErrNotExist) {
		return open(ctx, settings, opt, func(job Job) (Outcome, error) {
			if err := p.checkData(job); err != nil {
				return Outcome{}, err
			}
			r, err := run.CreateAs(opt.Root, id, specOf(job, opt))
			if err != nil {
				return Outcome{}, err
			}
			return finish(ctx, r, job, opt)
		})
	}
	rec, err := run.Find(opt.Root, id)
	if err != nil {
		return Outcome{}, err
	}
	if rec.Status == run.StatusFinished {
		return reused(rec, opt)
	}
	if err := rec.SameKernels(opt.Env); err != nil && !opt.OtherKernels {
		return Outcome{}, err
	}
	opt.goesOn = &rec
	return open(ctx, settings, opt, func(job Job) (Outcome, error) {
		if err := errors.Join(p.checkData(job), sameFingerprint(rec, job.Spec().Env.Data.Fingerprint)); err != nil {
			return Outcome{}, err
		}
		if !sameSettings(rec, specOf(job, opt)) {
			return Outcome{}, fmt.Errorf("run %s was begun with other settings than those of its trial; remove it with "+
				"`%s`, and the trial begins anew", rec.ID, rec.Command("rm"))
		}
		return goOn(ctx, rec, job, opt)
	})
}
