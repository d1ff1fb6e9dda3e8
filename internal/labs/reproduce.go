package labs

import (
	"context"
	"fmt"
	"path/filepath"

	"dla/internal/run"
)

// Reproduce makes the finished run rec again from its record: a new run under the folder into, which must not be that
// of rec. If one that was stopped is there, it continues. Networks that rec names by their runs are those under
// opt.Root.
func Reproduce(ctx context.Context, rec run.Record, into string, opt Options) (Outcome, error) {
	if rec.Status != run.StatusFinished || rec.Result == nil {
		return Outcome{}, fmt.Errorf("run %s is %s; only a finished run can be compared with another; continue it with `%s`",
			rec.ID, rec.Status, rec.Command("resume"))
	}
	if sameFolder(into, filepath.Dir(rec.Dir)) {
		return Outcome{}, fmt.Errorf("%s holds run %s itself; give another folder with --into", into, rec.ID)
	}
	c, err := Settings(rec)
	if err != nil {
		return Outcome{}, err
	}
	opt = opt.begun()
	opt.goesOn = &rec // on the same data, standardized alike, with the same encoder
	return open(ctx, c, opt, func(job Job) (Outcome, error) {
		if err := sameFingerprint(rec, job.Spec().Env.Data.Fingerprint); err != nil {
			return Outcome{}, err
		}
		spec := specOf(job, opt)
		spec.Env.Data = rec.Env.Data // compared above; an older record lacks what a new one has
		begun, err := earlier(into, spec, job)
		if err != nil {
			return Outcome{}, err
		}
		var r *run.Run
		if begun != nil && begun.Status != run.StatusFinished && begun.SameKernels(opt.Env) == nil {
			r, err = run.Resume(into, begun.ID, opt.Env, opt.OtherKernels)
		} else {
			r, err = run.Create(into, spec)
		}
		if err != nil {
			return Outcome{}, err
		}
		return finish(ctx, r, job, opt)
	})
}

func sameFolder(a, b string) bool {
	at := func(dir string) string {
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		return dir
	}
	return at(a) == at(b)
}
