package report

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// Distillation returns the finished runs of recs as two tables: the networks, one row per variant, with the gain by
// distillation; and McNemar's test of each distilled student against the student that was trained with the same seed
// and recipe but without a teacher, which is found among recs by its settings.
func Distillation(recs []run.Record) (table.Tables, error) {
	t := table.New("lrrrrrrl", "network", "parameters", "seeds", valBest, testHead, viewsHead, "gain, points", tagsHead)
	t.Mark(table.Largest, false, valBest, viewsHead).Mark(table.Largest, true, testHead)
	tests := table.New("lrrrr", "McNemar's test", "seed", "only distilled correct", "only undistilled correct", "p")
	for _, g := range groups(recs) {
		var test, val, gain []float64
		views := viewed{}
		var pairs []pair
		var last record.Classifier
		for _, r := range g.runs {
			if r.Result == nil {
				continue
			}
			res, err := resultOf(r)
			if err != nil {
				return nil, err
			}
			last = res
			test, val = append(test, 100*res.Test.Accuracy), addMeasured(val, res.Val)
			views.add(res.TestViews)
			if g.Method != distilled {
				continue
			}
			p, ok, err := compare(r, recs)
			if err != nil {
				return nil, err
			}
			if ok {
				gain, pairs = append(gain, p.gain), append(pairs, p)
			}
		}
		if len(test) == 0 {
			continue
		}
		gained := spread(gain)
		if gained.Value != nil && !(gained.Value.Mean < 0) {
			gained.Text = "+" + gained.Text
		}
		t.Row(g.label(), last.Params, len(test), spread(val), accuracyCell(test, last.Test.N), views.cell(), gained,
			g.tags())
		mcNemarRows(tests, g.label(), pairs)
	}
	t.DropEmpty(viewsHead, valBest, tagsHead)
	if len(tests.Rows) == 0 {
		return table.Of(t), nil
	}
	return table.Of(t, tests), nil
}

// pair compares two runs of one seed, such as a distilled student and its baseline.
type pair struct {
	seed           uint64
	gain           float64 // points of test accuracy
	only, baseline int     // test examples that only the run, or only its baseline, classifies correctly
}

// mcNemarRows adds a row of McNemar's test for each pair. There is none for all seeds together: they share the test
// images, so their counts are not independent.
func mcNemarRows(t *table.Table, label string, pairs []pair) {
	for _, p := range pairs {
		test := metrics.McNemar(p.only, p.baseline)
		exact := ""
		if test.Exact {
			exact = " (exact)"
		}
		c := table.Number("%.2g", test.P)
		c.Text += exact
		t.Row(label, p.seed, p.only, p.baseline, c)
	}
}

// compare finds the baseline of the distilled student r among recs and compares the two.
func compare(r run.Record, recs []run.Record) (p pair, found bool, err error) {
	var c config.Distill
	if err := config.Load(&c, r.Config, filepath.Join(r.ID, "config.yaml")); err != nil {
		return p, false, err
	}
	i := slices.IndexFunc(recs, func(o run.Record) bool {
		var plain config.Resnet
		err := config.Load(&plain, o.Config, filepath.Join(o.ID, "config.yaml"))
		plain.Test = c.Test // test-time augmentation trains nothing
		return err == nil && o.Result != nil && o.Fingerprint == r.Fingerprint && reflect.DeepEqual(plain, c.Plain())
	})
	if i < 0 {
		return p, false, nil
	}
	p, err = discordant(r, recs[i])
	return p, err == nil, err
}

// discordant compares the test predictions of r with those of its baseline on the same images or sentences.
func discordant(r, baseline run.Record) (p pair, err error) {
	a, resA, err := predictionsOf(r)
	if err != nil {
		return p, err
	}
	b, resB, err := predictionsOf(baseline)
	if err != nil {
		return p, err
	}
	p = pair{seed: r.Seed, gain: 100 * (resA.Test.Accuracy - resB.Test.Accuracy)}
	if p.only, p.baseline, err = a.Discordant(b); err != nil {
		return p, fmt.Errorf("runs %s and %s: %w", r.ID, baseline.ID, err)
	}
	return p, nil
}

// predictionsOf returns r's predictions on the test set.
func predictionsOf(r run.Record) (metrics.Predictions, record.Classifier, error) {
	res, err := resultOf(r)
	if err != nil {
		return nil, res, err
	}
	if res.Predictions.File == "" {
		return nil, res, fmt.Errorf("run %s has no test predictions; train it again to compare it image by image", r.ID)
	}
	b, err := r.Attached(res.Predictions)
	if err != nil {
		return nil, res, err
	}
	p, err := metrics.ReadPredictions(b, res.Predictions.File == record.WidePredictions)
	if err != nil {
		return nil, res, fmt.Errorf("run %s: %s: %w", r.ID, res.Predictions.File, err)
	}
	return p, res, nil
}
