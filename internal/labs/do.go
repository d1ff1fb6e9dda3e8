package labs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dla/internal/config"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
)

// Outcome is what making a run came to.
type Outcome struct {
	ID, Dir string // empty where it was stopped before there was a run
	Variant string
	Seed    uint64
	Reason  train.Reason
	Result  record.Result // when Done
	Reused  bool          // an earlier, finished run of the same settings and data
	Figures []string
}

// Done says that the run came to its end.
func (o Outcome) Done() bool { return o.Result != nil }

// stopped is the error of a run that was stopped and can go on.
type stopped struct {
	reason train.Reason
	detail string
}

func (s *stopped) Error() string { return "stopped: " + string(s.reason) }

// unfinished is the error of a run that another one needs and that was stopped.
type unfinished struct{ Outcome }

func (u *unfinished) Error() string { return fmt.Sprintf("run %s was stopped: %s", u.ID, u.Reason) }

// Task is a run that a study is to have.
type Task struct {
	Settings any  // of internal/config
	Reuse    bool // a finished run of the same settings and data will do, whatever Options.Resume says
}

// Study makes the runs of tasks, one after the other. What they name is looked for before the first begins, and what
// they share is read once. It ends at the first that is interrupted or runs out of time (its Reason says so). each
// hears of every run, by its place among tasks.
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

// open opens the job of settings and gives it to do. Where it was stopped at that, the outcome says so.
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

// Do makes a run of job. With opt.Resume, a finished run of the same settings and data is returned as it is, and an
// interrupted or failed one is continued.
func Do(ctx context.Context, job Job, opt Options) (Outcome, error) {
	opt = opt.begun()
	spec := specOf(job, opt)
	if opt.Resume {
		rec, err := earlier(opt.Root, spec, job)
		if err != nil {
			return Outcome{}, err
		}
		if rec != nil && rec.Status == run.StatusFinished {
			return reused(*rec)
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

// specOf is what a new run of job begins with.
func specOf(job Job, opt Options) run.Spec {
	spec := job.Spec()
	env := opt.Env
	env.Data = spec.Env.Data
	spec.Env = env
	return spec
}

// Resume continues the interrupted run id, of whatever experiment, on the data it began with.
func Resume(ctx context.Context, id string, opt Options) (Outcome, error) {
	rec, err := run.Find(opt.Root, id)
	if err != nil {
		return Outcome{}, err
	}
	if rec.Status == run.StatusFinished {
		return Outcome{}, fmt.Errorf("run %s is finished and stays as it is; see it with `%s`", rec.ID, rec.Command("show"))
	}
	if err := rec.SameKernels(opt.Env); err != nil && !opt.OtherKernels { // before a teacher is trained
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

// goOn continues the run of rec, which is one of job.
func goOn(ctx context.Context, rec run.Record, job Job, opt Options) (Outcome, error) {
	opt.goesOn = &rec
	r, err := run.Resume(opt.Root, rec.ID, opt.Env, opt.OtherKernels)
	if err != nil {
		return Outcome{}, err
	}
	return finish(ctx, r, job, opt)
}

// finish makes the run r of job to its end, or to where it is stopped, draws its figures and closes it.
func finish(ctx context.Context, r *run.Run, job Job, opt Options) (o Outcome, err error) {
	finished := false
	defer func() {
		if err != nil && !finished {
			err = errors.Join(err, r.SetStatus(run.StatusFailed, err.Error()))
		}
		err = errors.Join(err, r.Close())
	}()
	spec := job.Spec()
	o = Outcome{ID: r.ID(), Dir: r.Dir(), Variant: spec.Variant, Seed: spec.Seed}
	res, err := job.Run(ctx, r, opt)
	var stop *stopped
	switch {
	case errors.As(err, &stop):
	case err != nil && interrupted(ctx) && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))):
		stop = &stopped{train.Interrupted, "by a signal"}
	case err != nil:
		return o, err
	}
	if stop != nil {
		o.Reason = stop.reason
		status := run.StatusInterrupted
		if stop.reason == train.OutOfTime {
			status = run.StatusPaused
		}
		return o, r.SetStatus(status, stop.detail)
	}
	if err := r.Finish(res); err != nil {
		return o, err
	}
	finished = true
	o.Result, o.Reason = res, train.Finished
	if !opt.KeepCheckpoints {
		r.DropCheckpoints()
	}

	// Figures, from the record alone.
	rec, err := run.Find(opt.Root, r.ID())
	if err != nil {
		return o, err
	}
	o.Figures, err = draw(rec)
	return o, err
}

// reused is the finished run rec.
func reused(rec run.Record) (o Outcome, err error) {
	o = Outcome{ID: rec.ID, Dir: rec.Dir, Variant: rec.Variant, Seed: rec.Seed, Reason: train.Finished, Reused: true}
	if o.Result, err = ResultOf(rec); err != nil {
		return o, err
	}
	o.Figures, err = CompleteFigures(rec)
	return o, err
}

// older is a job that runs of older versions may have been made of with other settings.
type older interface {
	// olderSettings are those, newest first.
	olderSettings() ([]any, error)
}

// restarter is a job that keeps what a run has reached otherwise than in checkpoints.
type restarter interface {
	// begun says whether the unfinished run rec has something to go on from.
	begun(rec run.Record) bool
}

// matcher is a job whose settings and data do not say all that a finished run must have in common with it.
type matcher interface {
	matches(rec run.Record) (bool, error)
}

// earlier finds the newest run of the same experiment, settings and data as spec, which is job's, that is finished or
// can go on; nil where there is none.
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

// earlierOf is earlier of the very settings of spec. One that failed before its first checkpoint cannot go on. A broken
// one is an error, but for one that is finished beside it: it may have been finished itself, and what it reached is not
// to be trained again unasked.
func earlierOf(root string, spec run.Spec, job Job) (*run.Record, error) {
	list, err := run.List(root)
	if err != nil {
		return nil, err
	}
	var broken error
	for _, s := range slices.Backward(list) {
		if s.Experiment != spec.Experiment || s.Variant != spec.Variant || s.Seed != spec.Seed || s.Fingerprint != spec.Env.Data.Fingerprint ||
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
		case rec.Status == run.StatusFailed && !canGoOn(rec, job): // nothing is lost when another begins
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

// canGoOn says whether the failed run rec of job has something to go on from.
func canGoOn(rec run.Record, job Job) bool {
	if r, ok := job.(restarter); ok {
		return r.begun(rec)
	}
	return rec.Saved()
}

// sameSettings says whether rec was made with the settings of spec. A record of an older version lacks the settings
// that have come since: it was made with their defaults.
func sameSettings(rec run.Record, spec run.Spec) bool {
	if rec.ConfigHash == spec.ConfigHash() {
		return true
	}
	c, err := Settings(rec)
	if err != nil {
		return false // of a version whose settings were others
	}
	yaml, err := config.Marshal(c)
	return err == nil && config.Hash(yaml) == spec.ConfigHash()
}

// sameFingerprint says whether data with the given fingerprint is that which rec began with.
func sameFingerprint(rec run.Record, fingerprint string) error {
	if fingerprint != rec.Env.Data.Fingerprint {
		return fmt.Errorf("run %s began on %s with fingerprint %.12s…, the data found now has %.12s…; make the original data available again (dla data verify)", rec.ID, rec.Env.Data.Name, rec.Env.Data.Fingerprint, fingerprint)
	}
	return nil
}
