package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dla/internal/run"
	"dla/internal/table"
)

// Difference is one thing in which two runs differ. A value that a run lacks is "".
type Difference struct {
	Part string // run, settings, data, program, machine, metrics, result or time
	Key  string
	A, B string // numbers in full precision
}

// Diff returns in what a and b differ: settings, data, program and machine when they began, metrics, and results.
func Diff(a, b run.Record) ([]Difference, error) {
	var all []Difference
	compare := func(part string, x, y map[string]string) {
		keys := slices.Collect(maps.Keys(x))
		for k := range y {
			if _, both := x[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.SortFunc(keys, byNumbers)
		for _, k := range keys {
			if x[k] != y[k] {
				all = append(all, Difference{part, k, x[k], y[k]})
			}
		}
	}
	of := func(r run.Record) map[string]string {
		return map[string]string{"experiment": r.Experiment, "variant": r.Variant, "status": string(r.Status),
			"continued": strconv.Itoa(len(r.Resumed)) + " times"}
	}
	compare("run", of(a), of(b))
	x, err := Flatten(a)
	if err != nil {
		return nil, err
	}
	y, err := Flatten(b)
	if err != nil {
		return nil, err
	}
	compare("settings", x, y)
	compare("data", dataOf(a.Env.Data), dataOf(b.Env.Data))
	compare("program", programOf(a.Env), programOf(b.Env))
	compare("machine", machineOf(a.Env), machineOf(b.Env))
	all = append(all, diffMetrics(a.Metrics, b.Metrics)...)
	resultA, timeA, err := resultLeaves(a)
	if err != nil {
		return nil, err
	}
	resultB, timeB, err := resultLeaves(b)
	if err != nil {
		return nil, err
	}
	compare("result", resultA, resultB)
	compare("time", timeA, timeB)
	return all, nil
}

// byNumbers orders keys with numbers in them by these: epoch 2 before epoch 10.
func byNumbers(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, errX := strconv.Atoi(x[i])
		n, errY := strconv.Atoi(y[i])
		switch {
		case errX == nil && errY == nil && m != n:
			return m - n
		case x[i] != y[i]:
			return strings.Compare(x[i], y[i])
		}
	}
	return len(x) - len(y)
}

// DiffTable returns the differences of runs a and b as a table. Of numbers it has b - a.
func DiffTable(a, b run.Record, ds []Difference) *table.Table {
	t := table.New("llllr", "part", "what", a.ID, b.ID, "difference")
	if a.ID == b.ID {
		t.Columns[2].Head, t.Columns[3].Head = a.Dir, b.Dir
	}
	for _, d := range ds {
		x, y := valueCell(d.A), valueCell(d.B)
		row := []any{d.Part, d.Key, x, y}
		if x.Value != nil && y.Value != nil {
			row = append(row, table.Number("%+.4g", y.Value.Mean-x.Value.Mean))
		}
		t.Row(row...)
	}
	return t
}

func valueCell(text string) table.Cell {
	if text == "" {
		return table.Cell{Text: absent}
	}
	if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(v, 0) && !math.IsNaN(v) {
		c := table.Number("%g", v)
		c.Text = text
		return c
	}
	if hash(text) {
		return table.Short(text, 12)
	}
	return table.Short(text, 60)
}

// hash reports whether text is a SHA-256 in hex.
func hash(text string) bool { return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == "" }

// Flatten returns the settings of r by their keys, such as train.lr.
func Flatten(r run.Record) (map[string]string, error) {
	var tree map[string]any
	if err := yaml.Unmarshal(r.Config, &tree); err != nil {
		return nil, fmt.Errorf("run %s: config.yaml: %w", r.ID, err)
	}
	all := map[string]string{}
	var flatten func(prefix string, tree map[string]any)
	flatten = func(prefix string, tree map[string]any) {
		for k, v := range tree {
			if sub, ok := v.(map[string]any); ok {
				flatten(prefix+k+".", sub)
			} else {
				all[prefix+k] = fmt.Sprint(v)
			}
		}
	}
	flatten("", tree)
	return all, nil
}

func dataOf(d run.DataInfo) map[string]string {
	all := map[string]string{"name": d.Name, "source": d.Source, "fingerprint": d.Fingerprint}
	if d.Synthetic {
		all["synthetic"] = "true"
	}
	if d.Own != nil {
		all["path"] = d.Own.Path
	}
	return all
}

func programOf(e run.Env) map[string]string {
	revision := e.Revision
	if e.Dirty {
		revision += ", with uncommitted changes"
	}
	return map[string]string{"version": e.Version, "revision": revision, "go": e.GoVersion, "kernels": e.Kernel,
		"command": run.Quote(e.Command...)}
}

func machineOf(e run.Env) map[string]string {
	return map[string]string{"system": e.OS, "architecture": e.Arch, "processor": e.CPU,
		"threads": strconv.Itoa(e.Threads)}
}

// diffMetrics returns the number of epochs, where it differs, and the first epoch in which the metrics differ.
func diffMetrics(a, b []run.Epoch) (all []Difference) {
	if len(a) != len(b) {
		all = append(all, Difference{"metrics", "epochs", strconv.Itoa(len(a)), strconv.Itoa(len(b))})
	}
	for i := range min(len(a), len(b)) {
		x, y := epochLeaves(a[i]), epochLeaves(b[i])
		if maps.Equal(x, y) {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if x[k] != y[k] {
				all = append(all, Difference{"metrics", fmt.Sprintf("%s, epoch %d, the first that differs", k, a[i].Epoch),
					x[k], y[k]})
			}
		}
		break
	}
	if len(a) == 0 || len(b) == 0 {
		return all
	}
	x, y := epochLeaves(a[len(a)-1]), epochLeaves(b[len(b)-1])
	for _, k := range slices.Sorted(maps.Keys(x)) {
		if k != "epoch" && x[k] != y[k] {
			all = append(all, Difference{"metrics", k + ", last epoch", x[k], y[k]})
		}
	}
	return all
}

func epochLeaves(e run.Epoch) map[string]string {
	all := map[string]string{}
	b, err := json.Marshal(e)
	if err == nil {
		err = leaves(b, all)
	}
	if err != nil { // a value that JSON cannot hold
		all["epoch"] = fmt.Sprintf("%+v", e)
	}
	return all
}

// resultLeaves returns the values in r's result by their keys, such as test.accuracy, and apart from them what another
// run of the same program may well have otherwise: times.
func resultLeaves(r run.Record) (result, times map[string]string, err error) {
	result, times = map[string]string{}, map[string]string{}
	if r.Result == nil {
		return result, times, nil
	}
	if err := leaves(r.Result, result); err != nil {
		return nil, nil, fmt.Errorf("run %s: result.json: %w", r.ID, err)
	}
	for k, v := range result {
		if strings.HasSuffix(k, "seconds") {
			times[k] = v
			delete(result, k)
		}
	}
	return result, times, nil
}

// leaves adds the values of a JSON text to all by their keys. Numbers stay as they are written.
func leaves(text []byte, all map[string]string) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return err
	}
	var walk func(key string, v any)
	walk = func(key string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				walk(strings.TrimPrefix(key+"."+k, "."), x)
			}
		case []any:
			for i, x := range v {
				walk(key+"."+strconv.Itoa(i), x)
			}
		case nil:
		default:
			all[key] = fmt.Sprint(v)
		}
	}
	walk("", tree)
	return nil
}

// Match says whether a part of a run came out the same when it was made again.
type Match struct {
	What            string
	Recorded, Again string // in words
	Same            bool
}

// Matches compares the record of a run with that of the same run made again, bit for bit: the metrics of each epoch,
// checksums of weights and of the files of the result such as predictions, and every other value of the result. What an
// older record lacks is not compared, nor are times and planned memory.
func Matches(recorded, again run.Record) ([]Match, error) {
	all := []Match{matchMetrics(recorded.Metrics, again.Metrics)}
	x, _, err := resultLeaves(recorded)
	if err != nil {
		return nil, err
	}
	y, _, err := resultLeaves(again)
	if err != nil {
		return nil, err
	}
	values, others := 0, []string{}
	for _, k := range slices.SortedFunc(maps.Keys(x), byNumbers) {
		last := k[strings.LastIndexByte(k, '.')+1:]
		switch {
		case last == "peak_bytes", last == "source", last == "original", last == "file", last == "adapter":
			// where something lies, and what the program makes of the memory
		case last == "sha256" || strings.HasSuffix(last, "_sha256"):
			all = append(all, Match{checksumOf(k, x), x[k], y[k], x[k] == y[k]})
		default:
			if values++; x[k] != y[k] {
				others = append(others, k)
			}
		}
	}
	m := Match{What: "values of the result", Recorded: fmt.Sprint(values), Again: "all the same", Same: len(others) == 0}
	if !m.Same {
		const most = 3
		m.Again = fmt.Sprintf("%d differ: %s", len(others), strings.Join(others[:min(most, len(others))], ", "))
		if len(others) > most {
			m.Again += ", …"
		}
	}
	slices.SortStableFunc(all, func(a, b Match) int { // after the metrics the weights
		rank := func(m Match) int {
			return slices.Index([]bool{m.What == "metrics", strings.HasPrefix(m.What, "weights"), true}, true)
		}
		return rank(a) - rank(b)
	})
	return append(all, m), nil
}

// checksumOf returns what the checksum at key is of.
func checksumOf(key string, values map[string]string) string {
	switch parent := strings.TrimSuffix(key, ".sha256"); {
	case key == "weights_sha256":
		return "weights that were selected"
	case key == "last_weights_sha256":
		return "weights of the last epoch"
	case parent != key && values[parent+".file"] != "":
		return values[parent+".file"]
	}
	return strings.ReplaceAll(strings.TrimSuffix(key, "_sha256"), "_", " ")
}

func matchMetrics(a, b []run.Epoch) Match {
	m := Match{What: "metrics", Recorded: fmt.Sprintf("%d epochs", len(a)), Again: fmt.Sprintf("%d epochs", len(b)),
		Same: len(a) == len(b)}
	for i := range min(len(a), len(b)) {
		x := epochLeaves(a[i])
		y := epochLeaves(b[i])
		for k := range y {
			if _, ok := x[k]; !ok { // an older record lacks it
				delete(y, k)
			}
		}
		if !maps.Equal(x, y) {
			m.Same, m.Again = false, fmt.Sprintf("differ from epoch %d", a[i].Epoch)
			break
		}
	}
	return m
}

// MatchTable returns matches as a table.
func MatchTable(matches []Match) *table.Table {
	t := table.New("llll", "what", "recorded", "again", "same")
	for _, m := range matches {
		same := "yes"
		if !m.Same {
			same = "NO"
		}
		t.Row(m.What, valueCell(m.Recorded), valueCell(m.Again), same)
	}
	return t
}
