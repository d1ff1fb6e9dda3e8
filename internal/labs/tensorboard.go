package labs

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dla/internal/atomicfile"
	"dla/internal/attack"
	"dla/internal/plainfile"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/tensorboard"
	"dla/internal/train"
)

// An event file for TensorBoard is made from a run's record, as its figures are. While a run trains it grows by an
// epoch at a time, each when its checkpoint is saved. A process that resumes the run first compares the file with what
// it is to hold, now that metrics.jsonl has been cut back to the checkpoint, cuts off what differs and goes on. So
// there is one file in which no epoch is twice and no record is half a one, whichever program reads it. TensorBoard's
// own way is another file with an event that takes later steps back; wandb and aim do not know it.

// eventsName is the folder of a run's event file.
const eventsName = "tensorboard"

// eventWriter keeps the event file of a run. Whatever fails is said once, and the run goes on without it.
type eventWriter struct {
	*run.Follower
	dir  string
	say  func(format string, args ...any)
	file *os.File // nil until this process has brought it up to date
	size int64    // bytes of it that are whole
	n    int      // epochs in it
	last time.Time
	off  bool // something has failed
}

// newEventWriter returns the eventWriter of the run in dir; nil where it is to have none. A run that has event files
// keeps them up.
func newEventWriter(dir string, opt Options) *eventWriter {
	w := &eventWriter{Follower: run.Follow(dir), dir: filepath.Join(dir, eventsName), say: opt.Say}
	if _, err := os.Lstat(w.dir); err != nil && !opt.TensorBoard {
		return nil
	}
	return w
}

// sink returns next with w after it.
func (w *eventWriter) sink(next train.Sink) train.Sink {
	if w == nil {
		return next
	}
	return func(e train.Event) {
		if next != nil {
			next(e)
		}
		if e.Kind == train.EpochEnd {
			w.try(w.grow)
		}
	}
}

// start shows a new run before its first epoch.
func (w *eventWriter) start() {
	if w != nil {
		w.try(w.grow)
	}
}

// end adds what a finished run has beside its epochs, and closes the file.
func (w *eventWriter) end() {
	if w == nil {
		return
	}
	w.try(w.grow)
	w.try(func() error {
		var l tensorboard.Log
		if err := addEnd(&l, w.Follower, filepath.Join(w.Dir, figuresName)); err != nil {
			return err
		}
		return w.append(l)
	})
	w.close()
}

func (w *eventWriter) try(write func() error) {
	if w.off {
		return
	}
	if err := write(); err != nil {
		w.off = true
		w.say("the event file for TensorBoard cannot be written (%v); the run goes on without it, and `%s` writes it "+
			"later", err, run.Command(filepath.Dir(w.Dir), "runs", "export", "--tensorboard", "DIR", w.ID))
	}
}

// close closes the file.
func (w *eventWriter) close() {
	if w != nil && w.file != nil {
		w.try(w.file.Close)
		w.file = nil
	}
}

// grow appends the epochs that are new.
func (w *eventWriter) grow() error {
	w.Update()
	if err := w.Damage(); err != nil {
		return err
	}
	if w.file == nil {
		w.n, w.last = len(w.Metrics), time.Now()
		return w.compare(epochEvents(w.Follower, w.last))
	}
	var l tensorboard.Log
	for ; w.n < len(w.Metrics); w.n++ {
		m := w.Metrics[w.n]
		w.last = after(w.last, time.Now())
		l.Scalars(w.last, m.Epoch, epochScalars(m))
	}
	return w.append(l)
}

// compare opens the file and makes it hold l and nothing else.
func (w *eventWriter) compare(l tensorboard.Log) error {
	path, old, err := w.find()
	if err != nil {
		return err
	}
	keep, rest := tensorboard.Continue(old, l)
	if w.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666); err != nil {
		return err
	}
	w.size = int64(keep)
	if keep < len(old) {
		if err := w.file.Truncate(w.size); err != nil {
			return err
		}
	}
	return w.append(rest)
}

// find returns the path and content of the run's event file. One that is to be made has no content.
func (w *eventWriter) find() (path string, content []byte, err error) {
	if err := atomicfile.MkdirAll(w.dir, 0o777); err != nil {
		return "", nil, err
	}
	list, err := os.ReadDir(w.dir)
	if err != nil {
		return "", nil, err
	}
	for _, e := range list {
		if tensorboard.IsFileName(e.Name()) {
			path = filepath.Join(w.dir, e.Name())
			if err := plainfile.Own(path); err != nil {
				return "", nil, err
			}
			content, err = plainfile.Read(path, run.MaxFile)
			return path, content, err
		}
	}
	return filepath.Join(w.dir, tensorboard.FileName(time.Now())), nil, nil
}

// append appends l.
func (w *eventWriter) append(l tensorboard.Log) error {
	err := atomicfile.Check("write", w.file.Name())
	if err == nil {
		_, err = w.file.WriteAt(l, w.size)
	}
	w.size += int64(len(l))
	return err
}

// CompleteEvents brings the event file of the finished run rec up to date: a process was killed before it had written
// all of it, or the run was made without one and opt asks for it now.
func CompleteEvents(rec run.Record, opt Options) {
	w := newEventWriter(rec.Dir, opt)
	if w == nil || rec.Status != run.StatusFinished {
		return
	}
	defer w.close()
	w.try(func() error {
		w.Update()
		l := epochEvents(w.Follower, time.Time{})
		if err := addEnd(&l, w.Follower, filepath.Join(w.Dir, figuresName)); err != nil {
			return err
		}
		return w.compare(l)
	})
}

// ExportEvents writes the record of the run in the folder runDir as one event file into the folder dir, which it makes
// or, if it holds nothing but event files, replaces. A broken run is an error.
func ExportEvents(runDir, dir string) error {
	f := run.Follow(runDir)
	f.Update()
	if err := f.Damage(); err != nil {
		return err
	}
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range list {
		if !tensorboard.IsFileName(e.Name()) {
			return fmt.Errorf("%s holds %s, which is no event file; choose another folder", dir, e.Name())
		}
	}
	l := epochEvents(f, time.Time{})
	switch f.Status {
	case run.StatusFinished:
		figures, done, err := figuresOf(f.Record)
		if err != nil {
			return err
		}
		defer done()
		if err := addEnd(&l, f, figures); err != nil {
			return err
		}
	case run.StatusFailed:
		l.End(lastTime(f), true)
	}
	return atomicfile.ReplaceFolder(dir, 0o777, func(tmp string) error {
		return atomicfile.WriteBytes(filepath.Join(tmp, tensorboard.FileName(f.Started)), l)
	})
}

// figuresOf returns the folder of rec's figures. Those of a record that has none, as in a clone of the repository, are
// drawn into a temporary one, which done deletes.
func figuresOf(rec run.Record) (dir string, done func(), err error) {
	dir = filepath.Join(rec.Dir, figuresName)
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return dir, func() {}, nil
	}
	if dir, err = os.MkdirTemp("", "dla-figures-"); err != nil {
		return "", nil, err
	}
	done = func() { _ = os.RemoveAll(dir) } // the system's temporary files
	if _, err := drawInto(rec, dir); err != nil {
		done()
		return "", nil, err
	}
	return dir, done, nil
}

// epochEvents returns the events of f's settings and epochs. The steps are epochs. The last epoch, which is logged a
// moment later, has the time now.
func epochEvents(f *run.Follower, now time.Time) tensorboard.Log {
	t := f.Env.Started
	l := tensorboard.New(t)
	l.Begin(t, hparams(f.Record))
	l.Text(t, 0, "config", verbatim(string(f.Config)))
	l.Text(t, 0, "run", verbatim(about(f.Record)))
	ended := f.Ended()
	if n := len(ended); n > 0 && ended[n-1].IsZero() {
		ended[n-1] = now
	}
	for i, m := range f.Metrics {
		t = after(t, ended[i])
		l.Scalars(t, m.Epoch, epochScalars(m))
	}
	return l
}

// after returns t, or where that is no later than before, or not known, an instant after before: aim takes a value that
// is not later than the one before for one that it has.
func after(before, t time.Time) time.Time {
	if least := before.Add(time.Millisecond); t.Before(least) {
		return least
	}
	return t
}

// lastTime returns when f's last epoch ended, or where the log does not say when it began.
func lastTime(f *run.Follower) time.Time {
	for _, t := range slices.Backward(f.Ended()) {
		if !t.IsZero() {
			return t
		}
	}
	return f.Env.Started
}

// addEnd adds the result of the finished run f, and its figures as images, at its last epoch.
func addEnd(l *tensorboard.Log, f *run.Follower, figures string) error {
	res, err := ResultOf(f.Record)
	if err != nil {
		return err
	}
	step, t := 0, after(lastTime(f), time.Time{})
	if n := len(f.Metrics); n > 0 {
		step = f.Metrics[n-1].Epoch
	}
	l.Scalars(t, step, finalScalars(res))
	list, err := os.ReadDir(figures)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range list { // sorted
		name, ok := strings.CutSuffix(e.Name(), ".png")
		if !ok {
			continue
		}
		file := filepath.Join(figures, e.Name())
		b, err := plainfile.Read(file, run.MaxFile)
		if err != nil {
			return err
		}
		c, err := png.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		l.Image(t, step, "figures/"+name, b, c.Width, c.Height)
	}
	l.End(t, false)
	return nil
}

// epochScalars returns what was measured in an epoch.
func epochScalars(m run.Epoch) []tensorboard.Scalar {
	all := []tensorboard.Scalar{{Tag: "loss/train", Value: m.Train.Loss}, {Tag: "loss/val", Value: m.Val.Loss},
		{Tag: "accuracy/train", Value: m.Train.Accuracy}, {Tag: "accuracy/val", Value: m.Val.Accuracy},
		{Tag: "learning_rate", Value: m.LR}}
	if m.GradNorm != nil {
		all = append(all, tensorboard.Scalar{Tag: "grad_norm", Value: *m.GradNorm})
	}
	return slices.DeleteFunc(all, func(s tensorboard.Scalar) bool { return math.IsNaN(s.Value) })
}

// finalScalars returns the metrics of a result.
func finalScalars(res record.Result) []tensorboard.Scalar {
	var all []tensorboard.Scalar
	add := func(tag string, v float64) { all = append(all, tensorboard.Scalar{Tag: tag, Value: v}) }
	attacks := func(group string, outcomes []attack.Outcome) {
		for _, o := range outcomes {
			add(fmt.Sprintf("%s/%s", group, outcomeName(o)), o.Accuracy)
		}
	}
	switch r := res.(type) {
	case *record.Classifier:
		add("test/accuracy", r.Test.Accuracy)
		add("test/loss", r.Test.Loss)
		if v := r.TestViews; v != nil {
			add("test/accuracy_views", v.Accuracy)
		}
		if v := r.LastTested(); v != nil {
			add("test/accuracy_last_epoch", v.Accuracy)
		}
		add("best_epoch", float64(r.BestEpoch))
		if b := r.Robust; b != nil {
			attacks("attack", b.After)
			for _, s := range b.Sets {
				for _, d := range s.Scores {
					add(fmt.Sprintf("auroc/%s/%s", s.Name, d.Detector), d.After.AUROC)
				}
			}
		}
	case *record.Autoencoder:
		add("test/mse", r.Test.MSE)
		add("best_epoch", float64(r.BestEpoch))
	case *record.Attacks:
		add("test/accuracy", r.Test.Accuracy)
		attacks("attack", r.Attacks)
	case *record.OOD:
		for _, s := range r.Scores {
			add(fmt.Sprintf("auroc/%s/%s", s.Set, s.Detector), s.AUROC)
			add(fmt.Sprintf("fpr95/%s/%s", s.Set, s.Detector), s.FPR95)
		}
	}
	add("seconds", res.Seconds())
	return all
}

// hparams returns the settings of rec by their keys, such as train.lr.
func hparams(rec run.Record) map[string]any {
	all := map[string]any{"variant": rec.Variant}
	var add func(key string, v any)
	add = func(key string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, sub := range v {
				add(strings.TrimPrefix(key+"."+k, "."), sub)
			}
		case bool:
			all[key] = v
		case int:
			all[key] = float64(v)
		case float64:
			all[key] = v
		default:
			all[key] = fmt.Sprint(v)
		}
	}
	var tree map[string]any
	if yaml.Unmarshal(rec.Config, &tree) == nil { // the text is there in any case
		add("", tree)
	}
	return all
}

// about returns what a record says beside its settings, in lines.
func about(rec run.Record) string {
	e := rec.Env
	text := fmt.Sprintf("run       %s\nvariant   %s, seed %d\ndata      %s, %s, fingerprint %s\nprogram   dla %s, revision "+
		"%s, %s kernels, %d threads, %s\nstarted   %s\ncommand   %s\n", rec.ID, rec.Variant, rec.Seed, e.Data.Name,
		e.Data.Source, e.Data.Fingerprint, e.Version, e.Revision, e.Kernel, e.Threads, e.CPU,
		e.Started.Format(time.RFC3339), run.Quote(e.Command...))
	if e.Data.Synthetic {
		text += "note      the data are synthetic\n"
	}
	return text
}

// verbatim returns text as a code block of Markdown, in which nothing is marked up.
func verbatim(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}
