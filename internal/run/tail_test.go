package run

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTail: each epoch comes once, a line being written is left, and a file that was cut back begins anew.
func TestTail(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, metricsName)
	tail := Tail{Dir: dir}
	want := func(what string, again bool, epochs ...int) {
		t.Helper()
		got, a, err := tail.Next()
		if err != nil || a != again || len(got) != len(epochs) {
			t.Fatalf("%s: %d epochs, again %v, %v; want %d, %v", what, len(got), a, err, len(epochs), again)
		}
		for i, e := range got {
			if e.Epoch != epochs[i] {
				t.Errorf("%s: epoch %d, want %d", what, e.Epoch, epochs[i])
			}
		}
	}
	want("no file", false)
	put(t, file, "")
	want("an empty file", false)
	put(t, file, lines(2)+`{"epoch":`)
	want("two and a half lines", false, 1, 2)
	want("nothing new", false)
	put(t, file, lines(4))
	want("two more", false, 3, 4)
	put(t, file, lines(3))
	want("cut back", true, 1, 2, 3)
	put(t, file, lines(2)+"{\"epoch\":3,\"step\":9}\n"+line(4)) // cut back and gone on between two looks
	want("others in their place", true, 1, 2, 3, 4)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want("gone", true)
	put(t, file, line(1)+"{\n")
	if _, _, err := tail.Next(); err == nil {
		t.Error("a line that is no JSON was read")
	}
}

// TestGlance: a glance says what List says, and has the last epoch.
func TestGlance(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	trainTo(t, r, 1, 3)
	if g := Glance(r.Dir()); g.Status != StatusRunning || !Owned(r.Dir()) || g.Epochs != 3 || len(g.Metrics) != 1 ||
		g.Metrics[0].Epoch != 3 {
		t.Errorf("a running one: %s, %d epochs, %+v", g.Status, g.Epochs, g.Metrics)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if g := Glance(r.Dir()); g.Status != StatusInterrupted || g.Detail != Died || Owned(r.Dir()) {
		t.Errorf("one whose process died: %s, %s", g.Status, g.Detail)
	}
	put(t, filepath.Join(r.Dir(), metricsName), "{\n")
	if g := Glance(r.Dir()); g.Status != StatusBroken || g.Damage() == nil {
		t.Errorf("a broken one: %s", g.Status)
	}
}

func TestStamp(t *testing.T) {
	r := create(t, t.TempDir())
	defer r.Close()
	before := StampOf(r.Dir())
	if before != StampOf(r.Dir()) {
		t.Error("the same record has two stamps")
	}
	trainTo(t, r, 1, 1)
	after := StampOf(r.Dir())
	if before == after || before.Newest() > after.Newest() {
		t.Error("another record has the same stamp")
	}
	put(t, filepath.Join(r.Dir(), metricsName), lines(7))
	grown := StampOf(r.Dir())
	if !before.Grown(after) || !after.Grown(grown) || grown.Grown(grown) {
		t.Error("a run that goes on has not grown")
	}
	if err := r.SetStatus(StatusInterrupted, "by a test"); err != nil || grown.Grown(StampOf(r.Dir())) {
		t.Errorf("a run of another status has grown; %v", err)
	}
	grown = StampOf(r.Dir())
	if err := os.Chtimes(filepath.Join(r.Dir(), envName), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if grown == StampOf(r.Dir()) {
		t.Error("another time of the same size has the same stamp")
	}
}
