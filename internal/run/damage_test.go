package run

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dla/internal/weights"
)

// finished makes a finished run of three epochs and closes it.
func finished(t *testing.T, root string) *Run {
	t.Helper()
	r := create(t, root)
	trainTo(t, r, 1, 3)
	if err := r.Finish(map[string]any{"test": map[string]any{"accuracy": 0.5}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChangedSettingsAreRefused(t *testing.T) {
	for what, config := range map[string]string{"edited": "seed: 4\n", "cut": "", "of the same meaning": "seed:  3\n"} {
		t.Run(what, func(t *testing.T) {
			root := t.TempDir()
			closed(t, root, "a")
			path := filepath.Join(root, "a", configName)
			put(t, path, config)
			parts := []string{"run a", path + " is not what the run began with", envName, "put back a good copy",
				"dla runs rm a"}
			_, err := Find(root, "a")
			oneLine(t, err, parts...)
			_, err = Resume(root, "a", spec().Env, false)
			oneLine(t, err, parts...)
			if all, err := List(root); err != nil || all[0].Status != StatusBroken || !strings.Contains(all[0].Detail, path) {
				t.Errorf("listed %+v, %v", all, err)
			}
			if rec, err := Examine(root, "a"); err != nil || rec.Damage() == nil {
				t.Errorf("examined %+v, %v", rec, err)
			}
			put(t, filepath.Join(root, "a", resultName), "{}")
			_, err = ReadFolder(filepath.Join(root, "a")) // as a shipped checkpoint
			oneLine(t, err, parts[1], "put back a good copy")

			put(t, path, "seed: 3\n")
			if _, err := ReadFolder(filepath.Join(root, "a")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFinishedRecordsAreVerified changes each file of a finished record to something else that could be read.
func TestFinishedRecordsAreVerified(t *testing.T) {
	for _, c := range []struct{ file, old, new string }{
		{envName, `"feed"`, `"fade"`},
		{metricsName, `{"epoch":2}`, `{"epoch":7}`},
		{metricsName, `{"epoch":3}` + "\n", ""},
		{resultName, "0.5", "0.9"},
	} {
		t.Run(c.file, func(t *testing.T) {
			root := t.TempDir()
			r := finished(t, root)
			if _, err := Find(root, r.ID()); err != nil {
				t.Fatal(err)
			}
			path := r.path(c.file)
			good := content(t, path)
			put(t, path, strings.Replace(good, c.old, c.new, 1))
			_, err := Find(root, r.ID())
			oneLine(t, err, r.ID(), path+" is damaged", "put back a good copy", "dla runs rm")

			// An older record says nothing of env.json and result.json; metrics.jsonl is in its manifest.
			put(t, r.path(statusName), `{"status":"finished"}`)
			_, err = Find(root, r.ID())
			if c.file == metricsName {
				oneLine(t, err, path+" is damaged", manifestName)
			} else if err != nil {
				t.Errorf("an older record: %v", err)
			}
			put(t, path, good)
			if _, err := Find(root, r.ID()); err != nil {
				t.Errorf("an older record: %v", err)
			}
		})
	}
}

// TestFinishedRunsStayFinished: whatever a finished run has lost, it is never written again.
func TestFinishedRunsStayFinished(t *testing.T) {
	for _, c := range []struct {
		name, file, content string // empty content: the file is removed
		status              Status
		resume              string // what it says
	}{
		{"no status", statusName, "", StatusFinished, "is finished"},
		{"status of zeros", statusName, "\x00", StatusBroken, statusName},
		{"no result", resultName, "", StatusBroken, "is finished"},
		{"result cut short", resultName, `{"test":`, StatusBroken, "is finished"},
		{"no metrics", metricsName, "", StatusBroken, "is finished"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			r := finished(t, root)
			if c.content != "" {
				put(t, r.path(c.file), c.content)
			} else if err := os.Remove(r.path(c.file)); err != nil {
				t.Fatal(err)
			}
			rec, err := Examine(root, r.ID())
			if err != nil || rec.Status != c.status {
				t.Errorf("it is %s (%s), %v; want %s", rec.Status, rec.Detail, err, c.status)
			}
			_, err = Resume(root, r.ID(), spec().Env, false)
			oneLine(t, err, c.resume)
		})
	}
}

// TestResumedRunsSayWithWhat: a run goes on with the kernels that made it so far, or with others where that is asked
// for; either way its record says what it went on with.
func TestResumedRunsSayWithWhat(t *testing.T) {
	root := t.TempDir()
	r := create(t, root) // by a process whose kernels have no name
	id := r.ID()
	other, arm := spec().Env, spec().Env
	other.Kernel, other.Threads, other.Revision = "portable", 7, "next"
	arm.Arch = "arm64"
	for i, c := range []struct {
		here    Env
		allowed bool
		fails   string
	}{
		{spec().Env, false, ""},
		{other, false, "--allow-other-kernels"},
		{arm, false, "go on where it was"},
		{other, true, ""},
		{spec().Env, false, "set DLA_KERNEL=portable"},
		{other, false, ""}, // as the last time
	} {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(r.path(statusName))
		again, err := Resume(root, id, c.here, c.allowed)
		if c.fails != "" {
			oneLine(t, err, id, c.fails)
			if string(before) != content(t, r.path(statusName)) {
				t.Errorf("%d: the refused run was changed", i)
			}
			continue
		}
		if err != nil {
			t.Fatal(i, err)
		}
		t.Cleanup(func() { _ = again.Close() })
		r = again
	}
	if _, err := r.Restore(); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(map[string]int{}); err != nil {
		t.Fatal(err)
	}
	rec, err := Find(root, id)
	if err != nil || len(rec.Resumed) != 3 {
		t.Fatalf("resumed %+v, %v; want 3 times", rec.Resumed, err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"the first kernel", rec.Resumed[0].Kernel, ""},
		{"the second number of threads", rec.Resumed[1].Threads, 7},
		{"the second fingerprint", rec.Resumed[1].Data.Fingerprint, "feed"},
		{"the third revision", rec.Resumed[2].Revision, "next"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	put(t, r.path(resumedName), "[]")
	_, err = Find(root, id)
	oneLine(t, err, resumedName+" is damaged")
}

// TestFinishedRunsKeepTheSelectedWeights: and of their checkpoints nothing else, once they are dropped.
func TestFinishedRunsKeepTheSelectedWeights(t *testing.T) {
	for _, epochs := range []int{1, 3, 4} { // the last is the best, and is not
		root := t.TempDir()
		r := create(t, root)
		trainTo(t, r, 1, epochs)
		r.DropCheckpoints() // not before it is finished
		if list, _ := os.ReadDir(r.path(checkpointsName)); len(list) < 2 {
			t.Fatalf("an unfinished run keeps %v", list)
		}
		if err := r.Finish(map[string]int{}); err != nil {
			t.Fatal(err)
		}
		r.DropCheckpoints()
		list, err := os.ReadDir(r.path(checkpointsName))
		if err != nil || len(list) != 1 || list[0].Name() != bestName(bestOf(epochs)) {
			t.Errorf("%d epochs: left are %v, %v", epochs, list, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		rec, err := Find(root, r.ID())
		if err != nil {
			t.Fatal(err)
		}
		if f, epoch, err := rec.BestWeights(); err != nil || epoch != bestOf(epochs) ||
			weights.Fingerprint(f.Tensors) != weights.Fingerprint(tensors(epoch)[:1]) {
			t.Errorf("%d epochs: best weights of epoch %d, %v", epochs, epoch, err)
		}
	}
}

// TestCommittedRecords: what is kept in the repository is as it was made.
func TestCommittedRecords(t *testing.T) {
	n := 0
	for _, top := range []string{"results", "checkpoints"} {
		err := filepath.WalkDir(filepath.Join("..", "..", top), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != envName {
				return err
			}
			dir := filepath.Dir(path)
			if _, gone := os.Stat(filepath.Join(dir, resultName)); top == "results" && gone != nil {
				t.Logf("%s is being made: %v", dir, gone)
				return nil
			}
			n++
			if _, err := ReadFolder(dir); err != nil {
				t.Error(err)
			}
			if top == "results" {
				if _, err := Find(filepath.Dir(dir), filepath.Base(dir)); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 100 {
		t.Errorf("only %d records were found", n)
	}
}
