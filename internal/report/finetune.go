package report

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dla/internal/config"
	"dla/internal/metrics"
	"dla/internal/record"
	"dla/internal/run"
)

// tuned is a variant of lab3 finetune, such as minilm-lora-qv-r8 or minilm-full, in readers' words.
type tuned struct {
	encoder, trained string
	order            int // in tables: by encoder; adapters by targets and rank, then full, then head
}

// newTuned parses the name of a variant of lab3 finetune; ok is false for any other name.
func newTuned(variant string) (t tuned, ok bool) {
	variant, pooled := strings.CutSuffix(variant, "-"+config.HeadPooled)
	parts := strings.Split(variant, "-")
	at := slices.IndexFunc(parts, func(p string) bool { return slices.Contains(config.Methods, p) })
	if at < 1 {
		return t, false
	}
	method, rest := parts[at], parts[at+1:]
	t.encoder, t.order = encoderName(variant)
	t.order = (t.order*len(config.Methods) + slices.Index(config.Methods, method)) * len(config.Targets)
	switch {
	case method == config.MethodFull && len(rest) == 0:
		t.trained = "all weights"
	case method == config.MethodHead && len(rest) == 0:
		t.trained = "head only"
	case method == config.MethodLoRA && len(rest) >= 2:
		t.trained = fmt.Sprintf("LoRA %s, rank %s", strings.Join(strings.Split(rest[0], ""), ","), strings.TrimPrefix(rest[1], "r"))
		if len(rest) > 2 {
			t.trained += ", alpha " + strings.TrimPrefix(rest[2], "a")
		}
		t.order += slices.Index(config.Targets, rest[0])
	default:
		return tuned{}, false
	}
	if pooled {
		t.trained += ", pooled head"
	}
	rank := 0
	if method == config.MethodLoRA {
		if rank, _ = strconv.Atoi(strings.TrimPrefix(rest[1], "r")); rank < 0 || rank >= maxRank {
			return tuned{}, false
		}
	}
	t.order = t.order*maxRank + rank
	return t, true
}

// maxRank is larger than the rank of every adapter.
const maxRank = 1 << 11

// Finetuning returns the finished runs of recs as two Markdown tables: one row per variant, with means and sample
// standard deviations over seeds and the Wilson interval of the mean test accuracy; and McNemar's test of each
// variant against full fine-tuning of the same encoder from the same seed, on the same sentences.
func Finetuning(recs []run.Record) (string, error) {
	t := newTable("lllrrrrrrr", "encoder", "trained", "head", "trainable parameters", "% of all", "seeds", "val_acc %",
		"test accuracy %", "95 % interval", "wall time, s")
	tests := newTable("lrrrr", "McNemar's test against all weights", "seed", "only this one correct",
		"only all weights correct", "p")
	tested := false
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
				return "", err
			}
			val, test, wall = append(val, 100*last.Val.Accuracy), append(test, 100*last.Test.Accuracy), append(wall, last.WallSeconds)
			p, ok, err := besideFull(r, recs)
			if err != nil {
				return "", err
			}
			if ok {
				pairs = append(pairs, p)
			}
		}
		if len(test) == 0 {
			continue
		}
		v, _ := newTuned(g.variant)
		seconds, _ := metrics.MeanStd(wall)
		t.row(v.encoder, v.trained, last.head(v.encoder), last.Params,
			fmt.Sprintf("%.2f", 100*float64(last.Params)/float64(max(1, last.Finetuned.Total))),
			len(test), spread(val), spread(test), wilson(test, last.Test.N), fmt.Sprintf("%.0f", seconds))
		mcNemarRows(tests, v.encoder+", "+v.trained, pairs)
		tested = tested || len(pairs) > 0
	}
	if !tested {
		return t.String(), nil
	}
	return t.String() + "\n" + tests.String(), nil
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
