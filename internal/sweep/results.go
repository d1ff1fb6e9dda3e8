package sweep

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/stat"

	"dla/internal/metrics"
	"dla/internal/table"
)

// Results holds what a sweep has come to, for tables and figures. All of it is derived from the plan and the claims.
type Results struct {
	Study
	Trials     []State
	Settings   []Settings   // the best first
	Importance []Importance // of the varied settings, the most important first
	Cost       Cost
	Outside    []int // trials that other commands evaluated on the test set: see Folder.Outside
}

// Settings holds the trials of equal settings, which differ in their seeds.
type Settings struct {
	N       int       `json:"settings"`
	Values  []string  `json:"values"`         // of the varied settings, as --set takes them
	Seeds   int       `json:"seeds"`          // trials planned
	Trained int       `json:"trained"`        // of them to the end
	Epochs  int       `json:"epochs"`         // that all of them that have begun have come to
	Mean    float64   `json:"mean"`           // of the objective after these; NaN where nothing was measured
	SD      float64   `json:"sd"`             // over the seeds; NaN for one
	Each    []float64 `json:"each"`           // the objective of each trial that has begun
	Test    []Test    `json:"test,omitempty"` // of the trials that were tested
}

// MarshalJSON writes null for what is NaN.
func (s Settings) MarshalJSON() ([]byte, error) {
	number := func(v float64) *float64 {
		if math.IsNaN(v) {
			return nil
		}
		return &v
	}
	each := make([]*float64, len(s.Each))
	for i, v := range s.Each {
		each[i] = number(v)
	}
	type plain Settings
	return json.Marshal(struct {
		plain
		Mean *float64   `json:"mean"`
		SD   *float64   `json:"sd"`
		Each []*float64 `json:"each"`
	}{plain(s), number(s.Mean), number(s.SD), each})
}

// Importance says how much the objective depends on one setting, over all settings.
type Importance struct {
	Key string `json:"key"`
	N   int    `json:"n"` // settings
	// Rank is Spearman's rank correlation of an ordered setting with the objective, from -1 to 1, where more is better
	// is positive; for words it is the correlation ratio of the objective's ranks, from 0 to 1.
	Rank  float64 `json:"rank_correlation"`
	Words bool    `json:"words"`
}

// Cost compares what was trained with what would have been without early stopping.
type Cost struct {
	Epochs  int     `json:"epochs"`       // trained
	Full    int     `json:"epochs_full"`  // of all trials that have begun, trained to their end
	Seconds float64 `json:"seconds"`      // of training
	Saved   float64 `json:"seconds_left"` // what stopped trials would have taken to their end, at their own speed
	Stopped int     `json:"stopped"`      // trials stopped early
}

// Results sums up the states of p's trials.
func (p *Plan) Results(states []State) *Results {
	r := &Results{Study: p.Study, Trials: states}
	for n, g := range p.groups(states) {
		s := Settings{N: n + 1, Seeds: len(g.trials), Epochs: math.MaxInt}
		for _, i := range g.trials {
			if st := states[i]; st.Done() {
				s.Trained++
			} else if st.Status != Diverged && len(st.Curve) > 0 {
				s.Epochs = min(s.Epochs, len(st.Curve))
			}
			if st := states[i]; st.Test != nil {
				s.Test = append(s.Test, *st.Test)
			}
		}
		for _, v := range p.Varied {
			s.Values = append(s.Values, plain(p.value(states[g.trials[0]].Trial, v)))
		}
		switch {
		case s.Epochs < math.MaxInt:
		case s.Trained > 0: // all that have begun, to the end, though some may have ended before the last epoch
			s.Epochs = p.Epochs
		default:
			s.Epochs = 0
		}
		for _, i := range g.trials {
			if st := states[i]; len(st.Curve) > 0 || st.Status == Diverged {
				s.Each = append(s.Each, st.Value(s.Epochs))
			}
		}
		s.Mean, s.SD = metrics.MeanStd(s.Each)
		r.Settings = append(r.Settings, s)
	}
	slices.SortStableFunc(r.Settings, func(a, b Settings) int {
		return cmp.Or(cmp.Compare(b.Trained, a.Trained), cmp.Compare(b.Epochs, a.Epochs), p.Objective.compare(a.Mean, b.Mean))
	})
	r.importance()
	r.cost()
	return r
}

// Winner returns the best settings among those with the most seeds trained to the end; nil if none is.
func (r *Results) Winner() *Settings {
	if len(r.Settings) == 0 || r.Settings[0].Trained == 0 {
		return nil
	}
	return &r.Settings[0]
}

// Tested returns the settings whose trials were evaluated on the test set: the winner alone, if it has not changed.
func (r *Results) Tested() []Settings {
	return slices.DeleteFunc(slices.Clone(r.Settings), func(s Settings) bool { return len(s.Test) == 0 })
}

// Outside returns the trials that are not Tested and whose runs are finished all the same: another command has
// evaluated them on the test set.
func (f *Folder) Outside(states []State) []int {
	var all []int
	for _, s := range states {
		if s.Status != Trained {
			continue
		}
		if _, err := os.Lstat(filepath.Join(f.Dir, s.Run, "result.json")); err == nil {
			all = append(all, s.N)
		}
	}
	return all
}

// importance measures the importance of each varied setting. Trials that were stopped early are compared after the
// epochs of the first comparison.
func (r *Results) importance() {
	at := r.Epochs
	if r.Stop.Rule != "" {
		at = r.Stop.Min
	}
	sums, n := map[int]float64{}, map[int]float64{}
	for _, s := range r.Trials {
		if v := s.Value(at); !math.IsNaN(v) {
			sums[s.Settings] += v
			n[s.Settings]++
		}
	}
	for i, v := range r.Varied {
		var values []string
		var objective []float64
		for _, s := range r.Settings {
			if n[s.N] > 0 {
				values, objective = append(values, s.Values[i]), append(objective, sums[s.N]/n[s.N])
			}
		}
		im := Importance{Key: v.Key, N: len(values)}
		y := ranks(objective)
		if x, ok := ordered(values); ok {
			im.Rank = stat.Correlation(ranks(x), y, nil)
			if r.Objective.Measure == ValLoss { // a smaller loss is better
				im.Rank = -im.Rank
			}
		} else {
			im.Words, im.Rank = true, correlationRatio(values, y)
		}
		if math.IsNaN(im.Rank) { // one value, or one result
			im.Rank = 0
		}
		r.Importance = append(r.Importance, im)
	}
	slices.SortStableFunc(r.Importance, func(a, b Importance) int {
		return cmp.Compare(math.Abs(b.Rank), math.Abs(a.Rank))
	})
}

// ordered returns values as numbers; false and true are 0 and 1. ok is false for words.
func ordered(values []string) (x []float64, ok bool) {
	for _, v := range values {
		f, err := strconv.ParseFloat(v, 64)
		switch {
		case v == "true":
			f = 1
		case v == "false":
			f = 0
		case err != nil:
			return nil, false
		}
		x = append(x, f)
	}
	return x, true
}

// ranks returns the rank of each value, from 1; equal values share their mean rank.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	all := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			all[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return all
}

// correlationRatio returns the square root of the share of y's variance that lies between the groups of equal values.
func correlationRatio(values []string, y []float64) float64 {
	mean, between, total := stat.Mean(y, nil), 0.0, 0.0
	groups := map[string][]float64{}
	for i, v := range values {
		groups[v] = append(groups[v], y[i])
		total += (y[i] - mean) * (y[i] - mean)
	}
	for _, k := range sortedKeys(groups) { // in a fixed order, so that sums are the same
		d := stat.Mean(groups[k], nil) - mean
		between += float64(len(groups[k])) * d * d
	}
	return math.Sqrt(between / total)
}

// cost sums up the epochs and times of all trials.
func (r *Results) cost() {
	for _, s := range r.Trials {
		n := len(s.Curve)
		if n == 0 {
			continue
		}
		r.Cost.Epochs, r.Cost.Seconds = r.Cost.Epochs+n, r.Cost.Seconds+s.Seconds
		if s.Status != Halted {
			r.Cost.Full += n
			continue
		}
		r.Cost.Full += r.Epochs
		r.Cost.Stopped++
		r.Cost.Saved += s.Seconds / float64(n) * float64(r.Epochs-n)
	}
}

// CSV returns the table of trials: a header, then a line a trial.
func (r *Results) CSV() (string, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	head := []string{"trial", "settings"}
	for _, v := range r.Varied {
		head = append(head, v.Key)
	}
	head = append(head, "seed", "status", "epochs", r.Objective.Measure, "seconds", "attempts", "run")
	if err := w.Write(head); err != nil {
		return "", err
	}
	for _, s := range r.Trials {
		row := []string{strconv.Itoa(s.N), strconv.Itoa(s.Settings)}
		for _, v := range r.Varied {
			row = append(row, plain(r.value(s.Trial, v)))
		}
		value := ""
		if v := s.Last(); !math.IsNaN(v) {
			value = strconv.FormatFloat(v, 'g', -1, 64)
		}
		row = append(row, strconv.FormatUint(s.Seed, 10), string(s.Status), strconv.Itoa(len(s.Curve)), value,
			strconv.FormatFloat(s.Seconds, 'f', 3, 64), strconv.Itoa(s.Attempts), s.Run)
		if err := w.Write(row); err != nil {
			return "", err
		}
	}
	w.Flush()
	return b.String(), w.Error()
}

// mostRows bounds the settings in tables for readers; trials.csv has all of them.
const mostRows = 20

// Tables returns the best settings, the importance of each varied setting and the cost, with what is to be said of
// them.
func (r *Results) Tables() table.Tables {
	scale, format, head, best := 100.0, "%.2f", r.Objective.Measure+" %", table.Largest
	if r.Objective.Measure == ValLoss {
		scale, format, head, best = 1, "%.5f", ValLoss, table.Least
	}
	heads := []string{"settings"}
	for _, v := range r.Varied {
		heads = append(heads, v.Key)
	}
	t := table.New("l"+strings.Repeat("r", len(r.Varied)+4), append(heads, "seeds", "epochs", head, "test")...)
	for _, s := range r.Settings[:min(mostRows, len(r.Settings))] {
		row := []any{s.N}
		for _, v := range s.Values {
			cell := table.Cell{Text: v}
			if x, err := strconv.ParseFloat(v, 64); err == nil {
				cell = table.Number("%g", x)
				cell.Text = v
			}
			row = append(row, cell)
		}
		var each []float64
		for _, v := range s.Each {
			each = append(each, scale*v)
		}
		objective := table.Spread(format, each)
		if math.IsNaN(s.Mean) {
			objective = table.Cell{Text: "-"}
		}
		seeds := fmt.Sprintf("%d of %d", s.Trained, s.Seeds)
		if s.Trained == s.Seeds {
			seeds = strconv.Itoa(s.Seeds)
		}
		var tests []string
		for _, t := range s.Test {
			tests = append(tests, strings.TrimPrefix(t.Reached, "test accuracy "))
		}
		t.Row(append(row, seeds, s.Epochs, objective, strings.Join(tests, ", "))...)
	}
	ts := table.Of(t.DropEmpty("test").Mark(best, false, head))
	if n := len(r.Settings) - mostRows; n > 0 {
		ts.Say("%d further settings are in %s.", n, tableName)
	}
	by := fmt.Sprintf("Settings are compared by %s of the epoch that validation selects, mean ± sd", r.Objective.Measure)
	switch tested := r.Tested(); len(tested) {
	case 0:
		ts.Say("%s; none was evaluated on the test set.", by)
	case 1:
		ts.Say("%s; the test set was touched for settings %d alone.", by, tested[0].N)
	default:
		ts.Say("%s; the test set was touched for %d settings, since the sweep went on after a test: the best of them by "+
			"test is no fair estimate.", by, len(tested))
	}
	if n := len(r.Outside); n > 0 {
		ts.Say("Beside, other commands (such as `dla runs resume`) evaluated %d trials on the test set, such as trial %d.", n,
			r.Outside[0])
	}
	if len(r.Importance) > 0 {
		t := table.New("lrr", "setting", "rank correlation with the objective", "n")
		for _, im := range r.Importance {
			rank := table.Number("%+.2f", im.Rank)
			if im.Words {
				rank.Text = fmt.Sprintf("%.2f (of words: correlation ratio)", im.Rank)
			}
			t.Row(im.Key, rank, im.N)
		}
		ts.Add(t)
	}
	if c := r.Cost; c.Stopped > 0 {
		ts.Say("Early stopping (%s): %d trials were stopped; %d epochs were trained of the %d that all would have taken "+
			"(%.0f %%). The stopped ones would have taken %.0f s more, beside %.0f s.", r.Stop, c.Stopped, c.Epochs, c.Full,
			100*float64(c.Epochs)/float64(c.Full), c.Saved, c.Seconds)
	}
	return ts
}

// spread formats a mean with its standard deviation.
func (o Objective) spread(mean, sd float64) string {
	switch {
	case math.IsNaN(mean):
		return "-"
	case math.IsNaN(sd):
		return o.Format(mean)
	case o.Measure == ValLoss:
		return fmt.Sprintf("%.5f ± %.5f", mean, sd)
	}
	return fmt.Sprintf("%.2f ± %.2f %%", 100*mean, 100*sd)
}

// Spread formats the objective of s: its mean and standard deviation.
func (r *Results) Spread(s Settings) string { return r.Objective.spread(s.Mean, s.SD) }
