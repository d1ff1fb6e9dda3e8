package labs

import (
	"context"
	"path/filepath"
	"time"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/run"
)

// ResnetExperiment is the name of the residual study in records.
const ResnetExperiment = "lab1/resnet"

// ResnetStudy trains every configuration in turn: data, split, model, training, the best epoch's
// weights on the test set once, record and figures. The data is loaded once. It stops at the first that
// is interrupted or runs out of time (its Reason says so).
func ResnetStudy(ctx context.Context, cfgs []config.Resnet, opt Options, each func(i int, t Trained)) ([]Trained, error) {
	ds, err := loadData(ctx, cfgs[0].Data, opt)
	if err != nil {
		return nil, err
	}
	shared := budget{opt.MaxTime, time.Now()}
	var all []Trained
	for i, cfg := range cfgs {
		opt.MaxTime = shared.left()
		t, err := resnetOn(ctx, ds, cfg, opt)
		if err != nil {
			return all, err
		}
		all = append(all, t)
		each(i, t)
		if !t.Done() {
			break
		}
	}
	return all, nil
}

// resnetOn trains one network.
func resnetOn(ctx context.Context, ds *data.Dataset, cfg config.Resnet, opt Options) (Trained, error) {
	tr, err := resnetTraining(cfg)
	if err != nil {
		return Trained{}, err
	}
	return start(ctx, imageMaterial{ds}, tr, opt)
}

func resnetTraining(cfg config.Resnet) (training, error) {
	name, err := ResnetVariant(cfg)
	return training{experiment: ResnetExperiment, variant: name, settings: cfg, cfg: cfg}, err
}

// resumeResnet continues the run of rec.
func resumeResnet(ctx context.Context, rec run.Record, opt Options) (Trained, error) {
	cfg, err := resnetConfig(rec)
	if err != nil {
		return Trained{}, err
	}
	tr, err := resnetTraining(cfg)
	if err != nil {
		return Trained{}, err
	}
	ds, err := dataOf(ctx, rec, cfg.Data, opt)
	if err != nil {
		return Trained{}, err
	}
	r, err := opt.takeOver(rec)
	if err != nil {
		return Trained{}, err
	}
	return fit(ctx, r, imageMaterial{ds}, tr, opt)
}

func resnetConfig(rec run.Record) (config.Resnet, error) {
	cfg := config.DefaultResnet()
	if err := config.Load(&cfg, rec.Config, filepath.Join(rec.ID, "config.yaml")); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// ResnetVariant is the name of the network cfg describes: mlp-d5-res. An unknown network is an error.
func ResnetVariant(cfg config.Resnet) (string, error) {
	m, err := network(cfg.Model, 1)
	if err != nil {
		return "", err
	}
	return m.Name(), nil
}
