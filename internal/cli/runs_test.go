package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dla/internal/run"
)

// recordOf makes a run whose best validation accuracy is that of epoch 2 and returns its id.
func recordOf(t *testing.T, root string, depth int, fingerprint string, finished bool) string {
	t.Helper()
	r, err := run.Create(root, run.Spec{Experiment: "lab1/resnet", Variant: fmt.Sprintf("mlp-d%d-res", depth),
		Config: fmt.Appendf(nil, "seed: 0\nmodel:\n  depth: %d\n  res: true\n", depth),
		Env:    run.Env{Data: run.DataInfo{Name: "mnist", Source: "a test", Fingerprint: fingerprint}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, acc := range []float64{0.5, 0.75, 0.625} {
		if err := r.AppendMetrics(run.Epoch{Epoch: i + 1, Train: run.Measure{Loss: 1.5},
			Val: run.Measure{Loss: 2.5, Accuracy: acc}}); err != nil {
			t.Fatal(err)
		}
	}
	if finished {
		err = r.Finish(json.RawMessage(`{"test":{"n":512,"accuracy":0.7,"ci95":[0.65,0.74]},"best_epoch":2,"val":{"accuracy":0.75},"wall_seconds":12.34,"params":99,"weights_sha256":"abc"}`))
	} else {
		err = r.SetStatus(run.StatusInterrupted, "by a signal")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return r.ID()
}

// dla runs a command line with in as its input and returns what it said and the exit code.
func dla(in string, tty bool, args ...string) (out, errOut string, code int) {
	var o, e bytes.Buffer
	code = Main(args, &Streams{In: strings.NewReader(in), Out: &o, Err: &e, InTTY: tty})
	return o.String(), e.String(), code
}

// want runs a command line that must end with code and say every part.
func want(t *testing.T, code int, args []string, parts ...string) string {
	t.Helper()
	out, errOut, got := dla("", false, args...)
	if got != code {
		t.Errorf("%v: exit %d, want %d; it said:\n%s%s", args, got, code, out, errOut)
	}
	for _, p := range parts {
		if !strings.Contains(out+errOut, p) {
			t.Errorf("%v: no %q in:\n%s%s", args, p, out, errOut)
		}
	}
	return out
}

func TestRunsLs(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	want(t, 0, []string{"runs", "ls", "--out", root}, "no runs under "+root, "dla lab1 resnet")
	if out := want(t, 0, []string{"runs", "ls", "--out", root, "--json"}); out != "[]\n" {
		t.Errorf("no runs as JSON: %q", out)
	}
	done, half := recordOf(t, root, 5, "f", true), recordOf(t, root, 1, "f", false)
	bad := recordOf(t, root, 2, "f", true)
	if err := os.WriteFile(filepath.Join(root, bad, "env.json"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, 0, []string{"runs", "ls", "--out", root}, done, "70.00 %", half, "interrupted", bad+" is broken: ", "env.json")
	want(t, 0, []string{"runs", "show", bad, "--out", root}, "broken (", "env.json",
		"next: put back a good copy, or dla runs rm "+bad)
	want(t, 1, []string{"runs", "compare", bad, done, "--out", root}, bad, "env.json", "put back a good copy")
	want(t, 0, []string{"plot", "--all", "--runs", root, "--out", filepath.Join(root, "figures")},
		"left out: "+bad+" is broken: ", "1 runs drawn")
	var all []run.Summary
	out := want(t, 0, []string{"runs", "ls", "--out", root, "--json"})
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 3 {
		t.Errorf("%d runs in %s, %v", len(all), out, err)
	}
}

func TestRunsShow(t *testing.T) {
	root := t.TempDir()
	done, half := recordOf(t, root, 5, "f", true), recordOf(t, root, 1, "f", false)
	want(t, 0, []string{"runs", "show", done, "--out", root}, done, "finished", "depth: 5",
		"70.00 % (65.00-74.00), n = 512", "epoch 2", "75.00", "12.3 s", "abc")
	want(t, 0, []string{"runs", "show", half, "--out", root}, "interrupted (by a signal)",
		"next: dla runs resume "+half+" --out "+root)
	var v struct {
		ID, Config string
		Metrics    []run.Epoch
	}
	out := want(t, 0, []string{"runs", "show", done, "--out", root, "--json"})
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.ID != done || len(v.Metrics) != 3 ||
		!strings.Contains(v.Config, "depth: 5") {
		t.Errorf("got %+v, %v", v, err)
	}
	want(t, 1, []string{"runs", "show", "nonsense", "--out", root}, `no run "nonsense"`, done)
	want(t, 2, []string{"runs", "show", "--out", root}, "accepts 1 arg")
}

func TestRunsCompare(t *testing.T) {
	root := t.TempDir()
	done, half, other := recordOf(t, root, 5, "f", true), recordOf(t, root, 1, "f", false), recordOf(t, root, 1, "g",
		false)
	out := want(t, 0, []string{"runs", "compare", done, half, "--out", root},
		"model.depth", "75.00 % (epoch 2)", "70.00 % (65.00-74.00)", "val_acc, epoch 3", "62.50 %")
	for _, not := range []string{"model.res", "NOTE"} { // the same in both, and so is the data
		if strings.Contains(out, not) {
			t.Errorf("%q in:\n%s", not, out)
		}
	}
	want(t, 0, []string{"runs", "compare", done, other, "--out", root}, "these runs used different data")
	var cols []comparison
	out = want(t, 0, []string{"runs", "compare", done, half, "--out", root, "--json"})
	if err := json.Unmarshal([]byte(out), &cols); err != nil || len(cols) != 2 || cols[1].Differs["model.depth"] != 1.0 {
		t.Errorf("got %+v, %v", cols, err)
	}
	if cols[0].WallSeconds == nil || *cols[0].WallSeconds != 12.34 || cols[1].WallSeconds != nil {
		t.Errorf("a wall time of %v and, not finished, %v", cols[0].WallSeconds, cols[1].WallSeconds)
	}
	// What took no time and got nothing right is 0, and what was never measured is not there.
	r, err := run.Create(root, run.Spec{Experiment: "lab1/resnet", Variant: "mlp-d1-res", Config: []byte("seed: 0\n"),
		Env: run.Env{Data: run.DataInfo{Name: "mnist", Fingerprint: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Finish(json.RawMessage(`{"test":{"n":2,"accuracy":0,"ci95":[0,0.66]},"wall_seconds":0}`)),
		r.Close()); err != nil {
		t.Fatal(err)
	}
	out = want(t, 0, []string{"runs", "compare", r.ID(), half, "--out", root, "--json"}, `"test_accuracy": 0,`,
		`"wall_seconds": 0,`)
	if n := strings.Count(out, `"best_val_accuracy"`); n != 1 {
		t.Errorf("%d best validation accuracies, want that of the run with epochs:\n%s", n, out)
	}
	want(t, 2, []string{"runs", "compare", done, "--out", root}, "requires at least 2")
}

func TestDifferingSeesKeysOfAnySide(t *testing.T) {
	got := differing([]map[string]any{{"a": 1, "b": 1}, {"b": 1, "c": 2}})
	if fmt.Sprint(got) != "[a c]" {
		t.Errorf("got %v", got)
	}
}

func TestRunsRm(t *testing.T) {
	root := t.TempDir()
	a, b := recordOf(t, root, 1, "f", true), recordOf(t, root, 2, "f", true)
	left := func() int {
		all, err := run.List(root)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	want(t, 2, []string{"runs", "rm", a, "--out", root}, "--yes")
	want(t, 1, []string{"runs", "rm", a, "nonsense", "--yes", "--out", root}, `no run "nonsense"`) // all or none
	want(t, 1, []string{"runs", "rm", a[:len(a)-1], "--yes", "--out", root}, "whole id")
	for _, answer := range []string{"", "\n", "n\n", "yikes\n"} {
		if _, errOut, code := dla(answer, true, "runs", "rm", a, "--out", root); code != 1 ||
			!strings.Contains(errOut, "nothing was removed") {
			t.Errorf("answer %q: exit %d, %s", answer, code, errOut)
		}
	}
	if left() != 2 {
		t.Fatal("something was removed")
	}
	if out, errOut, code := dla("Y", true, "runs", "rm", a, "--out", root); code != 0 ||
		!strings.Contains(out, "removed "+a) || !strings.Contains(errOut, "[y/N]") {
		t.Errorf("exit %d, %s%s", code, out, errOut)
	}
	want(t, 0, []string{"runs", "rm", b, "--yes", "--out", root}, "removed "+b)
	if left() != 0 {
		t.Error("a run is left")
	}
}

func TestRunsResumeOfAnUnknownRun(t *testing.T) {
	root := t.TempDir()
	id := recordOf(t, root, 1, "f", false)
	want(t, 1, []string{"runs", "resume", "mlp", "--out", root}, `no run "mlp"`, id)
	want(t, 2, []string{"runs", "resume", "--out", root}, "accepts 1 arg")
}
