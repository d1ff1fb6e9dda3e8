package run

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dla/internal/atomicfile"
	"dla/internal/weights"
)

// The tests train a pretended network whose whole state after epoch n is a function of n, so that
// any restored state can be told whole or not.

func spec() Spec {
	return Spec{Experiment: "lab1/resnet", Variant: "mlp-d5-res", Seed: 3, Config: []byte("seed: 3\n"),
		Env: Env{Version: "1", Data: DataInfo{Name: "mnist", Fingerprint: "feed"}}}
}

func create(t *testing.T, root string) *Run {
	t.Helper()
	r, err := Create(root, spec())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func resume(t *testing.T, root, id string) *Run {
	t.Helper()
	r, err := Resume(root, id, spec().Env, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func tensors(n int) []weights.Tensor {
	return []weights.Tensor{
		{Name: "fc1.weight", Shape: []int{2, 2}, Data: []float32{float32(n), float32(n) + 0.25, -1, 0}},
		{Name: "optim/momentum/fc1.weight", Shape: []int{2, 2}, Data: []float32{0, 0, float32(-n), 0}},
	}
}

func line(n int) string { return fmt.Sprintf("{\"epoch\":%d}\n", n) }

func lines(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(line(i + 1))
	}
	return s.String()
}

// bestOf is the epoch of the best weights after epoch n: the odd ones bring new best weights.
func bestOf(n int) int { return n - 1 + n%2 }

func trainEpoch(r *Run, n int) error {
	if err := r.AppendMetrics(map[string]int{"epoch": n}); err != nil {
		return err
	}
	c := Checkpoint{Epoch: n, State: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)), Tensors: tensors(n)}
	if bestOf(n) == n {
		c.Best = &Best{n, tensors(n)[:1]}
	}
	return r.Save(c)
}

func trainTo(t *testing.T, r *Run, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := trainEpoch(r, n); err != nil {
			t.Fatal(err)
		}
	}
}

// checkWhole fails unless the run has just been restored to all that epoch c.Epoch was.
func checkWhole(t *testing.T, r *Run, c *Checkpoint) {
	t.Helper()
	n := c.Epoch
	if want := fmt.Sprintf(`{"n":%d}`, n); string(c.State) != want {
		t.Errorf("epoch %d: state %s", n, c.State)
	}
	if weights.Fingerprint(c.Tensors) != weights.Fingerprint(tensors(n)) {
		t.Errorf("epoch %d: tensors %v", n, c.Tensors)
	}
	if got := content(t, r.path(metricsName)); got != lines(n) {
		t.Errorf("epoch %d: metrics.jsonl is %q", n, got)
	}
	f, epoch, err := r.BestWeights()
	if err != nil {
		t.Errorf("epoch %d: %v", n, err)
	} else if epoch != bestOf(n) || weights.Fingerprint(f.Tensors) != weights.Fingerprint(tensors(epoch)[:1]) {
		t.Errorf("epoch %d: best weights are %v of epoch %d", n, f.Tensors, epoch)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// oneLine fails unless err is a single line that holds every part.
func oneLine(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("want %q in: %v", p, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
}

func TestRecordOfAWholeRun(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	r := create(t, root)
	if c, err := r.Restore(); c != nil || err != nil {
		t.Fatalf("a new run restored %v, %v", c, err)
	}
	trainTo(t, r, 1, 3)
	if err := r.Finish(map[string]any{"test": map[string]any{"accuracy": 0.5}}); err != nil {
		t.Fatal(err)
	}
	rec, err := Find(root, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	if rec.TestAccuracy == nil || *rec.TestAccuracy != 0.5 {
		t.Errorf("the test accuracy is %v, want 0.5", rec.TestAccuracy)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"Status", rec.Status, StatusFinished},
		{"Detail", rec.Detail, ""},
		{"Epochs", rec.Epochs, 3},
		{"Config", string(rec.Config), "seed: 3\n"},
		{"Seed", rec.Seed, uint64(3)},
		{"Variant", rec.Variant, "mlp-d5-res"},
		{"ConfigHash", rec.ConfigHash, spec().ConfigHash()},
		{"Fingerprint", rec.Fingerprint, "feed"},
		{"Env.Version", rec.Env.Version, "1"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if !strings.HasSuffix(r.ID(), "-mlp-d5-res-s3") || r.Dir() != filepath.Join(root, r.ID()) {
		t.Errorf("id %s in %s", r.ID(), r.Dir())
	}
}

func TestFinishedRunsDoNotChange(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	trainTo(t, r, 1, 1)
	if err := r.Finish(map[string]int{}); err != nil {
		t.Fatal(err)
	}
	before := content(t, r.path(metricsName)) + content(t, r.path(manifestName)) + content(t, r.path(statusName))
	_, restore := r.Restore()
	for what, err := range map[string]error{
		"AppendMetrics": r.AppendMetrics(1), "Save": trainEpoch(r, 2), "Finish": r.Finish(1),
		"SetStatus": r.SetStatus(StatusFailed, "late"), "Restore": restore,
	} {
		t.Run(what, func(t *testing.T) { oneLine(t, err, r.ID(), "is finished") })
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Resume(root, r.ID(), spec().Env, false)
	oneLine(t, err, r.ID(), "is finished", "dla runs show")
	if content(t, r.path(metricsName))+content(t, r.path(manifestName))+content(t, r.path(statusName)) != before {
		t.Error("the record changed")
	}
	if _, err := os.Stat(r.path(resultName)); err != nil {
		t.Error(err)
	}
}

func TestMisuseIsRefused(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	oneLine(t, r.SetStatus(StatusFinished, ""), "cannot be given")
	oneLine(t, r.Save(Checkpoint{State: json.RawMessage("{")}), "not JSON")
	oneLine(t, r.AppendMetrics(func() {}), "metrics")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	oneLine(t, r.AppendMetrics(1), "is closed")
	oneLine(t, trainEpoch(r, 1), "is closed")
	again := resume(t, root, r.ID())
	oneLine(t, trainEpoch(again, 1), "not restored")
}

func TestCreateGivesEveryRunItsOwnName(t *testing.T) {
	root := t.TempDir()
	seen := map[string]bool{}
	for range 5 { // most within one second
		id := create(t, root).ID()
		if seen[id] {
			t.Fatalf("%s was given twice", id)
		}
		seen[id] = true
	}
	all, err := List(root)
	if err != nil || len(all) != 5 {
		t.Errorf("%d runs listed, %v", len(all), err)
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	put(t, file, "")
	_, err := Create(file, spec())
	oneLine(t, err, file, "--out")
	_, err = Create(filepath.Join(file, "below"), spec())
	oneLine(t, err, file, "--out")

	s := spec()
	for _, s.Variant = range []string{"../../x", "a/b", `a\b`, "a b", "a\x00"} {
		_, err := Create(dir, s)
		oneLine(t, err, "is not a valid name of a run")
	}

	if os.Getuid() > 0 { // nothing is unwritable to root
		locked := filepath.Join(dir, "locked")
		if err := os.Mkdir(locked, 0o555); err != nil {
			t.Fatal(err)
		}
		_, err := Create(locked, spec())
		oneLine(t, err, locked, "--out")
	}
}

func TestCreateOnAFullDiskLeavesNothing(t *testing.T) {
	root := t.TempDir()
	for i := 1; ; i++ {
		n := 0
		faults(t, func(string, string) error {
			if n++; n == i {
				return syscall.ENOSPC
			}
			return nil
		})
		r, err := Create(root, spec())
		if err == nil {
			_ = r.Close()
			if i < 10 {
				t.Fatalf("only %d operations could fail", i)
			}
			return
		}
		oneLine(t, err, root, "--out", syscall.ENOSPC.Error())
		if left, _ := os.ReadDir(root); len(left) > 0 {
			t.Fatalf("operation %d: %v is left", i, left)
		}
	}
}

// faults makes the file operations of this test go through f.
func faults(t *testing.T, f func(operation, path string) error) {
	atomicfile.Fault = f
	t.Cleanup(func() { atomicfile.Fault = nil })
}

func TestOnlyOneProcessOwnsARun(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	status := func() Status {
		rec, err := Find(root, r.ID())
		if err != nil {
			t.Fatal(err)
		}
		return rec.Status
	}
	if s := status(); s != StatusRunning {
		t.Errorf("a live run is listed as %s", s)
	}
	_, err := Resume(root, r.ID(), spec().Env, false)
	oneLine(t, err, r.ID(), "another process")
	oneLine(t, Remove(root, r.ID()), r.ID(), "another process")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if s := status(); s != StatusInterrupted {
		t.Errorf("a dead run is listed as %s", s)
	}
	again := resume(t, root, r.ID()[:len(r.ID())-1]) // a unique beginning will do
	if s := status(); s != StatusRunning {
		t.Errorf("a resumed run is listed as %s", s)
	}
	if err := again.SetStatus(StatusPaused, "by --max-time"); err != nil {
		t.Fatal(err)
	}
	if s := status(); s != StatusPaused {
		t.Errorf("a paused run is listed as %s", s)
	}
}

func TestLoggerWritesJSON(t *testing.T) {
	r := create(t, t.TempDir())
	r.Logger().Warn("careful", "file", "x")
	var rec struct{ Level, Msg, File string }
	if err := json.Unmarshal([]byte(content(t, r.path(logName))), &rec); err != nil || rec.Level != "WARN" ||
		rec.Msg != "careful" || rec.File != "x" {
		t.Errorf("logged %+v, %v", rec, err)
	}
}
