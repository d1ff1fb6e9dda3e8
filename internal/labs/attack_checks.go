package labs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"dla/internal/attack"
	"dla/internal/train"
	"dla/internal/weights"
)

// attackChecks are what must hold of any network and of any correct attack. What is a matter of chance is
// given three standard errors of the number of images.
func attackChecks(ctx context.Context, v *victim, res AttackResult) ([]Check, error) {
	var all []Check
	add := func(ok bool, value float64, what, found string, args ...any) {
		all = append(all, Check{What: what, Found: fmt.Sprintf(found, args...), Value: value, OK: ok})
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
	chance, n := 1/float64(len(res.Classes)), float64(res.Test.N)
	luck := 3 * math.Sqrt(0.25/n) // of a share

	// Nothing changes at radius 0.
	still, err := v.still(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range slices.Concat(of("fgsm", false), of("fgsm", true), noise) {
		if o.Eps == 0 {
			still = max(still, o.MaxChange, math.Abs(float64(o.Correct-res.Test.Correct)))
		}
	}
	add(still == 0, still, "epsilon 0 changes nothing", "largest change %g by FGSM, targeted FGSM, noise and PGD; accuracy %.2f %% and %.2f %%", still, 100*fgsm[0].Accuracy, 100*res.Test.Accuracy)

	over, lowest, highest := 0.0, 1.0, 0.0
	for _, o := range res.Attacks {
		if o.Radius() > 0 {
			over = max(over, o.MaxChange/o.Radius())
		}
		lowest, highest = min(lowest, o.MinValue), max(highest, o.MaxValue)
	}
	add(over <= 1, over, "no change is larger than epsilon", "the largest is %.9f of it, over %d attacks", over, len(res.Attacks))
	add(lowest >= 0 && highest <= 1, highest, "pixels stay within [0, 1]", "%g to %g", lowest, highest)

	worst := -1.0
	var beside []string
	for _, o := range many {
		f := at(fgsm, o.Eps)
		worst = max(worst, o.Accuracy-f.Accuracy)
		beside = append(beside, fmt.Sprintf("%.2f and %.2f %% at %g/255", 100*o.Accuracy, 100*f.Accuracy, o.Eps))
	}
	if len(many) > 0 {
		// From a random start a step or two may miss an image that FGSM gets.
		add(worst <= max(1/n, 1e-3), worst, "PGD is no weaker than FGSM", "accuracy %s", strings.Join(beside, ", "))
	}

	// A single large step overshoots: FGSM's accuracy may come back from below chance up to it.
	rise := -1.0
	for _, list := range [][]attack.Outcome{fgsm, many} {
		for i := 1; i < len(list); i++ {
			rise = max(rise, min(list[i].Accuracy-list[i-1].Accuracy, list[i].Accuracy-chance))
		}
	}
	add(rise <= luck, rise, "accuracy falls with epsilon until it is at chance", "the largest rise above it is %.2f points, of FGSM and PGD", 100*max(0, rise))

	end := fgsm[len(fgsm)-1]
	add(end.Accuracy <= chance+luck, end.Accuracy, "a large epsilon reaches chance", "%.2f %% at %g/255; chance is %.2f %%", 100*end.Accuracy, end.Eps, 100*chance)

	// At the smallest epsilon by which FGSM has cost half of what can be lost.
	half := slices.IndexFunc(fgsm, func(o attack.Outcome) bool { return o.Accuracy <= (res.Test.Accuracy+chance)/2 })
	if half < 0 {
		half = len(fgsm) - 1
	}
	lost, lostToNoise := res.Test.Accuracy-fgsm[half].Accuracy, res.Test.Accuracy-noise[half].Accuracy
	add(lostToNoise <= lost/2+luck/3, lostToNoise, "random noise of the same size is much weaker", "it costs %.2f points where FGSM costs %.2f, at %g/255", 100*lostToNoise, 100*lost, fgsm[half].Eps)

	back := -1.0
	beside = nil
	for _, o := range slices.Concat(fgsm, many) {
		if o.Eps >= 1 {
			back = max(back, o.Rounded-o.Accuracy)
		}
		if o.Attack == "pgd" || o.Eps == 1 {
			beside = append(beside, fmt.Sprintf("%s %.2f and %.2f %%", outcomeName(o), 100*o.Rounded, 100*o.Accuracy))
		}
	}
	add(back <= 0.05+luck, back, "rounding to 8 bits does not undo an attack", "accuracy after and before: %s", strings.Join(beside, "; "))

	now := weights.Fingerprint(v.net.state())
	add(now == res.Weights, 0, "weights and running statistics are unchanged, bit for bit", "fingerprint %.12s… before and %.12s… after", res.Weights, now)
	return all, nil
}

// still is the largest change by PGD of radius 0, in either norm, of a batch of images.
func (v *victim) still(ctx context.Context) (float64, error) {
	some := *v
	some.images = v.images.First(v.target.Rows())
	largest := 0.0
	for _, norm := range []attack.Norm{attack.Linf, attack.L2} {
		w := some.wayOf("pgd", attack.PGD{Norm: norm, Step: 0.01, Steps: 2, Restarts: 2}, norm, 0, false)
		if err := some.face(ctx, "checks", []*way{w}, func(int32, int32) int32 { return 0 }, func(train.Event) {}); err != nil {
			return 0, err
		}
		largest = max(largest, w.MaxChange)
	}
	return largest, nil
}
