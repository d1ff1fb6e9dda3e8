package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dla/internal/run"
)

// begin begins a run of 3 epochs under root.
func begin(t *testing.T, root, variant string) *run.Run {
	t.Helper()
	r, err := run.Create(root, run.Spec{Experiment: "lab1/resnet", Variant: variant,
		Config: []byte("train:\n  epochs: 3\n"),
		Env:    run.Env{Started: time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// epoch records an epoch of r.
func epoch(t *testing.T, r *run.Run, n int) {
	t.Helper()
	err := r.AppendMetrics(run.Epoch{Epoch: n, Step: 10 * n, LR: 0.1,
		Train: run.Measure{Loss: 1 / float64(n), Accuracy: 0.5},
		Val:   run.Measure{Loss: 2 / float64(n), Accuracy: 0.25}})
	if err != nil {
		t.Fatal(err)
	}
	r.Logger().Info("epoch", "epoch", n)
}

// output collects lines, and can wait for one.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// wait waits until the output holds text.
func (o *output) wait(t *testing.T, text string) {
	t.Helper()
	for range 1000 {
		if strings.Contains(o.String(), text) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%q never came; so far\n%s", text, o)
}

// TestLines: a study of two runs, of which the second fails, watched from the second epoch of the first on.
func TestLines(t *testing.T) {
	every, pause = 2*time.Millisecond, time.Second
	defer func() { every, pause = time.Second, 10*time.Second }()
	root := t.TempDir()
	before := begin(t, root, "before")
	epoch(t, before, 1)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	first := begin(t, root, "first")
	epoch(t, first, 1)
	epoch(t, first, 2)
	out := &output{}
	done := make(chan error)
	go func() {
		n, err := Lines(context.Background(), out, Under(root), true)
		if n != 5 {
			t.Errorf("%d lines", n)
		}
		done <- err
	}()
	out.wait(t, "first-s0  epoch 2/3")
	epoch(t, first, 3)
	out.wait(t, "first-s0  epoch 3/3")
	if err := errors.Join(first.Finish(map[string]any{"test": map[string]any{"accuracy": 0.975}}),
		first.Close()); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "first-s0  finished")
	second := begin(t, root, "second")
	epoch(t, second, 1)
	out.wait(t, "second-s0  epoch 1/3")
	pause = 5 * time.Millisecond
	if err := errors.Join(second.SetStatus(run.StatusFailed, "the disk\nis full"), second.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`\d{8}-\d{6}-`).ReplaceAllString(out.String(), "")
	text = regexp.MustCompile(`  left \d+s`).ReplaceAllString(text, "")
	text = strings.ReplaceAll(text, root, "ROOT")
	text = regexp.MustCompile(`resume .*second`).ReplaceAllString(text, "resume second")
	want := `first-s0  epoch 2/3  loss 0.5  val_loss 1  acc 50.00 %  val_acc 25.00 %  lr 0.1
first-s0  epoch 3/3  loss 0.3333  val_loss 0.6667  acc 50.00 %  val_acc 25.00 %  lr 0.1
first-s0  finished  test accuracy 97.50 %
second-s0  epoch 1/3  loss 1  val_loss 2  acc 50.00 %  val_acc 25.00 %  lr 0.1
second-s0  failed  the disk is full; continue with: dla runs resume second-s0 --out ROOT
`
	if text != want {
		t.Errorf("\n%s\nwant\n%s", text, want)
	}

	// those that have ended are said to have, where they are asked for
	out = &output{}
	if _, err := Lines(context.Background(), out, Of(first.Dir(), before.Dir()), false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"epoch 3/3", "finished  test accuracy",
		"before-s0  interrupted  its process died; continue with"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	out = &output{}
	if n, err := Lines(context.Background(), out, Under(root), true); err != nil || n != 0 || out.String() != "" {
		t.Errorf("nothing trains: %v, %q", err, out)
	}
}

// TestLinesEnd with their context.
func TestLinesEnd(t *testing.T) {
	root := t.TempDir()
	begin(t, root, "a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Lines(ctx, &output{}, Under(root), true); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestWatchingChangesNothing in the folder of a run.
func TestWatchingChangesNothing(t *testing.T) {
	root := t.TempDir()
	r := begin(t, root, "a")
	epoch(t, r, 1)
	state := func() (s string) {
		err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := e.Info()
			if err == nil {
				s += fmt.Sprintln(path, st.Size(), st.Mode(), st.ModTime())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := state()
	runs := Under(root)
	for range 3 {
		if all, err := runs.Read(time.Now()); err != nil || len(all) != 1 || all[0].Status != run.StatusRunning {
			t.Fatalf("%+v, %v", all, err)
		}
	}
	if err := Table(&output{}, runs); err != nil {
		t.Fatal(err)
	}
	if after := state(); after != before {
		t.Errorf("\n%s\nwas\n%s", after, before)
	}
}

// TestLeft: the median of the last epochs, of which none counts the time between two processes.
func TestLeft(t *testing.T) {
	start := time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	r := run.Record{Env: run.Env{Started: start}}
	var ended []time.Time
	add := func(seconds int) { ended = append(ended, at(seconds)) }
	check := func(when string, now, want int) {
		t.Helper()
		if got := left(r, ended, 10, at(now)); got != time.Duration(want)*time.Second && (want >= 0 || got >= 0) {
			t.Errorf("%s: %v, want %d s", when, got, want)
		}
	}
	check("no epoch", 5, -1)
	add(12)
	check("after the first", 12, 108)
	add(22)
	add(32)
	check("later", 36, 66)
	r.Resumed = []run.Env{{Started: at(5000)}}
	check("resumed", 5004, 66)
	add(5010)
	check("an epoch after that", 5010, 60)
	check("late", 9000, 0)
	ended[3] = time.Time{}
	check("not logged yet", 5010, 60)
	ended = make([]time.Time, 2)
	check("not logged at all", 5010, -1)
}

func TestPlanned(t *testing.T) {
	for settings, want := range map[string]int{"train: {epochs: 30}": 30, "train: {epochs: 30, steps: 250}": 3, "x: [": 0,
		"attack: 1": 1, "train: {epochs: many}": 0} {
		done := []run.Epoch{{Epoch: 1, Step: 100}}
		if want == 0 {
			done = nil
		}
		if got := planOf([]byte(settings)).epochs(done); got != want {
			t.Errorf("%s: %d, want %d", settings, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 59400 * time.Millisecond: "59s",
		59600 * time.Millisecond:                     "1m00s",
		3*time.Hour + 7*time.Minute + 29*time.Second: "3h07m", 50 * time.Hour: "2d02h"} {
		if got := Short(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
