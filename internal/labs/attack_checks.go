package labs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"dla/internal/attack"
	"dla/internal/data"
	"dla/internal/record"
	"dla/internal/train"
	"dla/internal/weights"
)

// fewSteps is the number of steps below which PGD may be weaker than FGSM: from a random start, one or two steps may
// end well inside the ball.
const fewSteps = 4

// largeEps is the radius, in units of 1/255, at which an attack can turn every image grey. At smaller radii a network
// may resist even a correct attack.
const largeEps = 128

// attackChecks returns the checks that any network under any correct attack must pass. steps is the number of steps of
// PGD. Checks that depend on chance have a tolerance of three standard errors for the number of images. Checks whose
// radii the settings lack are marked as not applicable.
func attackChecks(ctx context.Context, v *target, res record.Attacks, pgdSteps int) ([]record.Check, error) {
	var all []record.Check
	lacking := func(what, missing string, args ...any) {
		all = append(all, record.Check{What: what, Found: fmt.Sprintf(missing, args...), NotApplicable: true})
	}
	add := func(ok bool, value float64, what, found string, args ...any) {
		all = append(all, record.Check{What: what, Found: fmt.Sprintf(found, args...), Value: value, OK: ok})
	}
	of := func(kind string, targeted bool) []attack.Outcome {
		return slices.DeleteFunc(slices.Clone(res.Attacks), func(o attack.Outcome) bool {
			return o.Attack != kind || o.Targeted != targeted || o.Norm != attack.Linf
		})
	}
	fgsm, noise, many := of("fgsm", false), of("noise", false), of("pgd", false)
	at := func(list []attack.Outcome, eps float64) attack.Outcome {
		return list[slices.IndexFunc(list, func(o attack.Outcome) bool { return o.Eps == eps })]
	}
	chance, n := largestClass(v.images), float64(res.Test.N) // what an answer that is always the same may come to
	luck := 3 * math.Sqrt(0.25/n)                            // of a share

	// At radius 0 no image changes.
	still, err := v.still(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range slices.Concat(of("fgsm", false), of("fgsm", true), noise) {
		if o.Eps == 0 {
			still = max(still, o.MaxChange, math.Abs(float64(o.Correct-res.Test.Correct)))
		}
	}
	add(still == 0, still, "epsilon 0 changes nothing", "largest change %g by FGSM, targeted FGSM, noise and PGD; "+
		"accuracy %.2f %% and %.2f %%", still, 100*fgsm[0].Accuracy, 100*res.Test.Accuracy)

	over, lowest, highest := 0.0, 1.0, 0.0
	for _, o := range res.Attacks {
		if o.Radius() > 0 {
			over = max(over, o.MaxChange/o.Radius())
		}
		lowest, highest = min(lowest, o.MinValue), max(highest, o.MaxValue)
	}
	add(over <= 1, over, "no change is larger than epsilon", "the largest is %.9f of it, over %d attacks", over,
		len(res.Attacks))
	add(lowest >= 0 && highest <= 1, highest, "pixels stay within [0, 1]", "%g to %g", lowest, highest)

	const noWeaker = "PGD is no weaker than FGSM"
	switch {
	case len(many) == 0:
		lacking(noWeaker, "no untargeted PGD in L-infinity was asked for")
	case pgdSteps < fewSteps:
		lacking(noWeaker, "of less than %d steps from a random start it may be", fewSteps)
	default:
		missed := math.MinInt // images that FGSM gets and PGD does not, more than the other way round
		var beside []string
		for _, o := range many {
			f := at(fgsm, o.Eps)
			missed = max(missed, o.Correct-f.Correct)
			beside = append(beside, fmt.Sprintf("%.2f and %.2f %% at %g/255", 100*o.Accuracy, 100*f.Accuracy, o.Eps))
		}
		few := n / 1000 // it may miss from a random start, and as many more by chance
		add(float64(missed) <= few+3*math.Sqrt(max(1, few)), float64(missed)/n, noWeaker, "accuracy %s",
			strings.Join(beside, ", "))
	}

	// The accuracy under FGSM may rise: a long step overshoots, and a network trained against FGSM is best at its
	// radius.
	const falls = "accuracy falls with epsilon until it is at chance"
	switch {
	case len(many) < 2:
		lacking(falls, "PGD at two radii or more was not asked for, and that of FGSM may rise")
	case pgdSteps < fewSteps:
		lacking(falls, "that of PGD of less than %d steps may rise", fewSteps)
	default:
		rise := -1.0
		for i := 1; i < len(many); i++ {
			rise = max(rise, min(many[i].Accuracy-many[i-1].Accuracy, many[i].Accuracy-chance))
		}
		add(rise <= luck, rise, falls, "the largest rise above it is %.2f points, of PGD", 100*max(0, rise))
	}

	const nearChance = "a large epsilon takes most of what there is to lose"
	if end := fgsm[len(fgsm)-1]; end.Eps < largeEps {
		lacking(nearChance, "the sweep ends at %g/255, and large is %d/255", end.Eps, largeEps)
	} else {
		left := max(0, res.Test.Accuracy-chance)
		add(end.Accuracy <= chance+left/4+luck, end.Accuracy, nearChance, "%.2f %% at %g/255; chance is %.2f %%",
			100*end.Accuracy, end.Eps, 100*chance)
	}

	// Compare at the smallest epsilon where FGSM costs half of the accuracy above chance, if the sweep is fine enough:
	// at a much larger one, noise destroys images too.
	const noiseWeaker = "random noise of the same size is much weaker"
	half := slices.IndexFunc(fgsm, func(o attack.Outcome) bool { return o.Accuracy <= (res.Test.Accuracy+chance)/2 })
	switch {
	case res.Test.Accuracy <= chance+luck:
		lacking(noiseWeaker, "the network is at chance without attack, %.2f %%", 100*res.Test.Accuracy)
	case half < 0:
		lacking(noiseWeaker, "FGSM costs less than half of what there is to lose at every radius of the sweep")
	case fgsm[half].Eps > 1 && fgsm[half-1].Eps < fgsm[half].Eps/2:
		lacking(noiseWeaker, "between %g/255 and %g/255, where FGSM comes to cost half of what there is to lose, "+
			"the sweep has no radius", fgsm[half-1].Eps, fgsm[half].Eps)
	default:
		lost, lostToNoise := res.Test.Accuracy-fgsm[half].Accuracy, res.Test.Accuracy-noise[half].Accuracy
		add(lostToNoise <= lost/2+luck/3, lostToNoise, noiseWeaker,
			"it costs %.2f points where FGSM costs %.2f, at %g/255",
			100*lostToNoise, 100*lost, fgsm[half].Eps)
	}

	// Rounding removes the fraction of a level from a radius, so only whole numbers of levels count.
	const rounding = "rounding to 8 bits does not undo an attack"
	back := math.Inf(-1)
	var beside []string
	for _, o := range slices.Concat(fgsm, many) {
		if o.Eps < 1 || o.Eps != math.Trunc(o.Eps) {
			continue
		}
		back = max(back, o.Rounded-o.Accuracy)
		if o.Attack == "pgd" || o.Eps == 1 {
			beside = append(beside, fmt.Sprintf("%s %.2f and %.2f %%", outcomeName(o), 100*o.Rounded, 100*o.Accuracy))
		}
	}
	if math.IsInf(back, -1) {
		lacking(rounding, "there is no radius of a whole number of levels")
	} else {
		if len(beside) == 0 {
			beside = []string{fmt.Sprintf("%.2f points more at most", 100*max(0, back))}
		}
		add(back <= 0.05+luck, back, rounding, "accuracy after and before: %s", strings.Join(beside, "; "))
	}

	now := weights.Fingerprint(v.net.state())
	add(now == res.Weights, 0, "weights and running statistics are unchanged, bit for bit",
		"fingerprint %.12s… before and %.12s… after", res.Weights, now)
	return all, nil
}

// largestClass returns the fraction of images of the most frequent class.
func largestClass(s data.Subset) float64 {
	count := make([]int, len(s.Set.Classes))
	for _, i := range s.Index {
		count[s.Set.Labels[i]]++
	}
	return float64(slices.Max(count)) / float64(len(s.Index))
}

// still returns the largest change of a batch of images by PGD of radius 0, in either norm.
func (v *target) still(ctx context.Context) (float64, error) {
	some := *v
	some.images = v.images.First(v.graph.Rows())
	largest := 0.0
	for _, norm := range []attack.Norm{attack.Linf, attack.L2} {
		w := some.attackOf("pgd", attack.PGD{Norm: norm, Step: 0.01, Steps: 2, Restarts: 2}, norm, 0, false)
		if err := some.evaluate(ctx, "checks", []*attackRun{w}, func(_, _ int32) int32 { return 0 },
			func(train.Event) {}); err != nil {
			return 0, err
		}
		largest = max(largest, w.MaxChange)
	}
	return largest, nil
}
