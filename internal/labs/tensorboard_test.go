package labs

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"dla/internal/atomicfile"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/train"
)

// eventFile returns the path and content of the only event file in dir.
func eventFile(t *testing.T, dir string) (string, []byte) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Fatalf("%s holds %v, %v", dir, list, err)
	}
	path := filepath.Join(dir, list[0].Name())
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, b
}

// eventsIn returns the events of a file without their times, as text: its step, tags and scalars.
func eventsIn(t *testing.T, b []byte) (all []string) {
	t.Helper()
	fields := func(b []byte, visit func(num protowire.Number, kind protowire.Type, v []byte)) {
		for len(b) > 0 {
			num, kind, n := protowire.ConsumeTag(b)
			size := protowire.ConsumeFieldValue(num, kind, b[n:])
			if n < 0 || size < 0 {
				t.Fatalf("no message: %x", b)
			}
			v := b[n : n+size]
			if kind == protowire.BytesType {
				v, _ = protowire.ConsumeBytes(v)
			}
			visit(num, kind, v)
			b = b[n+size:]
		}
	}
	for len(b) > 0 {
		n := int(binary.LittleEndian.Uint64(b))
		if 16+n > len(b) {
			t.Fatalf("half a record after %q", all)
		}
		text, values := "0", ""
		fields(b[12:12+n], func(num protowire.Number, _ protowire.Type, v []byte) {
			if num == 2 {
				step, _ := protowire.ConsumeVarint(v)
				text = fmt.Sprint(step)
			}
			if num != 5 {
				return
			}
			fields(v, func(_ protowire.Number, _ protowire.Type, v []byte) {
				fields(v, func(num protowire.Number, kind protowire.Type, v []byte) {
					switch {
					case num == 1:
						values += " " + string(v)
					case num == 2 && kind == protowire.Fixed32Type:
						values += fmt.Sprintf("=%v", math.Float32frombits(binary.LittleEndian.Uint32(v)))
					}
				})
			})
		})
		all, b = append(all, text+values), b[16+n:]
	}
	return all
}

// wantEvents returns the events that the finished run in dir is to have.
func wantEvents(t *testing.T, dir string) []string {
	t.Helper()
	rec, err := run.Find(filepath.Dir(dir), filepath.Base(dir))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"0", "0 _hparams_/session_start_info", "0 config", "0 run"}
	for _, m := range rec.Metrics {
		want = append(want, fmt.Sprintf("%d loss/train=%v loss/val=%v accuracy/train=%v accuracy/val=%v learning_rate=%v",
			m.Epoch, float32(m.Train.Loss), float32(m.Val.Loss), float32(m.Train.Accuracy), float32(m.Val.Accuracy),
			float32(m.LR)))
	}
	var res record.Classifier
	if err := json.Unmarshal(rec.Result, &res); err != nil {
		t.Fatal(err)
	}
	n := len(rec.Metrics)
	final := fmt.Sprintf("%d test/accuracy=%v test/loss=%v", n, float32(res.Test.Accuracy), float32(res.Test.Loss))
	if l := res.LastTested(); l != nil {
		final += fmt.Sprintf(" test/accuracy_last_epoch=%v", float32(l.Accuracy))
	}
	want = append(want, final+fmt.Sprintf(" best_epoch=%d seconds=%v", res.BestEpoch, float32(res.WallSeconds)))
	for _, name := range []string{"accuracy", "class_accuracy", "confusion", "loss", "val_loss"} {
		if _, err := os.Stat(filepath.Join(dir, figuresName, name+".png")); err == nil {
			want = append(want, fmt.Sprintf("%d figures/%s", n, name))
		}
	}
	return append(want, "0 _hparams_/session_end_info")
}

func sameEvents(t *testing.T, what string, b []byte, want []string) {
	t.Helper()
	if got := eventsIn(t, b); !slices.Equal(got, want) {
		t.Errorf("%s: %d events\n%s\nwant %d\n%s", what, len(got), strings.Join(got, "\n"), len(want),
			strings.Join(want, "\n"))
	}
}

// TestTensorBoard: a run is killed after each of its epochs, at instants within the writing of its event file. However
// it ends, the file of the finished run has every epoch once and the result, and so has an export of the run.
func TestTensorBoard(t *testing.T) {
	cfg := tiny(true)
	cfg.Train.Epochs = 3
	for name, damage := range map[string]func([]byte) []byte{
		"between two events":    func(b []byte) []byte { return b },
		"in the middle of one":  func(b []byte) []byte { return b[:len(b)-5] },
		"and the power was cut": func(b []byte) []byte { return append(b, make([]byte, 512)...) },
	} {
		root := t.TempDir()
		var dir string
		for range cfg.Train.Epochs {
			opt := options(t, root)
			opt.TensorBoard = dir == "" // a run keeps it
			ctx, kill := context.WithCancel(context.Background())
			opt.Sink = func(e train.Event) {
				if e.Kind == train.EpochEnd {
					kill()
				}
			}
			tr, err := trainOn(ctx, set(t, cfg.Data.Name), cfg, opt)
			kill()
			if err != nil {
				t.Fatal(err)
			}
			dir = tr.Dir
			path, b := eventFile(t, filepath.Join(dir, eventsName))
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		end := trained(t, root, cfg)
		if !end.Done() || end.Dir != dir {
			t.Fatalf("killed %s: %+v", name, end.Outcome)
		}
		want := wantEvents(t, dir)
		path, b := eventFile(t, filepath.Join(dir, eventsName))
		sameEvents(t, "killed "+name, b, want)

		// killed at the end, and asked again
		if err := os.WriteFile(path, damage(b), 0o600); err != nil {
			t.Fatal(err)
		}
		trained(t, root, cfg)
		_, b = eventFile(t, filepath.Join(dir, eventsName))
		sameEvents(t, "killed at the end "+name, b, want)
		if name != "between two events" {
			continue
		}
		out := filepath.Join(t.TempDir(), "tb", "a")
		for range 2 { // the second replaces the first
			if err := ExportEvents(dir, out); err != nil {
				t.Fatal(err)
			}
			_, b := eventFile(t, out)
			sameEvents(t, "exported", b, want)
		}
		if err := os.WriteFile(filepath.Join(out, "notes"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ExportEvents(dir, out); err == nil || !strings.Contains(err.Error(), "no event file") {
			t.Errorf("exported over other files: %v", err)
		}
		if err := os.RemoveAll(filepath.Join(dir, figuresName)); err != nil { // as in a clone
			t.Fatal(err)
		}
		out = filepath.Join(t.TempDir(), "b")
		if err := ExportEvents(dir, out); err != nil {
			t.Fatal(err)
		}
		_, b = eventFile(t, out)
		if got := eventsIn(t, b); len(got) != len(want) {
			t.Errorf("exported without figures at hand: %q", got)
		}
		readByTensorBoard(t, root, dir, want)
	}
}

// readByTensorBoard compares what TensorBoard itself finds. It needs DLA_PYTHON, a Python that has tensorboard.
func readByTensorBoard(t *testing.T, root, dir string, want []string) {
	python := os.Getenv("DLA_PYTHON")
	if python == "" {
		t.Log("not read by TensorBoard: DLA_PYTHON names no Python with tensorboard")
		return
	}
	cmd := exec.Command(python, filepath.Join("..", "tensorboard", "testdata", "read.py"), root)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Runs map[string]struct {
			Records int
			Tags    map[string]struct {
				Kind   string
				Events [][2]any
			}
		}
		Hparams map[string]struct {
			Status  int
			Hparams map[string]any
			Metrics map[string]float64
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	name := filepath.Base(dir) + "/" + eventsName
	r, h := got.Runs[name], got.Hparams[name]
	steps := []any{}
	for _, e := range r.Tags["loss/train"].Events {
		steps = append(steps, e[0])
	}
	if !slices.Equal(steps, []any{1., 2., 3.}) || r.Records != len(want) || r.Tags["figures/loss"].Kind != "images" ||
		!strings.Contains(fmt.Sprint(r.Tags["config"].Events), "    experiment: lab1/resnet\n") {
		t.Errorf("TensorBoard reads %s", out)
	}
	expect(t, string(out), map[string]bool{
		"the run has ended": h.Status == 1, "its learning rate": h.Hparams["train.lr"] == 0.1,
		"its network":  h.Hparams["model.name"] == "mlp",
		"its accuracy": h.Metrics["test/accuracy"] > 0, "and that of validation": h.Metrics["accuracy/val"] > 0,
	})
}

// TestTensorBoardNeverFailsATraining: where the event file cannot be written, one line says so, the training ends in
// the same bits, and the file is made later.
func TestTensorBoardNeverFailsATraining(t *testing.T) {
	cfg := tiny(true)
	whole := trained(t, t.TempDir(), cfg)
	t.Cleanup(func() { atomicfile.Fault = nil })
	for after := range 3 {
		root := t.TempDir()
		opt := options(t, root)
		said := ""
		opt.TensorBoard, opt.Say = true, func(format string, args ...any) { said += fmt.Sprintf(format, args...) + "\n" }
		n := 0
		atomicfile.Fault = func(op, path string) error {
			if strings.Contains(path, eventsName) {
				if n++; n > after {
					return syscall.ENOSPC
				}
			}
			return nil
		}
		tr, err := trainOn(context.Background(), set(t, cfg.Data.Name), cfg, opt)
		atomicfile.Fault = nil
		if err != nil || !tr.Done() || tr.Result.WeightsSHA256 != whole.Result.WeightsSHA256 {
			t.Fatalf("after %d writes: %v, %+v", after, err, tr.Outcome)
		}
		if strings.Count(said, "\n") != 1 || !strings.Contains(said, "no space left") ||
			!strings.Contains(said, "dla runs export --tensorboard DIR "+tr.ID) {
			t.Errorf("after %d writes: %q", after, said)
		}
		trained(t, root, cfg)
		if _, err := os.Lstat(filepath.Join(tr.Dir, eventsName)); err != nil {
			rec, err := run.Find(root, tr.ID)
			if err != nil {
				t.Fatal(err)
			}
			CompleteEvents(rec, opt)
		}
		_, b := eventFile(t, filepath.Join(tr.Dir, eventsName))
		sameEvents(t, fmt.Sprintf("after %d writes", after), b, wantEvents(t, tr.Dir))
	}
}

// TestTensorBoardTimes: every epoch is later than the one before, though the log says nothing of some and a clock was
// put back; or aim would leave it out.
func TestTensorBoardTimes(t *testing.T) {
	start := time.Unix(1e9, 0)
	dir := filepath.Join(t.TempDir(), "a")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f := run.Follow(dir)
	f.Env.Started = start
	log := ""
	for i, ended := range []time.Time{{}, start.Add(time.Minute), {}, start.Add(time.Second), start.Add(time.Hour)} {
		f.Metrics = append(f.Metrics, run.Epoch{Epoch: i + 1})
		if !ended.IsZero() {
			log += fmt.Sprintf(`{"time":%q,"msg":"epoch","epoch":%d}`+"\n", ended.Format(time.RFC3339), i+1)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "log.jsonl"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	var times []float64
	for b := []byte(epochEvents(f, time.Time{})); len(b) > 0; b = b[16+binary.LittleEndian.Uint64(b):] {
		times = append(times, math.Float64frombits(binary.LittleEndian.Uint64(b[13:]))-1e9)
	}
	want := []float64{0, 0, 0, 0, 0.001, 60, 60.001, 60.002, 3600}
	if !slices.EqualFunc(times, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }) {
		t.Errorf("times %v, want %v", times, want)
	}
}

// TestTensorBoardSteps: a step of a training with event files allocates nothing for them.
func TestTensorBoardSteps(t *testing.T) {
	w := newEventWriter(t.TempDir(), Options{TensorBoard: true, Say: func(string, ...any) {}})
	sink := w.sink(nil)
	e := train.Event{Kind: train.Step, Step: 1, Steps: 10}
	if n := testing.AllocsPerRun(100, func() { sink(e) }); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}
