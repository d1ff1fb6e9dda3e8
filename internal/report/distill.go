package report

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/run"
)

// Distillation is the finished runs of recs as two Markdown tables: the networks, a variant a row, with
// what distillation gains; and McNemar's test of each distilled student against the plain one of the same
// seed and recipe. A plain student is found among recs by its settings.
func Distillation(recs []run.Record) (string, error) {
	t := newTable("lrrrrr", "network", "parameters", "seeds", "val_acc %, best epoch", "test accuracy %", "gain, points")
	tests := newTable("lrrrr", "McNemar's test", "seed", "only it is right", "only the plain one is", "p")
	tested := false
	for _, g := range groups(recs) {
		var test, val, gain []float64
		var pairs []pair
		params := 0
		for _, r := range g.runs {
			if r.Result == nil {
				continue
			}
			res, err := resultOf(r)
			if err != nil {
				return "", err
			}
			params = res.Params
			test, val = append(test, 100*res.Test.Accuracy), append(val, 100*res.Val.Accuracy)
			if g.taught != distilledWord {
				continue
			}
			p, ok, err := compare(r, recs)
			if err != nil {
				return "", err
			}
			if ok {
				gain, pairs = append(gain, p.gain), append(pairs, p)
			}
		}
		if len(test) == 0 {
			continue
		}
		gained := ""
		if len(gain) > 0 {
			gained = "+" + spread(gain)
			if gain, _ := metrics.MeanStd(gain); gain < 0 {
				gained = gained[1:]
			}
		}
		t.row(g.label(), params, len(test), spread(val), spread(test), gained)
		mcNemarRows(tests, g.label(), pairs)
		tested = tested || len(pairs) > 0
	}
	if !tested {
		return t.String(), nil
	}
	return t.String() + "\n" + tests.String(), nil
}

// pair is a distilled student beside the plain one of its seed, or another comparison of two runs of one seed.
type pair struct {
	seed        uint64
	gain        float64 // points of test accuracy
	only, plain int     // test images only the one, only the other gets right
}

// mcNemarRows adds a row of McNemar's test for each pair. There is none for all seeds together: they share the test
// images, so their counts are not independent.
func mcNemarRows(t *mdTable, label string, pairs []pair) {
	for _, p := range pairs {
		test := metrics.McNemar(p.only, p.plain)
		exact := ""
		if test.Exact {
			exact = " (exact)"
		}
		t.row(label, p.seed, p.only, p.plain, fmt.Sprintf("%.2g%s", test.P, exact))
	}
}

// compare finds the plain student of the distilled one r among recs.
func compare(r run.Record, recs []run.Record) (p pair, found bool, err error) {
	var c config.Distill
	if err := config.Load(&c, r.Config, filepath.Join(r.ID, "config.yaml")); err != nil {
		return p, false, err
	}
	i := slices.IndexFunc(recs, func(o run.Record) bool {
		var plain config.Resnet
		err := config.Load(&plain, o.Config, filepath.Join(o.ID, "config.yaml"))
		return err == nil && o.Result != nil && o.Fingerprint == r.Fingerprint && reflect.DeepEqual(plain, c.Plain())
	})
	if i < 0 {
		return p, false, nil
	}
	p, err = discordant(r, recs[i])
	return p, err == nil, err
}

// discordant compares the test predictions of r with those of another run on the same images or sentences, as
// the plain one.
func discordant(r, other run.Record) (p pair, err error) {
	a, resA, err := predictionsOf(r)
	if err != nil {
		return p, err
	}
	b, resB, err := predictionsOf(other)
	if err != nil {
		return p, err
	}
	p = pair{seed: r.Seed, gain: 100 * (resA.Test.Accuracy - resB.Test.Accuracy)}
	if p.only, p.plain, err = a.Discordant(b); err != nil {
		return p, fmt.Errorf("runs %s and %s: %w", r.ID, other.ID, err)
	}
	return p, nil
}

// predictionsOf are r's predictions of the test set.
func predictionsOf(r run.Record) (metrics.Predictions, result, error) {
	res, err := resultOf(r)
	if err != nil {
		return nil, res, err
	}
	if res.Predictions.File == "" {
		return nil, res, fmt.Errorf("run %s kept no test predictions; train it anew to compare it image by image", r.ID)
	}
	b, err := r.Attached(res.Predictions)
	return metrics.Predictions(b), res, err
}
