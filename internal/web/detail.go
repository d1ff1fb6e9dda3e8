package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dla/internal/config"
	"dla/internal/labs"
	"dla/internal/plainfile"
	"dla/internal/report"
	"dla/internal/run"
	tabular "dla/internal/table"
)

const (
	mostCompared = 200 // runs, whose records are read whole
	mostSettings = 500
	mostRows     = 1000 // of a table
	logTail      = 32 << 10
	logLines     = 60
)

// pair is a name and what belongs to it.
type pair [2]string

// check is a self-check.
type check struct {
	What  string `json:"what"`
	Found string `json:"found"`
	Word  string `json:"word"` // holds, FAILS, does not apply
}

// table is a table of the program.
type table struct {
	Caption string     `json:"caption,omitempty"`
	Heads   []string   `json:"heads"`
	Right   []bool     `json:"right"` // columns of numbers
	Rows    [][]string `json:"rows"`
}

// detail is all that a page shows of one run.
type detail struct {
	Key      string   `json:"key"`
	Dir      string   `json:"dir"`
	About    []pair   `json:"about"`
	Note     string   `json:"note,omitempty"`
	Error    string   `json:"error,omitempty"` // of a record that cannot be read
	Checks   []check  `json:"checks"`
	Tables   []table  `json:"tables"`
	Settings []pair   `json:"settings"`
	Log      []string `json:"log"`
}

// run answers /api/run?run=KEY with a detail.
func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	it := s.tree.find(r.URL.Query().Get("run"))
	if it == nil {
		http.Error(w, "there is no such run any more", http.StatusNotFound)
		return
	}
	rec := run.Read(it.dir)
	d := detail{Key: it.key, Dir: text(it.dir), Settings: settings(rec.Config), Log: logOf(it.dir)}
	if err := rec.Damage(); err != nil {
		d.Error = text(err.Error())
		reply(w, d)
		return
	}
	e := rec.Env
	source := text(e.Data.Source)
	if e.Data.Synthetic {
		source = "SYNTHETIC, " + source
	}
	d.About = []pair{{"data", fmt.Sprintf("%s, %s (fingerprint %.12s)", text(e.Data.Name), source,
		text(e.Data.Fingerprint))}, {"command", text(run.Quote(e.Command...))}, {"program", program(e)},
		{"started", e.Started.Format(time.RFC3339)}}
	for _, again := range rec.Resumed {
		d.About = append(d.About, pair{"resumed", again.Started.Format(time.RFC3339) + ", by " + program(again)})
	}
	if err := d.result(rec); err != nil {
		d.Error = text(err.Error())
	}
	reply(w, d)
}

// result adds what a finished run found.
func (d *detail) result(rec run.Record) error {
	res, err := resultOf(rec)
	if err != nil || res == nil {
		return err
	}
	d.Note = text(res.Remark())
	for _, c := range res.SelfChecks() {
		d.Checks = append(d.Checks, check{text(c.What), text(c.Found), c.Word()})
	}
	d.Checks = d.Checks[:min(len(d.Checks), mostRows)]
	ts, err := report.StudyTable([]run.Record{rec}) // of a kind of its own
	if err == nil && ts == nil {
		ts, err = report.Tables([]run.Record{rec})
	}
	if err != nil {
		return err
	}
	classes, err := report.ClassTable(rec, math.MaxInt)
	if classes != nil {
		ts.Add(classes)
	}
	d.Tables = tables(ts)
	return err
}

// program says which dla, on which machine.
func program(e run.Env) string {
	changed := ""
	if e.Dirty {
		changed = ", with uncommitted changes"
	}
	return text(fmt.Sprintf("dla %s, revision %.12s%s, %s kernels, %d threads, %s, %s/%s", e.Version, e.Revision, changed,
		e.Kernel, e.Threads, e.CPU, e.OS, e.Arch))
}

// settings returns the settings of a config.yaml, such as train.lr, in their order.
func settings(config []byte) (all []pair) {
	var doc yaml.Node
	if yaml.Unmarshal(config, &doc) != nil || len(doc.Content) == 0 {
		return nil
	}
	var walk func(prefix string, n *yaml.Node)
	walk = func(prefix string, n *yaml.Node) {
		if len(all) >= mostSettings {
			return
		}
		if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(prefix+"."+n.Content[i].Value, n.Content[i+1])
			}
			return
		}
		value := n.Value
		if n.Kind != yaml.ScalarNode {
			var v any
			if n.Decode(&v) == nil {
				if b, err := json.Marshal(v); err == nil {
					value = string(b)
				}
			}
		}
		all = append(all, pair{text(strings.TrimPrefix(prefix, ".")), text(value)})
	}
	walk("", doc.Content[0])
	return all
}

// settings returns all settings of the run. Those that an older record lacks have their defaults, where this version
// knows the experiment.
func (it *item) settings() []pair {
	if c, err := labs.Settings(it.light()); err == nil {
		if b, err := config.Marshal(c); err == nil {
			return settings(b)
		}
	}
	return settings(it.Config)
}

// logOf returns the last lines of log.jsonl in words.
func logOf(dir string) []string {
	f, size, err := plainfile.Open(filepath.Join(dir, "log.jsonl"))
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, min(size, logTail))
	n, _ := f.ReadAt(b, size-int64(len(b))) // what is there of it is enough
	var all []string
	for line := range bytes.Lines(b[:n]) {
		var l map[string]any
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if d.Decode(&l) != nil {
			continue // the rest of a line that began before, or one that is being written
		}
		at, _ := l["time"].(string)
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			at = t.Format(time.DateTime)
		}
		words := []string{at, fmt.Sprint(l["msg"])}
		if level, _ := l["level"].(string); level != "INFO" {
			words[0] += " " + level
		}
		for _, key := range []string{"time", "msg", "level"} {
			delete(l, key)
		}
		for _, key := range slices.Sorted(maps.Keys(l)) {
			words = append(words, fmt.Sprintf("%s=%v", key, l[key]))
		}
		all = append(all, text(strings.Join(words, " ")))
	}
	return all[max(0, len(all)-logLines):]
}

// tables returns the tables of package report; what stands between them is their captions.
func tables(ts tabular.Tables) (all []table) {
	var caption []string
	for _, p := range ts {
		if p.Table == nil {
			caption = append(caption, text(strings.Join(strings.Fields(p.Text), " ")))
			continue
		}
		t := table{Caption: strings.Join(caption, " "), Rows: [][]string{}}
		caption = nil
		for _, c := range p.Table.Columns {
			t.Heads, t.Right = append(t.Heads, text(c.Head)), append(t.Right, c.Right)
		}
		for _, r := range p.Table.Rows[:min(len(p.Table.Rows), mostRows)] {
			var row []string
			for _, c := range r {
				row = append(row, text(c.Text))
			}
			t.Rows = append(t.Rows, row)
		}
		all = append(all, t)
	}
	return all
}

// comparison is what a page shows of several runs.
type comparison struct {
	Lines    map[string]report.Line `json:"lines"` // by group, among the compared ones
	Heads    []string               `json:"heads"` // of the settings: one group each, or one run each of a single group
	Settings []difference           `json:"settings"`
	Tables   []table                `json:"tables"`
	Note     string                 `json:"note,omitempty"`
}

// difference is a setting in which runs differ.
type difference struct {
	Key    string   `json:"key"`
	Values []string `json:"values"` // "" where a record does not have it
}

// compare answers /api/compare?run=KEY&run=KEY with a comparison.
func (s *Server) compare(w http.ResponseWriter, r *http.Request) {
	keys := r.URL.Query()["run"]
	keys = keys[:min(len(keys), mostCurves)]
	c := comparison{Settings: []difference{}, Tables: []table{}, Heads: []string{}}
	its, order := s.tree.members(keys, &c)
	var columns []*item // whose settings are compared
	for _, group := range order {
		columns = append(columns, its[group][0])
		c.Heads = append(c.Heads, c.Lines[group].Label)
	}
	if len(order) == 1 {
		columns, c.Heads = its[order[0]], nil
		for _, it := range columns {
			c.Heads = append(c.Heads, fmt.Sprintf("seed %d", it.Seed))
		}
	}
	c.Settings = append(c.Settings, differences(columns)...)
	if len(keys) > mostCompared {
		c.Note = fmt.Sprintf("the program's tables are made of at most %d runs", mostCompared)
		reply(w, c)
		return
	}
	var finished []run.Record
	for _, group := range order {
		for _, it := range its[group] {
			if rec := run.Read(it.dir); rec.Status == run.StatusFinished {
				finished = append(finished, rec)
			}
		}
	}
	if len(finished) > 0 {
		of := report.StudyTable
		if slices.ContainsFunc(finished, func(r run.Record) bool { return r.Experiment != finished[0].Experiment }) ||
			len(finished) == 1 {
			of = report.Tables
		}
		ts, err := of(finished)
		if err != nil {
			c.Note = text(err.Error())
		}
		c.Tables = append(c.Tables, tables(ts)...)
	}
	reply(w, c)
}

// members returns copies of the runs of keys by group, and the groups in the order of tables. It enters their lines
// into c.
func (t *tree) members(keys []string, c *comparison) (its map[string][]*item, order []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	its = map[string][]*item{}
	seen := map[string]bool{}
	for _, key := range keys {
		it := t.byKey[key]
		if it == nil || seen[key] {
			continue
		}
		seen[key] = true
		its[it.Group] = append(its[it.Group], &item{facts: it.facts, dir: it.dir, in: it.in, key: it.key})
	}
	for group := range its {
		order = append(order, group)
		slices.SortFunc(its[group], func(a, b *item) int {
			return strings.Compare(fmt.Sprintf("%020d%s", a.Seed, a.dir), fmt.Sprintf("%020d%s", b.Seed, b.dir))
		})
	}
	slices.Sort(order)
	var among lines
	c.Lines = map[string]report.Line{}
	for group, line := range among.of(its) {
		line.Label, line.Hue = text(line.Label), text(line.Hue)
		c.Lines[group] = line
	}
	slices.SortStableFunc(order, func(a, b string) int { return c.Lines[a].Rank - c.Lines[b].Rank })
	return its, order
}

// differences returns the settings in which runs differ.
func differences(its []*item) (all []difference) {
	var keys []string
	values := make([]map[string]string, len(its))
	for i, it := range its {
		values[i] = map[string]string{}
		for _, p := range append([]pair{{"data", text(it.Data)}}, it.settings()...) {
			if _, ok := values[i][p[0]]; !ok {
				values[i][p[0]] = p[1]
			}
			if !slices.Contains(keys, p[0]) {
				keys = append(keys, p[0])
			}
		}
	}
	for _, key := range keys {
		d := difference{Key: key}
		same := true
		for _, v := range values {
			d.Values = append(d.Values, v[key])
			same = same && v[key] == values[0][key]
		}
		if !same {
			all = append(all, d)
		}
	}
	return all
}
