package report

import (
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/run"
)

// tuning makes a finished run of lab3 finetune.
func tuning(t *testing.T, root, variant, method, targets string, rank int, seed uint64, right string) run.Record {
	t.Helper()
	c := config.DefaultFinetune(method)
	c.Seed = seed
	if method == config.MethodLoRA {
		c.LoRA.Targets, c.LoRA.Rank = targets, rank
	}
	return recordOf(t, root, "lab3/finetune", variant, seed, c, right, nil)
}

// TestIntervalOfTheMean: the mean of 8 and 7 correct out of 10 is 7.5, which is no count. In both tables the interval
// is that of 0.75, whatever the bits of the mean.
func TestIntervalOfTheMean(t *testing.T) {
	root := t.TempDir()
	const want = " | 75.00 ± 7.07 | 44.22–91.91, n = 10 |"
	wantText(t, tableOf(t, Finetuning,
		tuning(t, root, "minilm-lora-qv-r8", "lora", "qv", 8, 0, "1111111000"),
		tuning(t, root, "minilm-lora-qv-r8", "lora", "qv", 8, 1, "1111111100")), want)
	wantText(t, tableOf(t, Baseline,
		baselineRecord(t, root, "minilm-mlp256", 0, "1111111000", 0.8),
		baselineRecord(t, root, "minilm-mlp256", 1, "1111111100", 0.8)), want)
}

// TestFinetuning: rows in readers' order, means over seeds, and McNemar's test for each seed against the full
// fine-tuning of the same encoder, and of no other.
func TestFinetuning(t *testing.T) {
	root := t.TempDir()
	recs := []run.Record{
		tuning(t, root, "minilm-full", "full", "", 0, 0, "1111111100"),
		tuning(t, root, "minilm-head", "head", "", 0, 0, "1100000000"),
		tuning(t, root, "minilm-lora-qv-r16", "lora", "qv", 16, 0, "1111111110"),
		tuning(t, root, "minilm-lora-qv-r8", "lora", "qv", 8, 0, "1111000011"),
		tuning(t, root, "minilm-lora-qv-r8", "lora", "qv", 8, 1, "1111110011"),
		tuning(t, root, "minilm-full", "full", "", 0, 1, "1111111100"),
		tuning(t, root, "minilm-lora-q-r8-a32", "lora", "q", 8, 0, "1111000011"),
	}
	other := config.DefaultFinetune(config.MethodLoRA)
	other.Encoder.From = "mpnet"
	recs = append(recs, recordOf(t, root, "lab3/finetune", "mpnet-lora-qv-r8", 0, other, "1111111111", nil))
	table := tableOf(t, Finetuning, recs...)
	at := 0
	for _, want := range []string{
		"| MiniLM | LoRA q, rank 8, alpha 32 | pooled | 1000 |",
		"| MiniLM | LoRA q,v, rank 8 | pooled | 1000 | ",
		" | 2 | 50.00 ± 0.00 | 70.00 ± 14.14 | 39.68–89.22, n = 10 | 10 |\n",
		"| MiniLM | LoRA q,v, rank 16 | pooled | 1000 |",
		"| MiniLM | all weights | pooled | 1000 |",
		"| MiniLM | head only | pooled | 1000 |",
		"| MPNet | LoRA q,v, rank 8 | pooled | 1000 |",
		"| McNemar's test against all weights | seed |",
		"| MiniLM, LoRA q,v, rank 8 | 0 | 2 | 4 | 0.69 (exact) |\n",
		"| MiniLM, LoRA q,v, rank 8 | 1 | 2 | 2 | 1 (exact) |\n",
		"| MiniLM, LoRA q,v, rank 16 | 0 | 1 | 0 | 1 (exact) |\n",
	} {
		i := strings.Index(table[at:], want)
		if i < 0 {
			t.Fatalf("the table has no %q after %d:\n%s", want, at, table)
		}
		at += i
	}
	_, tests, _ := strings.Cut(table, "McNemar")
	wantNoText(t, tests, "MPNet") // there is no full fine-tuning of this encoder
	files := drawn(t, t.TempDir(), func(dir string) ([]string, error) { return Figures(recs, dir) })
	wantFiles(t, files, "loss.png", "val_loss.svg", "accuracy.png", "figures.json")
}

func TestVariantsOfFinetuning(t *testing.T) {
	for variant, want := range map[string]string{"minilm-full": "all weights",
		"my-own-lora-qkvo-r4": "LoRA q,k,v,o, rank 4",
		"mlp-d5-res":          "", "minilm-mlp256": "", "full": "", "minilm-lora-qv": "", "minilm-full-2": ""} {
		if got, _ := parseFinetuning(variant); got.Method != want {
			t.Errorf("%s is read as %q, want %q", variant, got.Method, want)
		}
	}
}
