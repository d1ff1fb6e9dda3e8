package labs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"dla/internal/attack"
	"dla/internal/data"
	"dla/internal/metrics"
	"dla/internal/ood"
	"dla/internal/record"
	"dla/internal/train"
	"dla/internal/weights"
)

// compare evaluates the original and the fine-tuned network on the unchanged test set, on outliers and under attacks,
// and attaches the data of the figures to the run.
func (h *robustness) compare(ctx context.Context, finetuned *Network, b imageBatches,
	e finishedTraining) (*record.Robust, error) {
	began := time.Now()
	in := named(b.set.Name, data.Title(b.set.Name)+", test set", b.set.Source, b.test)
	res := &record.Robust{Network: h.original.Name, Original: h.original.Source, WeightsSHA256: h.original.Weights,
		Resamples: h.cfg.Test.Resamples, PGDSteps: h.cfg.Test.Steps}
	for _, s := range h.trained {
		res.Trained = append(res.Trained, s.OODSet)
	}

	// Confidence of both networks on every image.
	nets := [2]*Network{h.original, finetuned}
	var logits [2][]*ood.Features // of the test set, then of each of h.sets
	for i, n := range nets {
		scorer, err := n.Scorer(evalBatch)
		if err != nil {
			return nil, err
		}
		for _, s := range slices.Concat([]images{in}, h.sets) {
			f, err := scoreAll(ctx, scorer, s, n.Images.Classes, e.sink)
			if err != nil {
				return nil, err
			}
			logits[i] = append(logits[i], f)
		}
	}
	var err error
	if res.Clean, err = clean(logits[0][0], logits[1][0], b.test); err != nil {
		return nil, err
	}
	var histograms []record.Histogram
	for k, s := range slices.Concat([]images{in}, h.sets) {
		before, after := confidence(logits[0][k]), confidence(logits[1][k])
		pair := record.ConfidencePair{OODSet: s.OODSet}
		change := make([]float64, s.N)
		for i := range change {
			change[i] = after[i] - before[i]
		}
		pair.Before, _ = metrics.MeanStd(before)
		pair.After, _ = metrics.MeanStd(after)
		pair.Shift, pair.CI95 = metrics.BootstrapMean(change, h.cfg.Test.Resamples, h.cfg.Seed)
		histograms = append(histograms, record.Histogram{Set: s.Name, Before: histogram(before),
			After: histogram(after)})
		if k == 0 {
			res.In = pair
			continue
		}
		if pair.Scores, err = h.detect(logits, k); err != nil {
			return nil, fmt.Errorf("the set %s: %w", s.Name, err)
		}
		if res.Signs, err = metrics.CheckSigns(in.N, s.N); err != nil {
			return nil, err
		}
		res.Sets = append(res.Sets, pair)
	}
	text, err := json.Marshal(histograms)
	if err != nil {
		return nil, err
	}
	if res.Histograms, err = e.run.Attach(histogramsName, text); err != nil {
		return nil, err
	}

	known, err := h.original.exposure()
	if err != nil {
		return nil, err
	}
	if res.Hashes, err = e.run.Attach(hashesName, hashes(h.trained, known)); err != nil {
		return nil, err
	}

	// Accuracy under attacks.
	for i, to := range []*[]attack.Outcome{&res.Before, &res.After} {
		if *to, err = h.attack(ctx, nets[i], b.test, e.sink); err != nil {
			return nil, err
		}
	}
	res.Checks = h.checks(res)
	res.Seconds = time.Since(began).Seconds()
	return res, nil
}

// histogramsName is the name of the file with the data of the comparison's figures.
const histogramsName = "max_softmax.json"

// scoreAll returns the logits of s for the images, in order.
func scoreAll(ctx context.Context, s *train.Scorer, of images, classes int, sink train.Sink) (*ood.Features, error) {
	f := &ood.Features{N: of.N}
	batches := s.Batches(data.NewLoader(unlabelled(of.Subset), evalBatch, false, 0))
	_, err := train.EachBatch(ctx, of.Name, batches.Steps(), sink, func(step int) (train.Stats, error) {
		rows := batches.Lay(0, step)
		_, err := s.EvalStep(rows)
		f.Logits = append(f.Logits, s.Logits()...)
		return train.Counted(rows), err
	})
	if err != nil {
		return nil, err
	}
	for i, v := range f.Logits {
		if v-v != 0 {
			return nil, fmt.Errorf("the logit of class %d for image %d of %s is %g; the network's weights may be "+
				"damaged", i%classes, i/classes, of.Name, v)
		}
	}
	return f, nil
}

// unlabelled returns s with label 0 for every image, since the network does not have the classes of outliers.
func unlabelled(s data.Subset) data.Subset {
	set := *s.Set
	set.Labels = make([]int32, set.N)
	return data.Subset{Set: &set, Index: s.Index}
}

// clean compares the two networks' predictions on the test set by McNemar's test.
func clean(before, after *ood.Features, test data.Subset) (record.CleanPair, error) {
	n := before.N
	classes, labels := make([]int32, n), make([]int32, n)
	predictions := func(f *ood.Features) (metrics.Predictions, error) {
		width := len(f.Logits) / n
		for i, at := range test.Index {
			best, _ := attack.Top(f.Logits[i*width : (i+1)*width])
			classes[i], labels[i] = int32(best), test.Set.Labels[at]
		}
		return metrics.NewPredictions(classes, labels)
	}
	b, err := predictions(before)
	if err != nil {
		return record.CleanPair{}, err
	}
	a, err := predictions(after)
	if err != nil {
		return record.CleanPair{}, err
	}
	c := record.CleanPair{N: n, Before: float64(b.Correct()) / float64(n), After: float64(a.Correct()) / float64(n)}
	c.BeforeCI95[0], c.BeforeCI95[1] = metrics.Wilson(b.Correct(), n)
	c.AfterCI95[0], c.AfterCI95[1] = metrics.Wilson(a.Correct(), n)
	if c.OnlyBefore, c.OnlyAfter, err = b.Discordant(a); err != nil {
		return c, err
	}
	p := metrics.McNemar(c.OnlyBefore, c.OnlyAfter)
	c.P, c.Exact = p.P, p.Exact
	return c, nil
}

// confidence returns the largest probability of each image.
func confidence(f *ood.Features) []float64 {
	p := make([]float64, f.N)
	width := len(f.Logits) / f.N
	for i := range p {
		_, p[i] = attack.Top(f.Logits[i*width : (i+1)*width])
	}
	return p
}

// histogram counts values in [0,1] in bins of equal width.
func histogram(p []float64) []int {
	h := make([]int, histogramBins)
	for _, v := range p {
		h[max(0, min(histogramBins-1, int(v*histogramBins)))]++
	}
	return h
}

// logitDetectors lists the detectors that need logits only, the lab's first.
var logitDetectors = []string{"max-softmax", "max-logit", "energy"}

// detect measures how well both networks' logits separate set k from the test set.
func (h *robustness) detect(logits [2][]*ood.Features, k int) ([]record.DetectionPair, error) {
	var pairs []record.DetectionPair
	var rankings []*metrics.Ranking
	for _, m := range ood.Methods {
		if !slices.Contains(logitDetectors, m.Name) {
			continue
		}
		pairs = append(pairs, record.DetectionPair{Detector: m.Name, Label: m.Label})
		for i := range logits {
			in := logits[i][0]
			score, err := m.Fit(&ood.Network{Classes: len(in.Logits) / in.N}, 1)
			if err != nil {
				return nil, err
			}
			r, err := metrics.Rank(m.Name, score(in), score(logits[i][k]))
			if err != nil {
				return nil, err
			}
			rankings = append(rankings, r)
		}
	}
	intervals := metrics.Bootstrap(rankings, h.cfg.Test.Resamples, h.cfg.Seed)
	for i := range pairs {
		pairs[i].Before = record.Detected{Detection: rankings[2*i].Detection(), CI95: intervals[2*i]}
		pairs[i].After = record.Detected{Detection: rankings[2*i+1].Detection(), CI95: intervals[2*i+1]}
	}
	return pairs, nil
}

// attack attacks n by FGSM and PGD at every radius, starting with 0.
func (h *robustness) attack(ctx context.Context, n *Network, test data.Subset,
	sink train.Sink) ([]attack.Outcome, error) {
	t := h.cfg.Test
	eps := append([]float64{0}, t.Eps...) // at 0 nothing may change
	pgd, err := attack.Find("pgd")
	if err != nil {
		return nil, err
	}
	var all []attack.Outcome
	for _, a := range []struct {
		name    string
		n       int
		attacks func(v *target) []*attackRun
	}{
		{"fgsm", t.FGSM, func(v *target) []*attackRun { return v.sweep(eps, false) }},
		{"pgd", t.PGD, func(v *target) (all []*attackRun) {
			for i, e := range eps {
				a := pgd.New(attack.Settings{Norm: attack.Linf, Eps: e / 255, Steps: t.Steps, Restarts: 1,
					Seed: h.cfg.Seed})
				if i == 0 {
					a = attack.FGSM{} // the same, in one step
				}
				all = append(all, v.attackOf("pgd", a, attack.Linf, e, false))
			}
			return all
		}},
	} {
		some := test
		if a.n > 0 {
			some = test.First(a.n)
		}
		v, err := newTarget(n, some)
		if err != nil {
			return nil, err
		}
		attacks := a.attacks(v)
		if err := v.evaluate(ctx, a.name, attacks, func(_, label int32) int32 { return label }, sink); err != nil {
			return nil, err
		}
		for _, w := range attacks {
			all = append(all, w.Outcome)
		}
	}
	return all, nil
}

// checks returns the self-checks of the comparison.
func (h *robustness) checks(res *record.Robust) []record.Check {
	var checks []record.Check
	add := func(ok bool, value float64, what, found string, args ...any) {
		checks = append(checks, record.Check{What: what, Found: fmt.Sprintf(found, args...), Value: value, OK: ok})
	}
	now := weights.Fingerprint(h.original.state())
	found := "all its weights and statistics are, bit by bit"
	if now != h.original.Weights {
		found = "they are not"
	}
	add(now == h.original.Weights, 0, "the original is as it was", "%s", found)
	shared := 0
	for _, a := range h.trained {
		for _, b := range h.sets {
			shared += len(data.Overlap(a.Subset, b.Subset))
		}
	}
	add(shared == 0, float64(shared), "no outlier trained on is evaluated", "%d images in common", shared)
	outside, worst, moved := 0.0, 0.0, 0.0
	for _, o := range slices.Concat(res.Before, res.After) {
		outside = max(outside, o.MaxChange-o.Radius(), -o.MinValue, o.MaxValue-1)
		worst = max(worst, o.MaxChange*255)
		if o.Eps == 0 {
			moved = max(moved, o.MaxChange)
		}
	}
	add(moved == 0, moved, "at radius 0 nothing changes", "at most %g", moved)
	add(outside <= 0, outside, "no pixel changes by more than the radius, or leaves [0,1]", "at most %.4g/255", worst)

	const noWeaker = "PGD is no weaker than FGSM, at any radius on either network"
	if h.cfg.Test.Steps < fewSteps {
		return append(checks, record.Check{What: noWeaker, NotApplicable: true,
			Found: fmt.Sprintf("of less than %d steps from a random start it may be", fewSteps)})
	}
	margin := math.Inf(1) // by which PGD's interval begins below the end of FGSM's
	for _, list := range [][]attack.Outcome{res.Before, res.After} {
		for i, fgsm := range list[:len(list)/2] {
			margin = min(margin, fgsm.CI95[1]-list[len(list)/2+i].CI95[0])
		}
	}
	add(margin >= 0, margin, noWeaker, "its accuracy's interval begins at least %.1f points below the end of FGSM's",
		100*margin)
	return checks
}
