// Package watch shows runs while they train, in a terminal (Screen) or as lines (Lines). It reads their folders and
// nothing else, so that a run notices nothing of it and one on a shared disk is seen as well.
package watch

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"

	"dla/internal/run"
)

// every is the interval between readings, and pause how long Lines waits for the next run of a study. Tests replace
// them.
var every, pause = time.Second, 10 * time.Second

// Run is a run as it was read last.
type Run struct {
	run.Record
	Planned int           // epochs; 0: the run has none
	Left    time.Duration // until its last epoch ends; negative: not known
}

// Runs reads a set of runs again and again.
type Runs struct {
	folders func() ([]string, error)
	known   map[string]*followed // by folder
}

// followed is a run that was read before, with what its settings ask for.
type followed struct {
	*run.Follower
	settings string // their hash
	plan
}

// Of returns the runs in the given folders.
func Of(folders ...string) *Runs {
	return &Runs{func() ([]string, error) { return folders, nil }, map[string]*followed{}}
}

// Under returns all runs under root, now and later, the newest first.
func Under(root string) *Runs {
	return &Runs{func() ([]string, error) {
		all, err := run.Folders(root)
		slices.Reverse(all)
		return all, err
	}, map[string]*followed{}}
}

// Read reads what is new and returns the state of all runs at the time now.
func (r *Runs) Read(now time.Time) ([]Run, error) {
	folders, err := r.folders()
	if err != nil {
		return nil, err
	}
	all := make([]Run, len(folders))
	for i, dir := range folders {
		f := r.known[dir]
		if f == nil {
			f = &followed{Follower: run.Follow(dir)}
			r.known[dir] = f
		}
		f.Update()
		if f.ConfigHash != f.settings {
			f.settings, f.plan = f.ConfigHash, planOf(f.Config)
		}
		n := f.epochs(f.Metrics)
		all[i] = Run{f.Record, n, -1}
		if f.Status == run.StatusRunning && n > 0 && len(f.Metrics) > 0 {
			all[i].Left = left(f.Record, f.Ended(), n, now)
		}
	}
	for dir := range r.known {
		if !slices.Contains(folders, dir) {
			delete(r.known, dir)
		}
	}
	return all, nil
}

// plan is how long settings say that a training goes on.
type plan struct {
	Epochs int `yaml:"epochs"`
	Steps  int `yaml:"steps"` // at most; 0: those of all epochs
}

// planOf reads the plan from settings; that of an experiment without epochs is zero.
func planOf(settings []byte) plan {
	var c struct {
		Train plan `yaml:"train"`
	}
	if yaml.Unmarshal(settings, &c) != nil {
		return plan{}
	}
	return c.Train
}

// epochs returns the number of epochs, once the first tells how many steps each has.
func (p plan) epochs(done []run.Epoch) int {
	n := p.Epochs
	if p.Steps > 0 && len(done) > 0 && done[0].Step > 0 {
		n = min(n, (p.Steps+done[0].Step-1)/done[0].Step)
	}
	return max(n, len(done))
}

// recent is the number of epochs that the time of an epoch is estimated from.
const recent = 9

// left estimates how long the run r trains until the end of its last epoch, from the median of its recent epochs. ended
// says when each of its epochs was recorded. It is negative where that is not known.
func left(r run.Record, ended []time.Time, planned int, now time.Time) time.Duration {
	n := len(ended)
	var each []time.Duration
	var last time.Time
	for i := max(0, n-recent); i < n; i++ {
		from := r.Env.Started
		if i > 0 {
			from = ended[i-1]
		}
		for _, again := range r.Resumed { // an epoch begins with its process at the earliest
			if again.Started.After(from) && again.Started.Before(ended[i]) {
				from = again.Started
			}
		}
		if last = ended[i]; from.IsZero() || last.IsZero() {
			continue
		}
		each = append(each, last.Sub(from))
	}
	if len(each) == 0 {
		return -1
	}
	slices.Sort(each)
	end := time.Duration(planned-n) * each[len(each)/2]
	if !last.IsZero() {
		for _, again := range r.Resumed {
			if again.Started.After(last) {
				last = again.Started
			}
		}
		end -= now.Sub(last)
	}
	return max(0, end)
}

// metric is a number of every epoch.
type metric struct {
	name    string
	percent bool
	value   func(run.Epoch) float64 // NaN where it was not measured
}

var metrics = []metric{
	{"loss", false, func(e run.Epoch) float64 { return e.Train.Loss }},
	{"val_loss", false, func(e run.Epoch) float64 { return e.Val.Loss }},
	{"acc", true, func(e run.Epoch) float64 { return e.Train.Accuracy }},
	{"val_acc", true, func(e run.Epoch) float64 { return e.Val.Accuracy }},
	{"lr", false, func(e run.Epoch) float64 { return e.LR }},
	{"grad_norm", false, func(e run.Epoch) float64 {
		if e.GradNorm == nil {
			return math.NaN()
		}
		return *e.GradNorm
	}},
}

// format formats a value of m, "-" if there is none.
func (m metric) format(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case m.percent:
		return fmt.Sprintf("%.2f %%", 100*v)
	}
	return fmt.Sprintf("%.4g", v)
}

// last returns the value of the metric called name in the last epoch of r, formatted.
func last(r Run, name string) string {
	m := metrics[slices.IndexFunc(metrics, func(m metric) bool { return m.name == name })]
	if len(r.Metrics) == 0 {
		return "-"
	}
	return m.format(m.value(r.Metrics[len(r.Metrics)-1]))
}

// row returns the cells of r under columns.
func row(r Run) []string {
	epoch := "-"
	if r.Planned > 0 {
		epoch = fmt.Sprintf("%d/%d", len(r.Metrics), r.Planned)
	}
	leftText := "-"
	if r.Left >= 0 {
		leftText = Short(r.Left)
	}
	test := "-"
	if r.TestAccuracy != nil {
		test = fmt.Sprintf("%.2f %%", 100**r.TestAccuracy)
	}
	return []string{r.ID, string(r.Status), epoch, leftText, last(r, "loss"), last(r, "val_loss"), last(r, "val_acc"),
		test}
}

var columns = []string{"RUN", "STATUS", "EPOCH", "LEFT", "LOSS", "VAL LOSS", "VAL ACC", "TEST ACC"}

// Short formats d by its two largest units: 42s, 3m05s, 2h07m, 3d04h.
func Short(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h >= 24:
		return fmt.Sprintf("%dd%02dh", h/24, h%24)
	case h > 0:
		return fmt.Sprintf("%dh%02dm", h, m)
	case m > 0:
		return fmt.Sprintf("%dm%02ds", m, s)
	}
	return fmt.Sprintf("%ds", s)
}

// Table writes one reading of r as a table.
func Table(w io.Writer, r *Runs) error {
	all, err := r.Read(time.Now())
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, x := range all {
		fmt.Fprintln(t, strings.Join(row(x), "\t"))
	}
	return t.Flush()
}

// Lines writes a line for each epoch as it comes, until no run trains any more, and one when a run ends. Of runs that
// were there before it writes the last epoch. Where open is set, more runs may come: it then waits a little for another
// one, as a study begins it, and passes over those that had ended before. It returns the number of lines.
func Lines(ctx context.Context, w io.Writer, r *Runs, open bool) (n int, err error) {
	type state struct {
		epochs int
		status run.Status
	}
	shown := map[string]state{} // by id
	tick := time.NewTicker(every)
	defer tick.Stop()
	var idle time.Time // since when nothing trains
	for first := true; ; first = false {
		now := time.Now()
		all, err := r.Read(now)
		if err != nil {
			return n, err
		}
		training := false
		for _, x := range all {
			training = training || x.Status == run.StatusRunning
			was, known := shown[x.ID]
			epochs := len(x.Metrics)
			if first {
				was.epochs = max(0, epochs-1)
			}
			if !(first && open && x.Status != run.StatusRunning) {
				for i := min(was.epochs, epochs); i < epochs; i++ {
					so := x
					so.Metrics = x.Metrics[:i+1]
					if i+1 < epochs {
						so.Left = -1
					}
					fmt.Fprintln(w, epochLine(so))
					n++
				}
				if x.Status != run.StatusRunning && (!known || was.status != x.Status) {
					fmt.Fprintln(w, endLine(x))
					n++
				}
			}
			shown[x.ID] = state{epochs, x.Status}
		}
		switch {
		case training:
			idle = time.Time{}
		case !open || first:
			return n, nil
		case idle.IsZero():
			idle = now
		case now.Sub(idle) >= pause:
			return n, nil
		}
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-tick.C:
		}
	}
}

// epochLine describes the last epoch of r.
func epochLine(r Run) string {
	e := r.Metrics[len(r.Metrics)-1]
	line := fmt.Sprintf("%s  epoch %d/%d", r.ID, e.Epoch, max(r.Planned, e.Epoch))
	for _, m := range metrics {
		if v := m.value(e); !math.IsNaN(v) {
			line += fmt.Sprintf("  %s %s", m.name, m.format(v))
		}
	}
	if r.Left > 0 {
		line += "  left " + Short(r.Left)
	}
	return line
}

// endLine says how r ended.
func endLine(r Run) string {
	line := fmt.Sprintf("%s  %s", r.ID, r.Status)
	switch {
	case r.TestAccuracy != nil:
		line += fmt.Sprintf("  test accuracy %.2f %%", 100**r.TestAccuracy)
	case r.Detail != "":
		line += "  " + strings.Join(strings.Fields(r.Detail), " ")
	}
	if text := next(r); text != "" {
		line += "; " + text
	}
	return line
}

// next says how a run that can go on is continued.
func next(r Run) string {
	switch r.Status {
	case run.StatusInterrupted, run.StatusPaused, run.StatusFailed:
		return "continue with: " + r.Command("resume")
	}
	return ""
}
