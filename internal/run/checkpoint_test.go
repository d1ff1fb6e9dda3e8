package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dla/internal/weights"
)

func TestRestoreGoesOnWhereSaveStood(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	for n := 1; n <= 6; n++ {
		trainTo(t, r, n, n)
		if err := r.AppendMetrics("beyond the checkpoint"); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = resume(t, root, r.ID())
		c, err := r.Restore()
		if err != nil || c.Epoch != n {
			t.Fatalf("after epoch %d: %v, %v", n, c, err)
		}
		checkWhole(t, r, c)
	}
	list, err := os.ReadDir(r.path(checkpointsName))
	if err != nil || len(list) > 2*keep {
		t.Errorf("superseded files pile up: %v, %v", list, err)
	}
}

func TestRestoreWithoutACheckpointStartsAnew(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	if err := r.AppendMetrics("never saved"); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = resume(t, root, r.ID())
	if c, err := r.Restore(); c != nil || err != nil {
		t.Fatalf("restored %v, %v", c, err)
	}
	if got := content(t, r.path(metricsName)); got != "" {
		t.Errorf("metrics.jsonl still holds %q", got)
	}
	trainTo(t, r, 1, 1)
}

// killed is what a fault panics with to end a save without any clean-up, as a kill would.
type killed struct{}

// TestKillAtEveryStep ends the process, as far as the disk can tell, before each file operation of a
// save in turn. What is restored must be the old checkpoint or the new one, whole; then training goes
// on to the end.
func TestKillAtEveryStep(t *testing.T) {
	for have := range 4 { // epochs saved before
		for step := 1; ; step++ {
			root := t.TempDir()
			r := create(t, root)
			trainTo(t, r, 1, have)
			n, last := 0, ""
			faults(t, func(op, path string) error {
				if n++; n == step {
					last = op + " " + filepath.Base(path)
					panic(killed{})
				}
				return nil
			})
			done := func() (done bool) {
				defer func() {
					if p := recover(); p != nil && p != (any(killed{})) {
						panic(p)
					}
				}()
				return trainEpoch(r, have+1) == nil
			}()
			faults(t, nil)
			if err := r.Close(); err != nil { // the system closes files and drops locks
				t.Fatal(err)
			}
			r = resume(t, root, r.ID())
			c, err := r.Restore()
			if err != nil {
				t.Fatalf("%d epochs, killed before %s: %v", have, last, err)
			}
			at := 0
			if c != nil {
				checkWhole(t, r, c)
				at = c.Epoch
			}
			if at != have && at != have+1 {
				t.Fatalf("%d epochs, killed before %s: restored to epoch %d", have, last, at)
			}
			trainTo(t, r, at+1, have+3)
			if left, _ := filepath.Glob(r.path("*/.*")); len(left) > 0 {
				t.Errorf("killed before %s: %v is left", last, left)
			}
			if err := r.Finish(0); err != nil {
				t.Fatal(err)
			}
			if done {
				if at != have+1 || step < 10 {
					t.Fatalf("a whole save of %d operations restored to epoch %d", step, at)
				}
				break
			}
			if t.Failed() {
				t.Fatalf("%d epochs, killed before %s", have, last)
			}
		}
	}
}

// TestFailureAtEveryStep lets each file operation of a save fail as on a full disk. The error says
// so in one line, the checkpoint before stays good, and the same process can go on later.
func TestFailureAtEveryStep(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	trainTo(t, r, 1, 2)
	n := 2 // epochs whose metrics are written
	for step := 1; ; step++ {
		ops, failed := 0, ""
		faults(t, func(op, path string) error {
			if ops++; ops == step {
				failed = op + " " + filepath.Base(path)
				return syscall.ENOSPC
			}
			return nil
		})
		err := trainEpoch(r, n+1)
		faults(t, nil)
		if failed == "" {
			if err != nil || step < 10 {
				t.Fatalf("step %d: %v", step, err)
			}
			return
		}
		if err != nil { // a superseded file that stays is no error
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: %v", failed, err)
			}
			oneLine(t, err, r.Dir(), "dla runs resume "+r.ID())
		}
		// Go on as a new process would.
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = resume(t, root, r.ID())
		c, err := r.Restore()
		if err != nil {
			t.Fatalf("%s: %v", failed, err)
		}
		checkWhole(t, r, c)
		if c.Epoch != n && c.Epoch != n+1 {
			t.Fatalf("%s: restored to epoch %d, want %d or %d", failed, c.Epoch, n, n+1)
		}
		n = c.Epoch
	}
}

func TestMetricsOfAFailedWriteAreNotKept(t *testing.T) {
	r := create(t, t.TempDir())
	trainTo(t, r, 1, 1)
	faults(t, func(op, path string) error { return syscall.ENOSPC })
	oneLine(t, r.AppendMetrics("lost"), metricsName, syscall.ENOSPC.Error(), "dla runs resume")
	faults(t, nil)
	trainTo(t, r, 2, 2)
	if got := content(t, r.path(metricsName)); got != lines(2) {
		t.Errorf("metrics.jsonl is %q", got)
	}
}

// TestDamagedAverageIsMadeAgain: where validation evaluates an average of the weights, the best weights are the average
// of their checkpoint.
func TestDamagedAverageIsMadeAgain(t *testing.T) {
	r := create(t, t.TempDir())
	average := weights.Tensor{Name: "fc1.weight", Shape: []int{2, 2}, Data: []float32{5, 6, 7, 8}}
	kept := average
	kept.Name = AveragePrefix + average.Name
	if err := r.Save(Checkpoint{Epoch: 1, State: json.RawMessage("{}"), Tensors: append(tensors(1), kept),
		Best: &Best{1, []weights.Tensor{average}}}); err != nil {
		t.Fatal(err)
	}
	f := r.checkpoint(bestName(1))
	good := content(t, f)
	put(t, f, good[:len(good)-1]+"!")
	if _, err := r.Restore(); err != nil || content(t, f) != good {
		t.Errorf("the best weights were not made again: %v", err)
	}
}

// TestDamageAtEveryByte flips and truncates every byte of every file a checkpoint is made of. The
// run goes on from a whole checkpoint, with a warning where it is not the newest, or says in one line
// what is wrong; what it restores is never wrong.
func TestDamageAtEveryByte(t *testing.T) {
	r := create(t, t.TempDir())
	const newest = 3
	trainTo(t, r, 1, newest)
	files, err := filepath.Glob(r.path(checkpointsName + "/*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("checkpoint files %v, %v", files, err)
	}
	files = append(files, r.path(manifestName), r.path(metricsName))
	good := map[string]string{}
	for _, f := range files {
		good[f] = content(t, f)
	}
	// outcome restores the run with f damaged, says what came of it and mends f.
	outcome := func(f, damaged string) string {
		put(t, f, damaged)
		defer put(t, f, good[f])
		defer put(t, r.path(metricsName), good[r.path(metricsName)])
		if err := os.Truncate(r.path(logName), 0); err != nil {
			t.Fatal(err)
		}
		c, err := r.Restore()
		if err != nil {
			oneLine(t, err, r.ID(), r.Dir(), "dla runs rm")
			return "error"
		}
		if c == nil {
			t.Fatal("started anew")
		}
		checkWhole(t, r, c)
		log := content(t, r.path(logName))
		switch warned := strings.Contains(log, `"WARN"`); {
		case c.Epoch != newest:
			if !warned || !strings.Contains(log, "a damaged checkpoint is skipped") {
				t.Errorf("no warning in %s", log)
			}
			return "previous"
		case filepath.Base(f) == bestName(bestOf(newest)):
			if !warned || !strings.Contains(log, "made again") || content(t, f) != good[f] {
				t.Errorf("the best weights were not made again: %s", log)
			}
			return "made again"
		}
		return "newest"
	}
	for _, f := range files {
		base := filepath.Base(f)
		seen := map[string]int{}
		for i := range len(good[f]) {
			for _, flip := range []byte{0x01, 0x20, 0x80} {
				b := []byte(good[f])
				b[i] ^= flip
				o := outcome(f, string(b))
				seen[o]++
				// A manifest may still mean the same: the case of a key, a kind of space.
				if o == "newest" && (base == ckptName(newest) || base == metricsName) {
					t.Errorf("%s: byte %d flipped by %#x was not noticed", base, i, flip)
				}
			}
			seen[outcome(f, good[f][:i])]++
			if t.Failed() { // one is enough
				t.Fatalf("%s: byte %d of %d", base, i, len(good[f]))
			}
		}
		t.Logf("%-26s %5d bytes: %v", base, len(good[f]), seen)
	}
}

// TestEitherOfBestWeightsAndCheckpointIsEnough: many epochs after the last best one, any one file can be lost.
func TestEitherOfBestWeightsAndCheckpointIsEnough(t *testing.T) {
	const best, newest = 3, 7
	root := t.TempDir()
	r := create(t, root)
	trainTo(t, r, 1, best)
	for n := best + 1; n <= newest; n++ {
		if err := r.AppendMetrics(map[string]int{"epoch": n}); err != nil {
			t.Fatal(err)
		}
		if err := r.Save(Checkpoint{Epoch: n, State: json.RawMessage("{}"), Tensors: tensors(n)}); err != nil {
			t.Fatal(err)
		}
	}
	id := r.ID()
	files, err := filepath.Glob(r.path(checkpointsName + "/*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("checkpoint files %v, %v", files, err)
	}
	manifest, metrics := content(t, r.path(manifestName)), content(t, r.path(metricsName))
	restore := func() (*Checkpoint, error) {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = resume(t, root, id)
		return r.Restore()
	}
	for _, f := range files {
		good := content(t, f)
		put(t, f, good[:len(good)-1])
		c, err := restore()
		if err != nil {
			t.Fatalf("without %s: %v", filepath.Base(f), err)
		}
		want := newest
		if filepath.Base(f) == ckptName(newest) {
			want = best
		}
		if c.Epoch != want || weights.Fingerprint(c.Tensors) != weights.Fingerprint(tensors(want)) {
			t.Errorf("without %s: restored to epoch %d", filepath.Base(f), c.Epoch)
		}
		if w, epoch, err := r.BestWeights(); err != nil || epoch != best ||
			weights.Fingerprint(w.Tensors) != weights.Fingerprint(tensors(best)[:1]) {
			t.Errorf("without %s: best weights %v of epoch %d, %v", filepath.Base(f), w, epoch, err)
		}
		put(t, f, good)
		put(t, r.path(manifestName), manifest)
		put(t, r.path(metricsName), metrics)
	}

	// Both are: it says so, and neither is overwritten.
	for _, name := range []string{bestName(best), ckptName(best)} {
		put(t, r.path(checkpointsName+"/"+name), "lost")
	}
	_, err = restore()
	oneLine(t, err, id, "the best weights so far are lost", bestName(best), ckptName(best), "dla runs rm")
	if got := content(t, r.path(checkpointsName+"/"+bestName(best))); got != "lost" {
		t.Errorf("%s is now %q", bestName(best), got)
	}
}

func TestMissingFiles(t *testing.T) {
	for _, c := range []struct {
		remove []string
		want   string // of the error; empty: the epoch restored is at
		at     int
	}{
		{[]string{"checkpoints/" + ckptName(3)}, "", 2},
		{[]string{"checkpoints/" + ckptName(2)}, "", 3},
		{[]string{"checkpoints/" + bestName(3)}, "", 3},
		{[]string{"checkpoints/" + ckptName(2), "checkpoints/" + ckptName(3)}, "no checkpoint is whole", 0},
		{[]string{manifestName}, "manifest.json is missing", 0},
		{[]string{metricsName}, "metrics.jsonl is damaged", 0},
		{[]string{statusName}, "", 3},
	} {
		t.Run(fmt.Sprint(c.remove), func(t *testing.T) {
			root := t.TempDir()
			r := create(t, root)
			trainTo(t, r, 1, 3)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			for _, name := range c.remove {
				if err := os.Remove(r.path(name)); err != nil {
					t.Fatal(err)
				}
			}
			r = resume(t, root, r.ID())
			got, err := r.Restore()
			if c.want != "" {
				oneLine(t, err, r.ID(), c.want, "dla runs rm")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if checkWhole(t, r, got); got.Epoch != c.at {
				t.Errorf("restored to epoch %d, want %d", got.Epoch, c.at)
			}
			trainTo(t, r, got.Epoch+1, 5) // and training goes on
		})
	}
}

// TestOtherProgramsMetrics: what somebody else wrote to metrics.jsonl is not sealed into a checkpoint.
func TestOtherProgramsMetrics(t *testing.T) {
	r := create(t, t.TempDir())
	trainTo(t, r, 1, 2)
	put(t, r.path(metricsName), lines(2)+"x")
	oneLine(t, r.Save(Checkpoint{Epoch: 2, State: []byte("{}")}), metricsName, "no other program")
}

// TestRestoreOnAFullDisk: a run whose metrics cannot be cut back is not damaged, and nobody is told to remove it.
func TestRestoreOnAFullDisk(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	trainTo(t, r, 1, 2)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = resume(t, root, r.ID())
	faults(t, func(operation, _ string) error {
		if operation == "truncate" {
			return syscall.EIO
		}
		return nil
	})
	_, err := r.Restore()
	oneLine(t, err, r.Dir(), syscall.EIO.Error(), "continue with `dla runs resume "+r.ID())
	if strings.Contains(err.Error(), "runs rm") {
		t.Errorf("%v", err)
	}
	faults(t, nil)
	if c, err := r.Restore(); err != nil || c.Epoch != 2 {
		t.Errorf("restored %+v, %v", c, err)
	}
}
