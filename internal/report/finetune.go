package report

import (
	"path/filepath"
	"strings"

	"dla/internal/config"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// Finetuning returns the finished runs of recs as two tables: one row per variant, with means and sample
// standard deviations over seeds and the Wilson interval of the mean test accuracy; and McNemar's test of each
// variant against full fine-tuning of the same encoder from the same seed, on the same sentences.
func Finetuning(recs []run.Record) (table.Tables, error) {
	t := table.New("lllrrrrrrrl", "encoder", "trained", "head", "trainable parameters", "% of all", "seeds", "val_acc %",
		testHead, "95 % interval", "wall time, s", tagsHead)
	t.Mark(table.Largest, false, "val_acc %", testHead)
	tests := table.New("lrrrr", "McNemar's test against all weights", "seed", "only this one correct",
		"only all weights correct", "p")
	for _, g := range groups(recs) {
		var val, test, wall []float64
		var last finetuned
		var pairs []pair
		for _, r := range g.runs {
			if r.Result == nil {
				continue
			}
			var err error
			if last, err = finetunedOf(r); err != nil {
				return nil, err
			}
			val, test, wall = append(val, 100*last.Val.Accuracy), append(test, 100*last.Test.Accuracy), append(wall,
				last.WallSeconds)
			p, ok, err := besideFull(r, recs)
			if err != nil {
				return nil, err
			}
			if ok {
				pairs = append(pairs, p)
			}
		}
		if len(test) == 0 {
			continue
		}
		t.Row(g.Network, g.Method, last.head(g.Network), last.Params,
			table.Number("%.2f", 100*float64(last.Params)/float64(max(1, last.Finetuned.Total))),
			len(test), spread(val), spread(test), wilson(test, last.Test.N), meanOf("%.0f", wall), g.tags())
		mcNemarRows(tests, g.label(), pairs)
	}
	t.DropEmpty(tagsHead)
	if len(tests.Rows) == 0 {
		return table.Of(t), nil
	}
	return table.Of(t, tests), nil
}

// finetuned holds what tables use from the result of a fine-tuning.
type finetuned struct{ record.Classifier }

// head returns the name of the head without its layers. Older records do not name it: they have the pooled head, or
// DistilBERT's own.
func (f finetuned) head(encoder string) string {
	name, _, _ := strings.Cut(f.Finetuned.Head, " ")
	switch {
	case name != "":
		return name
	case encoder == "DistilBERT":
		return "DistilBertForSequenceClassification"
	}
	return config.HeadPooled
}

func finetunedOf(r run.Record) (finetuned, error) {
	res, err := resultOf(r)
	if err == nil && res.Finetuned == nil {
		res.Finetuned = &record.Finetuned{}
	}
	return finetuned{res}, err
}

// besideFull compares the run r with the full fine-tuning of the same encoder, seed and sentences, if recs has one.
func besideFull(r run.Record, recs []run.Record) (p pair, found bool, err error) {
	c, err := finetuneConfig(r)
	if err != nil || c.Method == config.MethodFull {
		return p, false, err
	}
	for _, o := range recs {
		if o.Result == nil || o.Seed != r.Seed || o.Fingerprint != r.Fingerprint {
			continue
		}
		full, err := finetuneConfig(o)
		if err != nil {
			return p, false, err
		}
		if full.Method == config.MethodFull && full.Encoder == c.Encoder && full.Data == c.Data &&
			full.Head.Kind == c.Head.Kind {
			p, err = discordant(r, o)
			return p, err == nil, err
		}
	}
	return p, false, nil
}

// finetuneConfig returns the settings of a run of lab3 finetune.
func finetuneConfig(r run.Record) (c config.Finetune, err error) {
	return c, config.Load(&c, r.Config, filepath.Join(r.ID, "config.yaml"))
}
