package labs

import (
	"context"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/record"
)

// ResnetExperiment is the name of the experiment in records.
const ResnetExperiment = "lab1/resnet"

// resnet trains networks with and without skip connections, at several depths.
func resnet() Experiment {
	return newExperiment[config.Resnet, record.Classifier](ResnetExperiment, config.DefaultResnet, openResnet,
		planResnet)
}

// openResnet reads the data and returns the training of a network.
func openResnet(ctx context.Context, cfg config.Resnet, opt Options) (Job, error) {
	ds, err := readImages(ctx, cfg.Data, opt)
	if err != nil {
		return nil, err
	}
	cfg.Data = adopted(cfg.Data, ds)
	return resnetOn(ds, cfg, opt)
}

// resnetOn returns the training of one network on ds: split, network, recipe, and one evaluation of the best epoch's
// weights on the test set.
func resnetOn(ds *data.Dataset, cfg config.Resnet, opt Options) (Job, error) {
	name, err := ResnetVariant(cfg)
	if err != nil {
		return nil, err
	}
	info, err := standardized(ds, cfg.Model, opt)
	build := func(_ context.Context, opt Options) (trainable, error) {
		sz := sizeOf(ds, cfg.Model, info, opt)
		return newImageClassifier(ds, cfg.Training(), sz, cfg.Test.Views, func(steps int) (*classifier, error) {
			return newClassifier(cfg.Classifier(), sz, steps)
		})
	}
	return &training{experiment: ResnetExperiment, variant: name, settings: cfg, cfg: cfg.Training(),
		label: labelOf(cfg.Model), data: info, build: build}, err
}

// ResnetVariant returns the name of the network that cfg describes: mlp-d5-res. An unknown network is an error.
func ResnetVariant(cfg config.Resnet) (string, error) { return networkName(cfg.Model) }

// networkName returns the name of the network that cfg describes.
func networkName(cfg config.Model) (string, error) {
	m, err := network(cfg, model.MNIST)
	if err != nil {
		return "", err
	}
	return m.Name(), nil
}

// planResnet builds the network for its training split and times a few steps on blank images.
func planResnet(cfg config.Resnet, opt Options) (Plan, error) {
	name, err := ResnetVariant(cfg)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Variant: name, Seed: cfg.Seed, Config: cfg, cost: func() (Cost, error) {
		return imagesCost(cfg.Model, cfg.Training(), opt, func(sz size, steps int) (trainable, TrainingCost, error) {
			c, err := newClassifier(cfg.Classifier(), sz, steps)
			if err != nil {
				return nil, TrainingCost{}, err
			}
			return &imageClassifier{classifier: c}, c.cost(), nil
		})
	}}, nil
}
