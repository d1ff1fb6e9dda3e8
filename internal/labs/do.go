package labs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"dla/internal/config"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
)

// Outcome is the outcome of making a run.
type Outcome struct {
	ID, Dir string // empty if it was stopped before the run was made
	Variant string
	Seed    uint64
	Reason  train.Reason
	Result  record.Result // nil unless Done
	Reused  bool          // it is an earlier finished run with the same settings and data
	Figures []string
	Seconds float64 // of training, by all processes of the run, where it did not fail
}

// Done reports whether the run is finished.
func (o Outcome) Done() bool { return o.Result != nil }

// stopped is the error of a run that was stopped and can be resumed.
type stopped struct {
	reason  train.Reason
	detail  string
	seconds float64
}

func (s *stopped) Error() string { return "stopped: " + string(s.reason) }

// unfinished is the error of a stopped run that another run needs.
type unfinished struct{ Outcome }

func (u *unfinished) Error() string { return fmt.Sprintf("run %s was stopped: %s", u.ID, u.Reason) }

// Task is a run of a study.
type Task struct {
	Settings any  // of internal/config
	Reuse    bool // reuse a finished run with the same settings and data, even without Options.Resume
}

// Study makes the runs of tasks, one after the other. It checks what they name before the first begins, and reads what
// they share once. It stops at the first run that is interrupted or out of time (see its Reason). It calls each with
// the index and outcome of every run.
func Study(ctx context.Context, tasks []Task, opt Options, each func(i int, o Outcome)) ([]Outcome, error) {
	opt = opt.begun()
	for _, t := range tasks {
		if e := experimentOf(t.Settings); e.Check != nil {
			if err := e.Check(t.Settings, opt); err != nil {
				return nil, err
			}
		}
	}
	var all []Outcome
	for i, t := range tasks {
		its := opt
		its.Resume = opt.Resume || t.Reuse
		if i > 0 {
			its.began = time.Now()
		}
		o, err := open(ctx, t.Settings, its, func(job Job) (Outcome, error) { return Do(ctx, job, its) })
		if err != nil {
			return all, err
		}
		all = append(all, o)
		each(i, o)
		if !o.Done() {
			break
		}
	}
	return all, nil
}

// open opens the job of settings and passes it to do. If opening is interrupted, the outcome says so.
func open(ctx context.Context, settings any, opt Options, do func(Job) (Outcome, error)) (Outcome, error) {
	job, err := experimentOf(settings).Open(ctx, settings, opt)
	var first *unfinished
	switch {
	case errors.As(err, &first):
		return first.Outcome, nil
	case err != nil && interrupted(ctx):
		o := Outcome{Reason: train.Interrupted}
		if rec := opt.goesOn; rec != nil {
			o.ID, o.Dir, o.Variant, o.Seed = rec.ID, rec.Dir, rec.Variant, rec.Seed
		}
		return o, nil
	case err != nil:
		return Outcome{}, err
	}
	return do(job)
}

func interrupted(ctx context.Context) bool { return ctx.Err() != nil }

// Do makes a run of job. With opt.Resume it returns a finished run with the same settings and data, or continues an
// interrupted or failed one.
func Do(ctx context.Context, job Job, opt Options) (Outcome, error) {
	opt = opt.begun()
	spec := specOf(job, opt)
	if opt.Resume {
		rec, err := earlier(opt.Root, spec, job)
		if err != nil {
			return Outcome{}, err
		}
		if rec != nil && rec.Status == run.StatusFinished {
			return reused(*rec, opt)
		}
		if rec != nil {
			return goOn(ctx, *rec, job, opt)
		}
	}
	r, err := run.Create(opt.Root, spec)
	if err != nil {
		return Outcome{}, err
	}
	return finish(ctx, r, job, opt)
}

// specOf returns what a new run of job records when it begins.
func specOf(job Job, opt Options) run.Spec {
	spec := job.Spec()
	env := opt.Env
	env.Data = spec.Env.Data
	spec.Env = env
	return spec
}

// Resume continues the interrupted run id of any experiment, on the data it began with.
func Resume(ctx context.Context, id string, opt Options) (Outcome, error) {
	rec, err := run.Find(opt.Root, id)
	if err != nil {
		return Outcome{}, err
	}
	if rec.Status == run.StatusFinished {
		return Outcome{}, fmt.Errorf("run %s is finished and stays as it is; see it with `%s`", rec.ID,
			rec.Command("show"))
	}
	if err := rec.SameKernels(opt.Env); err != nil && !opt.OtherKernels { // before Open, which may train a teacher
		return Outcome{}, err
	}
	c, err := Settings(rec)
	if err != nil {
		return Outcome{}, err
	}
	opt = opt.begun()
	opt.goesOn = &rec
	return open(ctx, c, opt, func(job Job) (Outcome, error) {
		if err := sameFingerprint(rec, job.Spec().Env.Data.Fingerprint); err != nil {
			return Outcome{}, err
		}
		return goOn(ctx, rec, job, opt)
	})
}

// goOn continues the run of rec, a run of job.
func goOn(ctx context.Context, rec run.Record, job Job, opt Options) (Outcome, error) {
	opt.goesOn = &rec
	r, err := run.Resume(opt.Root, rec.ID, opt.Env, opt.OtherKernels)
	if err != nil {
		return Outcome{}, err
	}
	return finish(ctx, r, job, opt)
}

// finish completes the run r of job, unless it is stopped, draws its figures and closes it.
func finish(ctx context.Context, r *run.Run, job Job, opt Options) (o Outcome, err error) {
	finished := false
	events := newEventWriter(r.Dir(), opt)
	r.Guard = opt.part.Guard
	defer func() {
		if err != nil && !finished {
			err = errors.Join(err, r.SetStatus(run.StatusFailed, err.Error()))
		}
		events.close()
		err = errors.Join(err, r.Close())
	}()
	spec := job.Spec()
	o = Outcome{ID: r.ID(), Dir: r.Dir(), Variant: spec.Variant, Seed: spec.Seed}
	if opt.goesOn == nil {
		events.start()
	}
	opt.Sink = events.sink(opt.Sink)
	res, err := job.Run(ctx, r, opt)
	var stop *stopped
	switch {
	case errors.As(err, &stop):
	case err != nil && interrupted(ctx) && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))):
		stop = &stopped{train.Interrupted, "by a signal", 0}
	case err != nil:
		return o, err
	}
	if stop != nil {
		o.Reason, o.Seconds = stop.reason, stop.seconds
		status := run.StatusInterrupted
		switch stop.reason {
		case train.OutOfTime, train.Halted:
			status = run.StatusPaused
		case Trained:
			status = run.StatusTrained
		}
		return o, r.SetStatus(status, stop.detail)
	}
	if err := r.Finish(res); err != nil {
		return o, err
	}
	finished = true
	o.Result, o.Reason, o.Seconds = res, train.Finished, res.Seconds()
	if !opt.KeepCheckpoints {
		r.DropCheckpoints()
	}

	// Draw the figures from the record alone.
	rec, err := run.Find(filepath.Dir(r.Dir()), r.ID())
	if err != nil {
		return o, err
	}
	if o.Figures, err = draw(rec); err == nil {
		events.end()
	}
	return o, err
}

// reused returns the finished run rec as an outcome.
func reused(rec run.Record, opt Options) (o Outcome, err error) {
	o = Outcome{ID: rec.ID, Dir: rec.Dir, Variant: rec.Variant, Seed: rec.Seed, Reason: train.Finished, Reused: true}
	if o.Result, err = ResultOf(rec); err != nil {
		return o, err
	}
	o.Seconds = o.Result.Seconds()
	if o.Figures, err = CompleteFigures(rec); err == nil {
		CompleteEvents(rec, opt)
	}
	return o, err
}

// older is a job whose settings had other forms in older records.
type older interface {
	// olderSettings returns those forms, newest first.
	olderSettings() ([]any, error)
}

// restarter is a job that saves its progress without checkpoints.
type restarter interface {
	// begun reports whether the unfinished run rec has progress to continue from.
	begun(rec run.Record) bool
}

// matcher is a job that must match a finished run in more than settings and data.
type matcher interface {
	matches(rec run.Record) (bool, error)
}

// earlier returns the newest run with the experiment, settings and data of spec, job's spec, that is finished or can be
// resumed; nil if there is none.
func earlier(root string, spec run.Spec, job Job) (*run.Record, error) {
	rec, err := earlierOf(root, spec, job)
	old, ok := job.(older)
	if err != nil || rec != nil || !ok {
		return rec, err
	}
	all, err := old.olderSettings()
	if err != nil {
		return nil, err
	}
	for _, settings := range all {
		if spec.Config, err = config.Marshal(settings); err != nil {
			return nil, err
		}
		if rec, err := earlierOf(root, spec, job); err != nil || rec != nil {
			return rec, err
		}
	}
	return nil, nil
}

// earlierOf is earlier for exactly the settings of spec. A run that failed before its first checkpoint cannot be
// resumed. A broken run is an error unless a finished one exists: it may have been finished itself, and must not be
// trained again without being asked for.
func earlierOf(root string, spec run.Spec, job Job) (*run.Record, error) {
	list, err := run.List(root)
	if err != nil {
		return nil, err
	}
	var broken error
	for _, s := range slices.Backward(list) {
		if s.Experiment != spec.Experiment || s.Variant != spec.Variant || s.Seed != spec.Seed ||
			s.Fingerprint != spec.Env.Data.Fingerprint ||
			s.Status == run.StatusRunning {
			continue
		}
		rec, err := run.Examine(root, s.ID)
		if err != nil {
			return nil, err
		}
		same := sameSettings(rec, spec) &&
			(rec.Status != run.StatusFinished || standardizedAlike(rec.Env.Data, spec.Env.Data))
		switch {
		case rec.Status == run.StatusFailed && !canGoOn(rec, job): // a new run loses nothing
		case !same || broken != nil && rec.Status != run.StatusFinished:
		case rec.Damage() != nil:
			broken = rec.Damage()
		default:
			if m, ok := job.(matcher); ok && rec.Status == run.StatusFinished {
				if ok, err := m.matches(rec); err != nil || !ok {
					return nil, err
				}
			}
			return &rec, nil
		}
	}
	return nil, broken
}

// canGoOn reports whether the failed run rec of job has progress to continue from.
func canGoOn(rec run.Record, job Job) bool {
	if r, ok := job.(restarter); ok {
		return r.begun(rec)
	}
	return rec.Saved()
}

// sameSettings reports whether rec was made with the settings of spec. An older record lacks settings added later,
// which had their defaults.
func sameSettings(rec run.Record, spec run.Spec) bool {
	if rec.ConfigHash == spec.ConfigHash() {
		return true
	}
	c, err := Settings(rec)
	if err != nil {
		return false // settings of another version
	}
	yaml, err := config.Marshal(c)
	return err == nil && config.Hash(yaml) == spec.ConfigHash()
}

// sameFingerprint returns an error unless data with the given fingerprint is the data that rec began with.
func sameFingerprint(rec run.Record, fingerprint string) error {
	if fingerprint != rec.Env.Data.Fingerprint {
		return fmt.Errorf("run %s began on %s with fingerprint %.12s…, the data found now has %.12s…; make the "+
			"original data available again (dla data verify)", rec.ID, rec.Env.Data.Name, rec.Env.Data.Fingerprint, fingerprint)
	}
	return nil
}
