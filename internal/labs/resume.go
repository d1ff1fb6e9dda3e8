package labs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"dla/internal/config"
	"dla/internal/run"
)

// Resume continues the interrupted run id, of whatever experiment, on the data it began with.
func Resume(ctx context.Context, id string, opt Options) (Trained, error) {
	rec, err := run.Find(opt.Root, id)
	if err != nil {
		return Trained{}, err
	}
	if rec.Status == run.StatusFinished {
		return Trained{}, fmt.Errorf("run %s is finished and stays as it is; see it with `%s`", rec.ID, rec.Command("show"))
	}
	if err := rec.SameKernels(opt.Env); err != nil && !opt.OtherKernels { // before a teacher is trained
		return Trained{}, err
	}
	switch rec.Experiment {
	case ResnetExperiment:
		return resumeResnet(ctx, rec, opt)
	case DistillExperiment:
		return resumeDistill(ctx, rec, opt)
	case FGSMExperiment:
		return Trained{}, fmt.Errorf("run %s is of attacks, which go on with the command that began them and --resume; `%s` shows it", rec.ID, rec.Command("show"))
	case AutoencoderExperiment:
		return resumeAutoencoder(ctx, rec, opt)
	case OODExperiment:
		return Trained{}, fmt.Errorf("run %s is of detectors, which go on with the command that began them and --resume; `%s` shows it", rec.ID, rec.Command("show"))
	case BaselineExperiment:
		return resumeBaseline(ctx, rec, opt)
	case RobustExperiment:
		return resumeRobust(ctx, rec, opt)
	case FinetuneExperiment:
		return resumeFinetune(ctx, rec, opt)
	}
	return Trained{}, fmt.Errorf("run %s is of experiment %q, which this version of dla does not know", rec.ID, rec.Experiment)
}

// takeOver makes the run of rec this process's, which goes on with it.
func (o Options) takeOver(rec run.Record) (*run.Run, error) {
	return run.Resume(o.Root, rec.ID, o.Env, o.OtherKernels)
}

// takeOverAnew is takeOver of a run that has no checkpoints, whose record begins anew.
func (o Options) takeOverAnew(rec run.Record) (*run.Run, error) {
	r, err := o.takeOver(rec)
	if err != nil {
		return nil, err
	}
	if _, err := r.Restore(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// reuse looks for the newest run of tr's settings on the same data: a finished one is returned as it is, an
// interrupted or failed one is continued.
func reuse(ctx context.Context, m material, tr training, spec run.Spec, opt Options) (Trained, bool, error) {
	rec, err := earlier(opt.Root, spec)
	if err == nil && rec == nil && tr.before != nil {
		rec, err = earlierBefore(opt.Root, spec, tr)
	}
	if err != nil || rec == nil {
		return Trained{}, err != nil, err
	}
	if rec.Status == run.StatusFinished {
		t, err := trainedBefore(*rec, tr)
		return t, true, err
	}
	r, err := opt.takeOver(*rec)
	if err != nil {
		return Trained{}, true, err
	}
	t, err := fit(ctx, r, m, tr, opt)
	return t, true, err
}

// earlier finds the newest run of the same experiment, settings and data as spec that is finished or can go
// on, as one that failed after a checkpoint can; nil where there is none. A broken one is an error, but for one that
// is finished beside it: it may have been finished itself, and what it reached is not to be trained again unasked.
func earlier(root string, spec run.Spec) (*run.Record, error) {
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
		switch same := sameSettings(rec, spec); {
		case rec.Status == run.StatusFailed && !rec.Saved() && !hasAttacks(rec): // nothing is lost when another begins
		case !same || broken != nil && rec.Status != run.StatusFinished:
		case rec.Damage() != nil:
			broken = rec.Damage()
		default:
			return &rec, nil
		}
	}
	return nil, broken
}

// earlierBefore is earlier of the settings of tr as older records may have them.
func earlierBefore(root string, spec run.Spec, tr training) (*run.Record, error) {
	all, err := tr.before()
	if err != nil {
		return nil, err
	}
	for _, settings := range all {
		if spec.Config, err = config.Marshal(settings); err != nil {
			return nil, err
		}
		if rec, err := earlier(root, spec); err != nil || rec != nil {
			return rec, err
		}
	}
	return nil, nil
}

// trainedBefore is the finished run rec of tr.
func trainedBefore(rec run.Record, tr training) (t Trained, err error) {
	t = Trained{ID: rec.ID, Dir: rec.Dir, Variant: rec.Variant, Config: tr.cfg, Reused: true}
	if t.Figures, err = CompleteFigures(rec); err != nil {
		return t, err
	}
	if tr.encoder != nil {
		t.Autoencoder = new(AutoencoderResult)
		err = readResult(rec, t.Autoencoder)
		t.Reason = t.Autoencoder.Reason
		return t, err
	}
	t.Result, err = resultOf(rec)
	t.Reason = t.Result.Reason
	return t, err
}

// sameSettings says whether rec was made with the settings of spec. A record of an older version lacks
// the settings that have come since: it was made with what are their defaults.
func sameSettings(rec run.Record, spec run.Spec) bool {
	if rec.ConfigHash == spec.ConfigHash() {
		return true
	}
	var settings any
	var err error
	switch rec.Experiment {
	case ResnetExperiment:
		settings, err = resnetConfig(rec)
	case DistillExperiment:
		settings, err = distillConfig(rec)
	case FGSMExperiment:
		settings, err = fgsmConfig(rec)
	case AutoencoderExperiment:
		settings, err = autoencoderConfig(rec)
	case OODExperiment:
		settings, err = oodConfig(rec)
	case BaselineExperiment:
		settings, err = baselineConfig(rec)
	case RobustExperiment:
		settings, err = robustConfig(rec)
	case FinetuneExperiment:
		settings, err = finetuneConfig(rec)
	}
	if err != nil {
		return false // of a version whose settings were others
	}
	yaml, err := config.Marshal(settings)
	return err == nil && config.Hash(yaml) == spec.ConfigHash()
}

// resultOf is the result of a finished run of a classifier.
func resultOf(rec run.Record) (r Result, err error) { return r, readResult(rec, &r) }

// readResult reads the result of a finished run into r.
func readResult(rec run.Record, r any) error {
	if err := json.Unmarshal(rec.Result, r); err != nil {
		return fmt.Errorf("run %s: result.json: %w; remove it with `%s`", rec.ID, err, rec.Command("rm"))
	}
	return nil
}

// sameFingerprint says whether data with the given fingerprint is that which rec began with.
func sameFingerprint(rec run.Record, fingerprint string) error {
	if fingerprint != rec.Env.Data.Fingerprint {
		return fmt.Errorf("run %s began on %s with fingerprint %.12s…, the data found now has %.12s…; make the original data available again (dla data verify)", rec.ID, rec.Env.Data.Name, rec.Env.Data.Fingerprint, fingerprint)
	}
	return nil
}
