package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"dla/internal/labs"
	"dla/internal/metrics"
	"dla/internal/plainfile"
	"dla/internal/plot"
	"dla/internal/record"
	"dla/internal/report"
	"dla/internal/run"
)

// facts are what the list needs of a record. They are all that the index keeps.
type facts struct {
	Stamp       run.Stamp
	Group       string // of runs that differ by seed alone
	Experiment  string
	Variant     string
	Seed        uint64
	Status      string // as recorded
	Detail      string
	Started     time.Time
	Fingerprint string
	Data        string
	Synthetic   bool
	Label       *run.Label
	Config      []byte
	Epochs      int
	Last        *run.Epoch // nil before the first epoch
	PerEpoch    float64    // seconds of the last epoch of a training that goes on; 0: unknown

	Reached  string   // the result in words, "" before there is one
	Accuracy *float64 // on the test set, where there is one
	N        int      // examples that it was measured on
	Selected *float64 // validation accuracy of the weights that were kept
	MSE      *float64
	Seconds  float64
	Held     int // self-checks
	Failed   int

	run.Annotation
}

// factsOf reads the run in dir, whose files have the stamp s.
func factsOf(dir string, s run.Stamp) facts {
	r := run.Glance(dir)
	f := facts{Stamp: s, Experiment: r.Experiment, Variant: r.Variant, Seed: r.Seed, Status: string(r.Status),
		Detail: r.Detail, Started: r.Started, Fingerprint: r.Fingerprint, Data: r.Env.Data.Name,
		Synthetic: r.Env.Data.Synthetic, Label: r.Label, Config: r.Config, Epochs: r.Epochs,
		Annotation: r.Annotation}
	if len(r.Metrics) > 0 {
		f.Last = &r.Metrics[0]
	}
	if r.Status == run.StatusRunning {
		f.PerEpoch = perEpoch(dir)
	}
	res, err := resultOf(r)
	if err != nil {
		f.Status, f.Detail = string(run.StatusBroken), err.Error()
	}
	if res == nil {
		return f
	}
	f.Reached, f.Seconds = res.Reached(), res.Seconds()
	for _, c := range res.SelfChecks() {
		if c.Failed() {
			f.Failed++
		} else if c.OK {
			f.Held++
		}
	}
	switch res := res.(type) {
	case *record.Classifier:
		f.Accuracy, f.N = &res.Test.Accuracy, res.Test.N
		if res.Val.Measured() {
			f.Selected = &res.Val.Accuracy
		}
	case *record.Autoencoder:
		f.MSE, f.N = &res.Test.MSE, res.Test.N
	case *record.Attacks:
		f.Accuracy, f.N = &res.Test.Accuracy, res.Test.N
	}
	return f
}

// resultOf returns the result of a finished run, nil before it is finished and of an experiment that this version does
// not know.
func resultOf(r run.Record) (record.Result, error) {
	if r.Result == nil || !labs.Known(r.Experiment) {
		return nil, nil
	}
	return labs.ResultOf(r)
}

// row is a run in the list.
type row struct {
	Key        string `json:"key"`
	Group      string `json:"group"`
	ID         string `json:"id"`
	Folder     string `json:"folder"`
	Experiment string `json:"experiment"`
	Variant    string `json:"variant"`
	Seed       string `json:"seed"` // a number of 64 bits, which JavaScript's do not hold
	Status     string `json:"status"`
	Detail     string `json:"detail,omitempty"`
	Resume     string `json:"resume,omitempty"` // the command that goes on with it
	Started    int64  `json:"started"`          // milliseconds since 1970
	Data       string `json:"data"`
	Synthetic  bool   `json:"synthetic,omitempty"`
	Epochs     int    `json:"epochs"`
	Share      number `json:"share"`   // of the epochs or steps that are to come, where that is known
	Seconds    number `json:"seconds"` // that a finished run took
	Left       number `json:"left"`    // seconds that a training still needs
	Loss       number `json:"loss"`
	ValLoss    number `json:"val_loss"`
	ValAcc     number `json:"val_acc"` // of the weights that were kept, or of the last epoch
	Accuracy   number `json:"accuracy"`
	N          int    `json:"n,omitempty"`
	MSE        number `json:"mse"`
	Reached    string `json:"reached,omitempty"`
	Held       int    `json:"held"`
	Failed     int    `json:"failed"`

	Note string   `json:"note,omitempty"` // of the user
	Tags []string `json:"tags,omitempty"`
}

// row returns what the list shows of the run.
func (it *item) row(now time.Time) row {
	status, detail := it.state(now)
	r := row{Key: it.key, Group: it.Group, ID: text(filepath.Base(it.dir)), Folder: text(it.in),
		Experiment: text(it.Experiment), Variant: text(it.Variant), Seed: strconv.FormatUint(it.Seed, 10), Status: status,
		Detail: text(detail), Started: it.Started.UnixMilli(), Data: text(it.Data), Synthetic: it.Synthetic,
		Epochs: it.Epochs, Share: nan, Seconds: nan, Left: nan, Loss: nan, ValLoss: nan, ValAcc: nan,
		Accuracy: of(it.Accuracy), N: it.N, MSE: of(it.MSE), Reached: text(it.Reached),
		Held: it.Held, Failed: it.Failed,
		Note: text(it.Note)}
	for _, t := range it.Tags {
		r.Tags = append(r.Tags, text(t))
	}
	if it.Started.IsZero() {
		r.Started = it.Stamp.Newest() / 1e6
	}
	if it.Last != nil {
		r.Loss, r.ValLoss, r.ValAcc = number(it.Last.Train.Loss), number(it.Last.Val.Loss), number(it.Last.Val.Accuracy)
	}
	if it.Selected != nil {
		r.ValAcc = number(*it.Selected)
	}
	switch run.Status(status) {
	case run.StatusFinished:
		r.Seconds = number(it.Seconds)
	case run.StatusInterrupted, run.StatusPaused, run.StatusFailed:
		r.Resume = text(run.Record{Summary: run.Summary{ID: filepath.Base(it.dir)}, Dir: it.dir}.Command("resume"))
	case run.StatusRunning:
		r.Share, r.Left = it.progress()
	}
	return r
}

// progress returns the share of a training that is done and the seconds that are left, NaN where that is not known.
func (it *item) progress() (share, left number) {
	var c struct {
		Train struct {
			Epochs int `yaml:"epochs"`
			Steps  int `yaml:"steps"`
		} `yaml:"train"`
		Head struct {
			Epochs int `yaml:"epochs"`
		} `yaml:"head"`
	}
	if yaml.Unmarshal(it.Config, &c) != nil || it.Last == nil {
		return nan, nan
	}
	epochs := cmp.Or(c.Train.Epochs, c.Head.Epochs)
	done, todo := float64(it.Epochs), float64(epochs)
	if c.Train.Steps > 0 {
		done, todo = float64(it.Last.Step), float64(c.Train.Steps)
	}
	if todo <= 0 || done > todo {
		return nan, nan
	}
	if it.PerEpoch == 0 {
		return number(done / todo), nan
	}
	return number(done / todo), number(it.PerEpoch * float64(it.Epochs) * (todo - done) / done)
}

// perEpoch returns the seconds that the last epoch took, from the end of log.jsonl; 0 where it does not say.
func perEpoch(dir string) float64 {
	f, size, err := plainfile.Open(filepath.Join(dir, "log.jsonl"))
	if err != nil {
		return 0
	}
	defer f.Close()
	b := make([]byte, min(size, 4<<10))
	n, _ := f.ReadAt(b, size-int64(len(b))) // what is there of it is enough
	lines := bytes.Split(b[:n], []byte{'\n'})
	for _, line := range slices.Backward(lines) {
		var l struct {
			Msg     string  `json:"msg"`
			Seconds float64 `json:"seconds"`
		}
		if json.Unmarshal(line, &l) == nil && l.Msg == "epoch" && l.Seconds > 0 {
			return l.Seconds
		}
	}
	return 0
}

// group is runs in one folder that differ by seed alone, in the list.
type group struct {
	Key string `json:"key"`
	report.Line
	Seeds int    `json:"seeds"` // of the finished runs
	Mean  number `json:"mean"`  // test accuracy of those
	SD    number `json:"sd"`    // sample standard deviation over seeds
	Lo    number `json:"lo"`    // 95 % Wilson interval of the mean on n examples
	Hi    number `json:"hi"`
	N     int    `json:"n"`
	MSE   number `json:"mse"`
	MSESD number `json:"mse_sd"`
	Val   number `json:"val"` // validation accuracy of the weights that were kept
	ValSD number `json:"val_sd"`
	Time  number `json:"time"` // mean wall time in seconds
}

// groupRow returns the group of its, which figures show as line.
func groupRow(key string, line report.Line, its []*item) group {
	g := group{Key: key, Line: line, Mean: nan, SD: nan, Lo: nan, Hi: nan, MSE: nan, MSESD: nan, Val: nan, ValSD: nan,
		Time: nan}
	g.Label, g.Hue = text(g.Label), text(g.Hue)
	var acc, mse, val, seconds []float64
	seeds := map[uint64]bool{}
	for _, it := range its {
		if it.Status != string(run.StatusFinished) {
			continue
		}
		seeds[it.Seed] = true
		seconds = append(seconds, it.Seconds)
		add := func(to *[]float64, v *float64) {
			if v != nil {
				*to = append(*to, *v)
			}
		}
		add(&acc, it.Accuracy)
		add(&mse, it.MSE)
		add(&val, it.Selected)
		g.N = max(g.N, it.N)
	}
	g.Seeds = len(seeds)
	if len(acc) > 0 {
		mean, sd := metrics.MeanStd(acc)
		lo, hi := metrics.WilsonMean(mean, g.N)
		g.Mean, g.SD, g.Lo, g.Hi = number(mean), number(sd), number(lo), number(hi)
	}
	set := func(mean, sd *number, of []float64) {
		if len(of) > 0 {
			m, s := metrics.MeanStd(of)
			*mean, *sd = number(m), number(s)
		}
	}
	var none number
	set(&g.MSE, &g.MSESD, mse)
	set(&g.Val, &g.ValSD, val)
	set(&g.Time, &none, seconds)
	return g
}

// group returns the key of the group of it. Groups of one kind in several folders are several.
func (t *tree) group(it *item) string {
	if it.Config == nil { // broken, or just beginning
		return it.key
	}
	var config []string
	for line := range strings.Lines(string(it.Config)) {
		if !strings.HasPrefix(line, "seed:") {
			config = append(config, line)
		}
	}
	of := strings.Join(append(config, it.Experiment, it.Variant, it.Fingerprint), "\x00")
	key, ok := t.same[of]
	if !ok {
		key = report.SameButSeed(it.light())
		t.same[of] = key
	}
	return keyOf(filepath.Join(it.in, key))
}

// light returns the record as far as its line in figures needs it.
func (it *item) light() run.Record {
	return run.Record{Summary: run.Summary{ID: filepath.Base(it.dir), Experiment: it.Experiment, Variant: it.Variant,
		Seed: it.Seed, Fingerprint: it.Fingerprint}, Dir: it.dir, Label: it.Label, Config: it.Config,
		Env: run.Env{Data: run.DataInfo{Name: it.Data}}}
}

// lines keeps how figures show the groups, as long as they are the same.
type lines struct {
	keys  []string
	lines map[string]report.Line
}

// of returns the lines of all groups by their keys.
func (l *lines) of(members map[string][]*item) map[string]report.Line {
	keys := slices.Sorted(maps.Keys(members))
	if slices.Equal(keys, l.keys) {
		return l.lines
	}
	recs := make([]run.Record, len(keys))
	for i, key := range keys {
		recs[i] = members[key][0].light()
	}
	l.keys, l.lines = keys, map[string]report.Line{}
	count := map[string]int{}
	for i, line := range report.Lines(recs) {
		if line.Label == "" {
			line.Label = recs[i].ID // broken, or just beginning
		}
		l.lines[keys[i]] = line
		count[line.Label]++
	}
	for i, key := range keys { // the same on other data, or in another folder
		if line := l.lines[key]; count[line.Label] > 1 {
			line.Label = fmt.Sprintf("%s (%s)", line.Label, filepath.Base(filepath.Dir(recs[i].Dir)))
			l.lines[key] = line
		}
	}
	return l.lines
}

// palette returns the colours of the program's figures.
func palette() []string { return plot.Palette() }

// number is a number in JSON, with the digits that are shown; null for NaN and infinities.
type number float64

var nan = number(math.NaN())

func of(v *float64) number {
	if v == nil {
		return nan
	}
	return number(*v)
}

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) { return n.append(nil), nil }

func (n number) append(b []byte) []byte {
	v := float64(n)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, v, 'g', 7, 64)
}

// longest is how many bytes of a text are shown. A record may hold any text of any length.
const longest = 4 << 10

// text returns s as it is shown: control characters, and characters that change the direction of others, are escaped,
// and the end of what is too long is left out.
func text(s string) string {
	end := ""
	if len(s) > longest {
		cut := longest
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		end = fmt.Sprintf("… (%d bytes in all)", len(s))
		s = s[:cut]
	}
	plain := func(r rune) bool {
		return r == '\n' || r == '\t' || r != utf8.RuneError && !unicode.Is(unicode.Cc, r) && !unicode.Is(unicode.Cf, r)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		var b strings.Builder
		for _, r := range s {
			if plain(r) {
				b.WriteRune(r)
			} else {
				b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
			}
		}
		s = b.String()
	}
	return s + end
}
