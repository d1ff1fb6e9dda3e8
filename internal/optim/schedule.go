package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// ScheduleConfig names a learning-rate schedule. Steps are optimiser steps, counted from 0.
type ScheduleConfig struct {
	Name       string  // constant, linear, step, cosine, onecycle or triangle
	Warmup     int     // steps of linear warm-up: step i has (i+1)/(Warmup+1) of the rate; the last two have their own
	Milestones []int   // step: multiply the rate by Gamma from each of these steps on
	Gamma      float64 // step

	Start, Peak, End float64 // triangle: fractions of the rate at both ends, and of the steps at which it is whole
}

// Schedule gives the learning rate of every step. It is a pure function of the step, so a checkpoint needs no state of
// it.
type Schedule struct {
	cfg   ScheduleConfig
	lr    float64
	total int
}

// Schedules lists the names that NewSchedule knows.
var Schedules = []string{"constant", "linear", "step", "cosine", "onecycle", "triangle"}

// NewSchedule returns the schedule of cfg for a training of total steps with base rate lr, which is the peak of
// onecycle and of triangle. The schedules equal PyTorch's, stepped once per optimiser step: step is MultiStepLR; cosine
// is CosineAnnealingLR with T_max = total and eta_min = 0; onecycle is OneCycleLR with its defaults (pct_start 0.3,
// cosine, div_factor 25, final_div_factor 1e4). linear decays to 0 after the warm-up, as transformers'
// get_linear_schedule_with_warmup does from its second step (its first has the rate 0). triangle rises linearly from
// Start·lr at the first step to lr at step int(Peak·total), and falls linearly towards End·lr at step total, the one
// after the last (Jordan 2024, https://arxiv.org/abs/2404.00498).
func NewSchedule(cfg ScheduleConfig, lr float64, total int) (Schedule, error) {
	if !slices.Contains(Schedules, cfg.Name) {
		return Schedule{}, fmt.Errorf("unknown schedule %q: known are %s", cfg.Name, strings.Join(Schedules, ", "))
	}
	if !(lr >= 0) || math.IsInf(lr, 0) {
		return Schedule{}, fmt.Errorf("schedule %s: learning rate %g, want a finite number of at least 0", cfg.Name, lr)
	}
	if total < 1 {
		return Schedule{}, fmt.Errorf("schedule %s: %d steps in all, want at least 1", cfg.Name, total)
	}
	if cfg.Warmup < 0 {
		return Schedule{}, fmt.Errorf("schedule %s: %d warm-up steps, want at least 0", cfg.Name, cfg.Warmup)
	}
	if cfg.Name == "step" && !(cfg.Gamma > 0) {
		return Schedule{}, fmt.Errorf("schedule step: gamma %g, want above 0", cfg.Gamma)
	}
	for _, f := range []float64{cfg.Start, cfg.Peak, cfg.End} {
		if cfg.Name == "triangle" && !(f >= 0 && f <= 1) {
			return Schedule{}, fmt.Errorf("schedule triangle: fraction %g, want 0 to 1", f)
		}
	}
	return Schedule{cfg, lr, total}, nil
}

// LR returns the learning rate of the given step, from 0.
func (s Schedule) LR(step int) float64 {
	lr := s.lr
	switch s.cfg.Name {
	case "linear":
		if step >= s.cfg.Warmup {
			lr *= float64(s.total-step) / float64(s.total-s.cfg.Warmup)
		}
	case "step":
		for _, m := range s.cfg.Milestones {
			if step >= m {
				lr *= s.cfg.Gamma
			}
		}
	case "cosine":
		lr *= (1 + math.Cos(math.Pi*float64(step)/float64(s.total))) / 2
	case "onecycle":
		return s.oneCycle(step)
	case "triangle":
		return lr * s.triangle(step)
	}
	if step < s.cfg.Warmup {
		lr *= float64(step+1) / float64(s.cfg.Warmup+1)
	}
	return lr
}

// triangle returns the fraction of the rate at the given step.
func (s Schedule) triangle(step int) float64 {
	peak := int(s.cfg.Peak * float64(s.total))
	if step < peak {
		return s.cfg.Start + (1-s.cfg.Start)*float64(step)/float64(peak)
	}
	return 1 + (s.cfg.End-1)*float64(step-peak)/float64(max(1, s.total-peak))
}

// oneCycle rises from lr/25 to lr over the first 30 % of the steps and falls to lr/25e4 over the
// rest, both along a half cosine (Smith and Topin 2017, https://arxiv.org/abs/1708.07120).
func (s Schedule) oneCycle(step int) float64 {
	first, last := s.lr/25, s.lr/25/1e4
	up := 0.3*float64(s.total) - 1
	x := float64(step)
	between := func(a, b, t float64) float64 { return b + (a-b)/2*(1+math.Cos(math.Pi*t)) }
	if up > 0 && x <= up {
		return between(first, s.lr, x/up)
	}
	return between(s.lr, last, min(1, (x-up)/(float64(s.total-1)-up)))
}
