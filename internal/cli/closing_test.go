package cli

import (
	"bytes"
	"strings"
	"testing"

	"dla/internal/labs"
	"dla/internal/record"
)

// TestFailedSelfChecks: a self-check that fails is shown and is an error in every experiment that has any.
func TestFailedSelfChecks(t *testing.T) {
	bad := []record.Check{{What: "pigs fly", Found: "none does"}, {What: "all is well", Found: "so it is", OK: true}}
	for name, res := range map[string]record.Result{
		"fgsm":        &record.Attacks{Checks: bad},
		"distill":     &record.Classifier{Checks: bad},
		"finetune":    &record.Classifier{Finetuned: &record.Finetuned{Checks: bad}},
		"robust":      &record.Classifier{Robust: &record.Robust{Checks: bad}},
		"autoencoder": &record.Autoencoder{},
		"ood":         &record.OOD{},
	} {
		o := labs.Outcome{ID: "a-run", Variant: name, Result: res}
		err := failedChecks([]labs.Outcome{o})
		if err == nil || !strings.Contains(err.Error(), "run a-run: 1 of ") ||
			!strings.Contains(err.Error(), "self-checks failed: ") {
			t.Errorf("%s: error %v", name, err)
		}
		var out bytes.Buffer
		printChecks(&out, o, false)
		if !strings.Contains(out.String(), "1 FAILS") || !strings.Contains(out.String(), "  FAILS: ") {
			t.Errorf("%s: printed %s", name, out.String())
		}
	}
	if err := failedChecks([]labs.Outcome{{Result: &record.Classifier{Checks: bad[1:]}}}); err != nil {
		t.Errorf("a self-check that holds: %v", err)
	}
}
