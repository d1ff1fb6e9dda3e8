package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// epochsOf returns the epochs of f, and which of them have a time.
func epochsOf(f *Follower) string {
	var s strings.Builder
	ended := f.Ended()
	for i, m := range f.Metrics {
		fmt.Fprint(&s, m.Epoch)
		if !ended[i].IsZero() {
			s.WriteByte('t')
		}
	}
	return s.String()
}

// TestFollow: every reading tells what the record says then, whatever has happened to it since the last.
func TestFollow(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	f := Follow(r.Dir())
	check := func(when string, status Status, epochs string) {
		t.Helper()
		f.Update()
		if f.Status != status || epochsOf(f) != epochs || f.Epochs != len(f.Metrics) {
			t.Errorf("%s: %s (%s), epochs %q, want %s, %q", when, f.Status, f.Detail, epochsOf(f), status, epochs)
		}
	}
	metrics := func(add string) { // as the process that trains would
		t.Helper()
		file, err := os.OpenFile(filepath.Join(f.Dir, metricsName), os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = file.WriteString(add)
		}
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	log := func(epoch int) { r.Logger().Info("epoch", "epoch", epoch) }

	check("begun", StatusRunning, "")
	metrics(`{"epo`)
	check("half a line", StatusRunning, "")
	metrics("ch\":1}\n")
	check("the other half", StatusRunning, "1")
	log(1)
	check("logged", StatusRunning, "1t")
	metrics(lines(3)[len(line(1)):])
	log(2)
	check("two at once", StatusRunning, "1t2t3")
	put(t, filepath.Join(f.Dir, metricsName), lines(1))
	check("cut back", StatusRunning, "1t")
	put(t, filepath.Join(f.Dir, metricsName), lines(2)+line(3)+line(4))
	log(3)
	check("and on", StatusRunning, "1t2t3t4")
	put(t, filepath.Join(f.Dir, metricsName), lines(5))
	check("cut back and grown beyond it since the last reading", StatusRunning, "1t2t3t45")
	metrics(line(3))
	check("an epoch that does not follow: read anew", StatusRunning, "1t2t3t453t")
	put(t, filepath.Join(f.Dir, metricsName), lines(4)+"hello\n")
	check("what is no metric", StatusBroken, "")
	put(t, filepath.Join(f.Dir, metricsName), lines(4))
	put(t, filepath.Join(f.Dir, logName),
		"{\"msg\":\"ep\n\x00\x00\n[]\n"+`{"msg":"epoch","epoch":1,"time":"2026-01-02T03:04:05Z"}`+"\n")
	check("repaired", StatusRunning, "1t2t3t4")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	check("killed", StatusInterrupted, "1t2t3t4")
	put(t, filepath.Join(f.Dir, statusName), `{"status":"failed","detail":"no"}`)
	check("failed", StatusFailed, "1t2t3t4")
	if f.Detail != "no" {
		t.Error(f.Detail)
	}
	if err := os.RemoveAll(f.Dir); err != nil {
		t.Fatal(err)
	}
	check("removed", StatusBroken, "")
}

// TestFollowReadsWhatIsNewOnly: a reading of a run in which nothing has happened reads no file of it again.
func TestFollowReadsWhatIsNewOnly(t *testing.T) {
	root := t.TempDir()
	r := create(t, root)
	if err := os.WriteFile(filepath.Join(r.Dir(), metricsName), []byte(lines(1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	f := Follow(r.Dir())
	f.Update()
	before := f.metrics.at
	if f.Epochs != 1000 || before != int64(len(lines(1000))) {
		t.Fatalf("%d epochs, %d bytes", f.Epochs, before)
	}
	first := &f.Metrics[0]
	time.Sleep(time.Millisecond)
	f.Update()
	if f.metrics.at != before || &f.Metrics[0] != first {
		t.Error("read again")
	}
}
