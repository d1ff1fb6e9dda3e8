package labs

import (
	"fmt"
	"math"
	"time"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/train"
)

// Plan describes a run for --dry-run.
type Plan struct {
	Variant string `json:"variant"`
	Seed    uint64 `json:"seed"`
	Config  any    `json:"config"`
	Cost    Cost   `json:"cost"`

	cost func() (Cost, error)
}

// Cost is the estimated cost of a run.
type Cost interface {
	// Line formats the cost in one line.
	Line() string
	// Total returns the time in seconds.
	Total() float64
}

// PlanAll plans the runs of tasks. Seeds of one variant have the same cost, which is measured once.
func PlanAll(tasks []Task, opt Options) ([]Plan, error) {
	opt = opt.begun()
	costs := map[string]Cost{}
	var all []Plan
	for _, t := range tasks {
		p, err := experimentOf(t.Settings).Plan(t.Settings, opt)
		if err != nil {
			return nil, err
		}
		if _, ok := costs[p.Variant]; !ok {
			if costs[p.Variant], err = p.cost(); err != nil {
				return nil, err
			}
		}
		p.Cost = costs[p.Variant]
		all = append(all, p)
	}
	return all, nil
}

// TrainingCost is the estimated cost of a training.
type TrainingCost struct {
	Params       int     `json:"params"`
	MACs         int     `json:"macs"`          // one sample, forward
	TrainFLOPs   float64 `json:"train_flops"`   // whole training: two per multiply-add, backward twice the forward
	PeakBytes    int64   `json:"peak_bytes"`    // intermediates and gradients of a training step
	StepSeconds  float64 `json:"step_seconds"`  // measured here on blank images
	TotalSeconds float64 `json:"total_seconds"` // of all steps at that rate
	Steps        int     `json:"steps"`         // in all
	Threads      int     `json:"threads"`       //
	Kernel       string  `json:"kernel"`        // instruction set
}

// Line formats c in one line.
func (c TrainingCost) Line() string {
	return fmt.Sprintf("%9d parameters  %6.1f MFLOP/sample forward  %8.1f GFLOP in all  %5.1f MB step memory",
		c.Params, 2*float64(c.MACs)/1e6, c.TrainFLOPs/1e9, float64(c.PeakBytes)/1e6)
}

// Total returns the time of all steps, in seconds.
func (c TrainingCost) Total() float64 { return c.TotalSeconds }

// imagesCost returns the cost of the training that build makes, for the training split of cfg's data set and the
// network that of names. build gets the number of steps per epoch and returns TrainFLOPs for one image. No data is read
// but the user's own.
func imagesCost(of config.Model, cfg config.Training, opt Options,
	build func(sz size, steps int) (trainable, TrainingCost, error)) (Cost, error) {
	set, err := describeImages(cfg.Data, opt)
	if err != nil {
		return nil, err
	}
	n := set.Train
	switch val := cfg.Data.Val; {
	case set.Val > 0:
	case val == config.Tenth:
		n -= max(1, n/10)
	default:
		n = max(1, n-val)
	}
	if cfg.Data.Limit > 0 {
		n = min(n, cfg.Data.Limit)
	}
	steps := (n + cfg.Train.BatchSize - 1) / cfg.Train.BatchSize
	m, c, err := build(size{set.H, set.W, set.C, set.Classes, model.PixelsFor(of.Name, set.C)}, steps)
	if err != nil {
		return nil, err
	}
	return timed(c, m.job(), cfg, n, steps)
}

// timing is how long steps are timed: five of most networks, one of the largest.
const timing = 5 * time.Second

// timed completes the cost c of a training on n samples with steps steps per epoch. It times a few steps on blank
// samples.
func timed(c TrainingCost, job train.Job, cfg config.Training, n, steps int) (Cost, error) {
	c.Steps, c.Threads, c.Kernel = cfg.Train.TotalSteps(steps), kernel.Threads(), kernel.Level()
	c.TrainFLOPs *= float64(n) * float64(c.Steps) / float64(steps)
	best := time.Duration(1<<63 - 1)
	began := time.Now()
	for i := 0; i == 0 || i < 5 && time.Since(began) < timing; i++ {
		start := time.Now()
		if _, err := job.Program.TrainStep(0, 0, cfg.Train.BatchSize); err != nil {
			return nil, err
		}
		job.Optimizer.Step(0)
		best = min(best, time.Since(start))
	}
	c.StepSeconds = best.Seconds()
	c.TotalSeconds = c.StepSeconds * float64(c.Steps)
	return c, nil
}

// AttackCost is the estimated cost of the attacks of a configuration, for --dry-run.
type AttackCost struct {
	Network      string  `json:"network"`
	Images       int     `json:"images"`
	Gradients    int     `json:"gradients"`       // per image
	Evaluations  int     `json:"evaluations"`     // forward passes per image; for the Square attack the largest number
	GradientRate float64 `json:"gradients_per_s"` // measured here on blank images
	ForwardRate  float64 `json:"evaluations_per_s"`
	TotalSeconds float64 `json:"total_seconds"`
	Threads      int     `json:"threads"`
	Kernel       string  `json:"kernel"`
}

// Line formats c in one line.
func (c AttackCost) Line() string {
	return fmt.Sprintf("%d images, %d gradients at %.0f/s and at most %d evaluations at %.0f/s",
		c.Images, c.Gradients, c.GradientRate, c.Evaluations, c.ForwardRate)
}

// Total returns the time of all passes, in seconds.
func (c AttackCost) Total() float64 { return c.TotalSeconds }

// planFGSM estimates the cost of all attacks of cfg.
func planFGSM(cfg config.FGSM, opt Options) (Plan, error) {
	nets, err := networksOf(&cfg, opt)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Variant: "fgsm-" + nets[0].Name, Seed: cfg.Seed, Config: cfg,
		cost: func() (Cost, error) { return attackCost(cfg, nets) }}, nil
}

// attackCost times a few passes on blank images.
func attackCost(cfg config.FGSM, nets []*Network) (Cost, error) {
	n := nets[0].Images.Test
	if cfg.Limit > 0 {
		n = min(n, cfg.Limit)
	}
	v, err := newTarget(nets[0], data.Subset{})
	if err != nil {
		return nil, err
	}
	c := AttackCost{Network: nets[0].Name, Images: n, Threads: kernel.Threads(), Kernel: kernel.Level()}
	c.Gradients, c.Evaluations = 2*n, n*(1+2*3*len(cfg.Sweep.Eps))
	for _, name := range otherAttacks(cfg) {
		m, err := attack.Find(name)
		if err != nil {
			return nil, err
		}
		for _, at := range radiiOf(m, cfg) {
			if m.Blind {
				c.Evaluations += min(n, cfg.Square.Images) * cfg.Square.Queries
				continue
			}
			c.Gradients += n * m.Gradients(settingsAt(cfg, nets[0].Images, at))
			c.Evaluations += 2 * n
		}
	}
	if k := len(nets); k > 1 {
		some := min(n, cfg.Transfer.Images)
		c.Gradients += k * some * (1 + cfg.PGD.Steps*cfg.PGD.Restarts)
		c.Evaluations += 2 * k * some * (2 + k)
	}
	b := attack.Batch{X: make([]float32, evalBatch*v.graph.Values()), Y: make([]int32, evalBatch)}
	rate := func(pass func() error) (float64, error) {
		best := time.Duration(math.MaxInt64)
		for range 3 {
			began := time.Now()
			if err := pass(); err != nil {
				return 0, err
			}
			best = min(best, time.Since(began))
		}
		return evalBatch / best.Seconds(), nil
	}
	if c.GradientRate, err = rate(func() error { _, err := v.graph.Gradient(b); return err }); err != nil {
		return nil, err
	}
	if c.ForwardRate, err = rate(func() error { _, err := v.graph.Logits(b.X); return err }); err != nil {
		return nil, err
	}
	c.TotalSeconds = float64(c.Gradients)/c.GradientRate + float64(c.Evaluations)/c.ForwardRate
	return c, nil
}
