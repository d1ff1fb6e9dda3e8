package labs

import (
	"math"
	"time"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/train"
)

// Cost is what a run of a configuration will take, for --dry-run.
type Cost struct {
	Params       int     `json:"params"`
	MACs         int     `json:"macs"`          // one sample, forward
	TrainFLOPs   float64 `json:"train_flops"`   // whole training: two a multiply-add, backward twice the forward
	PeakBytes    int64   `json:"peak_bytes"`    // intermediates and gradients of a training step
	StepSeconds  float64 `json:"step_seconds"`  // measured here on blank images
	TotalSeconds float64 `json:"total_seconds"` // steps of all epochs at that rate
	Steps        int     `json:"steps"`         // of all epochs
	Threads      int     `json:"threads"`       //
	Kernel       string  `json:"kernel"`        // instruction set
}

// CostOf builds cfg's network for its data set, less the validation part, times some steps on blank
// images and says what the whole training would take. It reads no data.
func CostOf(cfg config.Resnet) (Cost, error) {
	return costOf(cfg, func(set data.Description, steps int) (learner, Cost, error) {
		b, err := build(cfg, size{set.H, set.W, set.C, set.Classes}, steps, nil)
		if err != nil {
			return nil, Cost{}, err
		}
		return b, Cost{Params: b.params.Count(), MACs: b.macs, PeakBytes: b.net.PeakBytes(), TrainFLOPs: 6 * float64(b.macs)}, nil
	})
}

// costOf is CostOf of what build makes, with the cost of it that is known, TrainFLOPs being of an image.
func costOf(cfg config.Resnet, build func(set data.Description, steps int) (learner, Cost, error)) (Cost, error) {
	set, err := data.Describe(cfg.Data.Name)
	if err != nil {
		return Cost{}, err
	}
	n := set.Train - cfg.Data.Val
	if cfg.Data.Limit > 0 {
		n = min(n, cfg.Data.Limit)
	}
	steps := (n + cfg.Train.BatchSize - 1) / cfg.Train.BatchSize
	l, c, err := build(set, steps)
	if err != nil {
		return c, err
	}
	return timed(c, l, cfg, n, steps)
}

// timed completes the cost c of l's training on n samples, in epochs of so many steps.
func timed(c Cost, l learner, cfg config.Resnet, n, steps int) (Cost, error) {
	c.Steps, c.Threads, c.Kernel = steps*cfg.Train.Epochs, kernel.Threads(), kernel.Level()
	c.TrainFLOPs *= float64(n) * float64(cfg.Train.Epochs)
	best := time.Duration(1<<63 - 1)
	job := l.job()
	batch := data.Batch{Rows: cfg.Train.BatchSize, Index: make([]int32, cfg.Train.BatchSize)}
	batch.X, batch.Y = job.Program.TrainBuffers()
	for range 5 {
		start := time.Now()
		if p, ok := job.Program.(train.Preparer); ok {
			if err := p.Prepare(&batch, 0, 0); err != nil {
				return c, err
			}
		}
		if _, err := job.Program.TrainStep(cfg.Train.BatchSize); err != nil {
			return c, err
		}
		job.Optimizer.Step(0)
		best = min(best, time.Since(start))
	}
	c.StepSeconds = best.Seconds()
	c.TotalSeconds = c.StepSeconds * float64(c.Steps)
	return c, nil
}

// AttackCost is what the attacks of a configuration will take, for --dry-run.
type AttackCost struct {
	Network      string  `json:"network"`
	Images       int     `json:"images"`
	Gradients    int     `json:"gradients"`       // of an image
	Evaluations  int     `json:"evaluations"`     // of an image, forward alone; the Square attack's are the most there can be
	GradientRate float64 `json:"gradients_per_s"` // measured here on blank images
	ForwardRate  float64 `json:"evaluations_per_s"`
	TotalSeconds float64 `json:"total_seconds"`
	Threads      int     `json:"threads"`
	Kernel       string  `json:"kernel"`
}

// CostOfFGSM loads the networks, times some passes on blank images and says what all attacks of cfg would
// take. It reads no data.
func CostOfFGSM(cfg config.FGSM, root string) (AttackCost, error) {
	var c AttackCost
	var nets []*Network
	for _, from := range cfg.Checkpoints {
		n, err := findVictim(root, from)
		if err != nil {
			return c, err
		}
		nets = append(nets, n)
	}
	n := nets[0].Images.Test
	if cfg.Limit > 0 {
		n = min(n, cfg.Limit)
	}
	v, err := newVictim(nets[0], data.Subset{})
	if err != nil {
		return c, err
	}
	c = AttackCost{Network: nets[0].Name, Images: n, Threads: kernel.Threads(), Kernel: kernel.Level()}
	many := len(cfg.PGD.Eps) + len(cfg.PGD.EpsTargeted) + len(cfg.PGD.EpsL2)
	c.Gradients = n * (2 + many*cfg.PGD.Steps*cfg.PGD.Restarts)
	c.Evaluations = n*(1+2*(3*len(cfg.Sweep.Eps)+many)) + min(n, cfg.Square.Images)*cfg.Square.Queries
	if k := len(nets); k > 1 {
		some := min(n, cfg.Transfer.Images)
		c.Gradients += k * some * (1 + cfg.PGD.Steps*cfg.PGD.Restarts)
		c.Evaluations += 2 * k * some * (2 + k)
	}
	b := attack.Batch{X: make([]float32, evalBatch*v.target.Values()), Y: make([]int32, evalBatch)}
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
	if c.GradientRate, err = rate(func() error { _, err := v.target.Gradient(b); return err }); err != nil {
		return c, err
	}
	if c.ForwardRate, err = rate(func() error { _, err := v.target.Logits(b.X); return err }); err != nil {
		return c, err
	}
	c.TotalSeconds = float64(c.Gradients)/c.GradientRate + float64(c.Evaluations)/c.ForwardRate
	return c, nil
}
