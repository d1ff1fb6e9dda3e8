package run

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dla/internal/atomicfile"
)

// closed makes a run of the given id with one epoch, and closes it.
func closed(t *testing.T, root, id string) {
	t.Helper()
	r := create(t, root)
	trainTo(t, r, 1, 1)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.Dir(), filepath.Join(root, id)); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenRunsAreListedWithTheReason(t *testing.T) {
	for _, c := range []struct {
		name, file, content string // empty content: the file is removed
		status              Status
		want                string // in Detail
	}{
		{"no environment", envName, "", StatusBroken, envName},
		{"neither environment nor status", envName + " " + statusName + " " + manifestName, "", StatusBroken,
			"before the run began"},
		{"environment cut short", envName, `{"variant":`, StatusBroken, envName},
		{"no configuration", configName, "", StatusBroken, configName},
		{"no status", statusName, "", StatusInterrupted, "its process died"},
		{"unknown status", statusName, `{"status":"asleep"}`, StatusBroken, "asleep"},
		{"status broken, given by a file", statusName, `{"status":"broken"}`, StatusBroken, "unknown"},
		{"status of zeros", statusName, "\x00\x00\x00", StatusBroken, statusName},
		{"finished without a result", statusName, `{"status":"finished"}`, StatusBroken, resultName},
		{"metrics that are no metrics", metricsName, "hello\n", StatusBroken, metricsName + ":1"},
		{"a metrics line being written", metricsName, "{\"epoch\":1}\n{\"epo", StatusInterrupted, ""},
		{"no metrics yet", metricsName, "", StatusInterrupted, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			closed(t, root, "a")
			closed(t, root, "b")
			for _, file := range strings.Fields(c.file) {
				path := filepath.Join(root, "a", file)
				if c.content == "" {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				} else {
					put(t, path, c.content)
				}
			}
			all, err := List(root)
			if err != nil || len(all) != 2 {
				t.Fatalf("%d runs, %v", len(all), err)
			}
			if s := all[0]; s.ID != "a" || s.Status != c.status || !strings.Contains(s.Detail, c.want) {
				t.Errorf("got %s %s (%s), want %s (…%s…)", s.ID, s.Status, s.Detail, c.status, c.want)
			}
			if all[1].Status != StatusInterrupted {
				t.Errorf("its neighbour is %s", all[1].Status)
			}
		})
	}
}

func TestResumeSaysWhyABrokenRunCannotGoOn(t *testing.T) {
	root := t.TempDir()
	closed(t, root, "a")
	put(t, filepath.Join(root, "a", envName), "{")
	_, err := Resume(root, "a", spec().Env, false)
	oneLine(t, err, "run a", envName, "dla runs rm a")
	if owned(filepath.Join(root, "a")) {
		t.Error("the lock was kept")
	}
}

func TestListSkipsWhatIsNoRun(t *testing.T) {
	root := t.TempDir()
	if all, err := List(filepath.Join(root, "absent")); len(all) > 0 || err != nil {
		t.Errorf("an absent root: %v, %v", all, err)
	}
	closed(t, root, "a")
	for _, d := range []string{"figures/lab1-resnet", ".hidden"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(root, "notes.txt"), "")
	all, err := List(root)
	if err != nil || len(all) != 1 || all[0].ID != "a" {
		t.Errorf("listed %v, %v", all, err)
	}
}

func TestARunThatIsBeingCreatedIsRunning(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	if err := os.Remove(r.path(envName)); err != nil {
		t.Fatal(err)
	}
	all, err := List(root)
	if err != nil || len(all) != 1 || all[0].Status != StatusRunning {
		t.Errorf("listed %v, %v", all, err)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	_, err := Find(root, "x")
	oneLine(t, err, "no runs under "+root)
	for _, id := range []string{"20261124-093015-mlp-d1-s0", "20261124-093015-mlp-d5-s0", "20261125-101010-mlp-d5-s0",
		"20261125-101010-mlp-d5-s0-2"} {
		closed(t, root, id)
	}
	for _, c := range []struct{ id, found, fails string }{
		{"20261124-093015-mlp-d1-s0", "20261124-093015-mlp-d1-s0", ""},
		{"20261124-093015-mlp-d5", "20261124-093015-mlp-d5-s0", ""},
		{"20261125-101010-mlp-d5-s0", "20261125-101010-mlp-d5-s0", ""}, // exact, though another begins with it
		{"20261124", "", "give more characters of the id"},
		{"", "", "the nearest are"},
		{"20261124-093015-mlp-d2-s0", "", "the nearest are 20261124-093015-mlp-d1-s0, 20261124-093015-mlp-d5-s0"},
		{"../" + filepath.Base(root) + "/20261124-093015-mlp-d1-s0", "", "there is no run"},
		{"..", "", "there is no run"},
	} {
		rec, err := Find(root, c.id)
		if c.fails != "" {
			oneLine(t, err, c.fails)
		} else if err != nil || rec.ID != c.found {
			t.Errorf("%q found %s, %v", c.id, rec.ID, err)
		}
	}
}

func TestRemove(t *testing.T) {
	root := t.TempDir()
	closed(t, root, "run-a")
	closed(t, root, "run-b")
	oneLine(t, Remove(root, "run-"), "may be any of")
	oneLine(t, Remove(root, "run-c"), "the nearest are")
	if err := Remove(root, "run-a"); err != nil {
		t.Fatal(err)
	}
	oneLine(t, Remove(root, "run-"), "whole id")
	if all, err := List(root); err != nil || len(all) != 1 || all[0].ID != "run-b" {
		t.Errorf("left: %v, %v", all, err)
	}
	put(t, filepath.Join(root, "run-b", envName), "{") // a broken one can go too
	if err := Remove(root, "run-b"); err != nil {
		t.Error(err)
	}
}

func TestRemoveStaysInsideTheRoot(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	closed(t, outside, "precious")
	closed(t, root, "mine")
	if err := os.Symlink(filepath.Join(outside, "precious"), filepath.Join(root, "linked")); err != nil {
		t.Skipf("this system makes no links: %v", err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "mine", "outside")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"a-file": filepath.Join(outside, "file"),
		"nothing": filepath.Join(outside, "nothing"), "itself": filepath.Join(root, "itself")} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := List(root) // a link to a run is read as one, and others are none
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v; want two runs", all, err)
	}
	if all[0].ID != "linked" || all[1].ID != "mine" {
		t.Errorf("the runs are %s and %s, want linked and mine", all[0].ID, all[1].ID)
	}
	if all[0].Status == StatusBroken {
		t.Errorf("linked is %s: %s", all[0].Status, all[0].Detail)
	}
	rec, err := Find(root, "linked")
	if err != nil || rec.Env.Data.Fingerprint == "" {
		t.Errorf("%+v, %v", rec, err)
	}
	_, err = Resume(root, "linked", spec().Env, false)
	oneLine(t, err, "is a link to", "a link to a run is only read; use `dla runs resume precious --out ")
	oneLine(t, Remove(root, "linked"), "a link to a run is only read; use `dla runs rm precious --out ")
	for _, id := range []string{"linked", "linked/", "..", ".", "", "../" + filepath.Base(outside) + "/precious",
		filepath.Join(outside, "precious"), "mine/outside/precious"} {
		if Remove(root, id) == nil {
			t.Errorf("%q was removed", id)
		}
	}
	if err := Remove(root, "mine"); err != nil { // the link inside goes, what it names stays
		t.Error(err)
	}
	if all, err := List(outside); err != nil || len(all) != 1 {
		t.Errorf("outside: %v, %v", all, err)
	}
}

func TestListDoesNotDisturb(t *testing.T) {
	root := t.TempDir()
	closed(t, root, "a")
	if err := os.Remove(filepath.Join(root, "a", lockName)); err != nil { // as in a record that was copied
		t.Fatal(err)
	}
	before, _ := os.ReadDir(filepath.Join(root, "a"))
	if _, err := List(root); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadDir(filepath.Join(root, "a")); !slices.EqualFunc(before, after,
		func(a, b os.DirEntry) bool { return a.Name() == b.Name() }) {
		t.Errorf("listing changed the run: %v", after)
	}
	// Somebody who lists all the time does not keep a run from being taken over.
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				owned(filepath.Join(root, "a"))
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for range 10 {
		r, err := Resume(root, "a", spec().Env, false)
		if err != nil {
			t.Error(err)
			break
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-done
}

// TestRemoveInterrupted: a run whose removal is interrupted is gone, and the next writer deletes what is left of it.
func TestRemoveInterrupted(t *testing.T) {
	root := t.TempDir()
	closed(t, root, "run-a")
	faults(t, func(op, _ string) error {
		if op == "remove" {
			return syscall.EIO
		}
		return nil
	})
	oneLine(t, Remove(root, "run-a"), "removing run run-a")
	faults(t, nil)
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 1 || !atomicfile.IsTemporary(left[0].Name()) {
		t.Fatalf("left are %v, error %v", left, err)
	}
	if all, err := List(root); err != nil || len(all) != 0 {
		t.Errorf("listed are %v, error %v", all, err)
	}
	// As if this process were gone.
	killed := strings.Replace(left[0].Name(), fmt.Sprintf("-%d-", os.Getpid()), "-4194999-", 1)
	if err := os.Rename(filepath.Join(root, left[0].Name()), filepath.Join(root, killed)); err != nil {
		t.Fatal(err)
	}
	r, err := Create(root, spec())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if left, err = os.ReadDir(root); err != nil || len(left) != 1 || left[0].Name() != r.ID() {
		t.Errorf("left are %v, error %v", left, err)
	}
}
