package report

import (
	"fmt"
	"strings"
	"testing"

	"dla/internal/run"
)

// TestLines: runs have the labels of figures and tables, one colour with and without skip connections, and one place
// for all seeds.
func TestLines(t *testing.T) {
	rec := func(id, variant, config string) run.Record {
		return run.Record{Summary: run.Summary{ID: id, Variant: variant}, Dir: id, Config: []byte(config)}
	}
	recs := []run.Record{rec("a", "mlp-d5-res", "seed: 0\n"), rec("b", "mlp-d1-plain", "seed: 0\n"),
		rec("c", "mlp-d5-plain", "seed: 0\n"), rec("d", "mlp-d5-res", "seed: 1\n"),
		rec("e", "mlp-d5-res", "train:\n  lr: 0.5\n"),
		rec("f", "resnet20-robust-fgsm8", "seed: 0\n")}
	recs[5].Experiment = "lab4/robust"
	all := Lines(recs)
	var got []string
	for _, l := range all {
		got = append(got, fmt.Sprintf("%d %s %v", l.Rank, l.Label, l.Residual))
	}
	want := "2 d5 residual, lr 0.1 true|0 d1 plain false|1 d5 plain false|2 d5 residual, lr 0.1 true|" +
		"3 d5 residual, lr 0.5 true|4 20 layers residual, adversarially fine-tuned true"
	if got := strings.Join(got, "|"); got != want {
		t.Errorf("lines %s, want %s", got, want)
	}
	two := Lines(recs[:3])
	if two[0].Hue != two[2].Hue || two[0].Hue == two[1].Hue {
		t.Errorf("hues %+v", two)
	}
	if all[5].Measured["loss"] != "cross-entropy with the outlier loss" || two[0].Measured["loss"] != "cross-entropy" {
		t.Errorf("measured %v, %v", all[5].Measured, two[0].Measured)
	}
}

// TestSameButSeed: seeds are one, and nothing else is: not the experiment, the data, nor any setting. What an older
// record lacks has its default.
func TestSameButSeed(t *testing.T) {
	of := func(experiment, data, config string) string {
		return SameButSeed(run.Record{Summary: run.Summary{Experiment: experiment, Variant: "a", Fingerprint: data},
			Config: []byte(config)})
	}
	first := of("lab1/resnet", "x", "seed: 0\ntrain:\n  lr: 0.1\n")
	for _, same := range []string{"seed: 7\ntrain:\n  lr: 0.1\n", "train:\n  lr: 0.1\n  momentum: 0.9\n"} {
		if of("lab1/resnet", "x", same) != first {
			t.Errorf("another by %q", same)
		}
	}
	seen := map[string]string{}
	for what, key := range map[string]string{"first": first,
		"experiment": of("lab4/robust", "x", "seed: 0\ntrain:\n  lr: 0.1\n"),
		"data":       of("lab1/resnet", "y", "seed: 0\ntrain:\n  lr: 0.1\n"), "rate": of("lab1/resnet", "x",
			"train:\n  lr: 0.2\n"),
		"another key":   of("lab1/resnet", "x", "train:\n  lr: 0.1\nfgsm:\n  eps: [1, 2]\n"),
		"its value":     of("lab1/resnet", "x", "train:\n  lr: 0.1\nfgsm:\n  eps: [1, 3]\n"),
		"a nested seed": of("lab1/resnet", "x", "train:\n  lr: 0.1\nteacher:\n  seed: 1\n"),
		"no YAML":       of("lab1/resnet", "x", "{")} {
		if seen[key] != "" {
			t.Errorf("%s and %s are the same", what, seen[key])
		}
		seen[key] = what
	}
}
