package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/metrics"
	"dla/internal/plainfile"
	"dla/internal/run"
	"dla/internal/table"
)

// speeds is a file that `dla bench --peer … --json` wrote, to which the date and the peer's version were added by hand.
type speeds struct {
	timing
	Kernel  string        `json:"kernel"`
	Peak    float64       `json:"peak_gflops"`
	Results []measurement `json:"results"`
}

// timing says on which machine and against which peer a file's cases were timed, and on which day.
type timing struct {
	CPU     string `json:"cpu"`
	Threads int    `json:"threads"`
	Peer    string `json:"peer_version"`
	Date    string `json:"date"`
}

// measurement is one timed case, ours and the peer's.
type measurement struct {
	Case   string  `json:"case"`
	Images float64 `json:"images_per_s"`
	Peer   *struct {
		FP32 struct {
			PerS float64 `json:"per_s"`
		} `json:"fp32"`
		Ratio     float64 `json:"ratio"`
		BF16Ratio float64 `json:"ratio_bf16"`
	} `json:"peer"`
}

// jobs is the file jobs.json: whole commands and the peer's equivalents, timed in turn by hand.
type jobs struct {
	timing
	Jobs []job `json:"jobs"`
}

type job struct {
	Job  string    `json:"job"`
	Unit string    `json:"unit"` // s or MB, where less is better, or a rate such as sentences/s
	Ours []float64 `json:"ours"` // one value per turn
	Peer []float64 `json:"peer"`
	Note string    `json:"note"`
}

// readJobs reads the jobs in dir; none if there is no such file.
func readJobs(dir string) (jobs, error) {
	name := filepath.Join(dir, "jobs.json")
	var j jobs
	text, err := plainfile.Read(name, run.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return j, fmt.Errorf("%s: %w", name, err)
	}
	for _, job := range j.Jobs {
		if ours, peer := metrics.Median(job.Ours), metrics.Median(job.Peer); !(ours > 0) || !(peer > 0) {
			return j, fmt.Errorf("%s: %s: want values above 0 for ours and for the peer", name, job.Job)
		}
	}
	return j, nil
}

// ratio returns how many times better ours is: a quotient of medians. Of a rate more is better, of anything else less.
func (j job) ratio() float64 {
	ours, peer := metrics.Median(j.Ours), metrics.Median(j.Peer)
	if strings.HasSuffix(j.Unit, "/s") {
		return ours / peer
	}
	return peer / ours
}

// about says where the jobs were timed, which need not be where the measurements of `dla bench` were taken.
func (j jobs) about() string {
	return fmt.Sprintf("%s, %d threads; peer: %s; %s", j.CPU, j.Threads, j.Peer, j.Date)
}

// table returns the medians of the jobs as a table; nil if there are no jobs.
func (j jobs) table() *table.Table {
	if len(j.Jobs) == 0 {
		return nil
	}
	t := table.New("lrrr", "job", "ours", "peer", "ratio")
	for _, job := range j.Jobs {
		label := job.Job
		if job.Note != "" {
			label += " (" + job.Note + ")"
		}
		ours, peer := table.Number("%.4g", metrics.Median(job.Ours)), table.Number("%.4g", metrics.Median(job.Peer))
		ours.Text, peer.Text = ours.Text+" "+job.Unit, peer.Text+" "+job.Unit
		t.Row(label, ours, peer, table.Number("%.2f", job.ratio()))
	}
	return t
}

// speedGroup is the measurements in one file, with their label in tables.
type speedGroup struct {
	label string
	speeds
}

// readSpeeds reads the measurements in dir: training steps, evaluation, input gradients and sentence encoders.
func readSpeeds(dir string) ([]speedGroup, error) {
	var all []speedGroup
	for _, group := range []struct{ file, label string }{{"steps", "training step"}, {"eval", "evaluation"},
		{"fgsm", "input gradient"}, {"encoders", "sentences"}} {
		name := filepath.Join(dir, group.file+".json")
		text, err := plainfile.Read(name, run.MaxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		g := speedGroup{label: group.label}
		if err := json.Unmarshal(text, &g.speeds); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		g.Results = slices.DeleteFunc(g.Results, func(m measurement) bool { return m.Peer == nil })
		all = append(all, g)
	}
	if len(all) == 0 || all[len(all)-1].CPU == "" {
		return nil, fmt.Errorf("there is no measurement in %s; make one with `dla bench steps --peer … --json`", dir)
	}
	return all, nil
}

// Speed returns the measurements in dir as tables, ours beside the peer's: training steps, evaluation, input
// gradients, sentence encoders and whole jobs.
func Speed(dir string) (table.Tables, error) {
	groups, err := readSpeeds(dir)
	if err != nil {
		return nil, err
	}
	j, err := readJobs(dir)
	if err != nil {
		return nil, err
	}
	t := table.New("llrrrr", "", "network", "ours, per second", "peer, per second", "ratio",
		"ratio to the peer in bfloat16")
	for _, g := range groups {
		for _, r := range g.Results {
			half := table.Cell{Text: absent}
			if r.Peer.BF16Ratio > 0 {
				half = table.Number("%.2f", r.Peer.BF16Ratio)
			}
			t.Row(g.label, r.Case, table.Number("%.0f", r.Images), table.Number("%.0f", r.Peer.FP32.PerS),
				table.Number("%.2f", r.Peer.Ratio), half)
		}
	}
	about := groups[len(groups)-1]
	ts := table.Of(t)
	ts.Say("%s, %d threads, %s kernels, float32; measured peak %.0f GFLOP/s; "+
		"peer: %s, its fastest memory layout; %s, measured in turn, medians.",
		about.CPU, about.Threads, about.Kernel, about.Peak, about.Peer, dates(groups))
	if t := j.table(); t != nil {
		ts.Add(t)
		ts.Say("%s, timed in turn, medians.", j.about())
	}
	return ts, nil
}

// SpeedSummary returns Speed in a few rows: for each kind of work the smallest and the largest ratio.
func SpeedSummary(dir string) (table.Tables, error) {
	groups, err := readSpeeds(dir)
	if err != nil {
		return nil, err
	}
	j, err := readJobs(dir)
	if err != nil {
		return nil, err
	}
	about := groups[len(groups)-1]
	t := table.New("lrrr", "work", "cases", "ratio to the peer in float32", "ratio to the peer in bfloat16")
	for _, g := range groups {
		var ratios, half []float64
		for _, r := range g.Results {
			ratios = append(ratios, r.Peer.Ratio)
			if r.Peer.BF16Ratio > 0 {
				half = append(half, r.Peer.BF16Ratio)
			}
		}
		t.Row(g.label, len(ratios), ratioRange(ratios), ratioRange(half))
	}
	var speed, memory []float64
	for _, job := range j.Jobs {
		if job.Unit == "MB" {
			memory = append(memory, job.ratio())
		} else {
			speed = append(speed, job.ratio())
		}
	}
	if len(speed) > 0 {
		t.Row("whole command", len(speed), ratioRange(speed))
	}
	if len(memory) > 0 {
		t.Row("peak memory", len(memory), ratioRange(memory))
	}
	ts := table.Of(t)
	ts.Say("%s, %d threads, %s kernels; peer: %s; %s.", about.CPU, about.Threads, about.Kernel, about.Peer,
		dates(groups))
	if len(j.Jobs) > 0 {
		ts.Say("Whole commands and memory: %s.", j.about())
	}
	return ts, nil
}

// dates returns the first and the last day on which groups were measured.
func dates(groups []speedGroup) string {
	var days []string
	for _, g := range groups {
		days = append(days, g.Date)
	}
	first, last := slices.Min(days), slices.Max(days)
	if first == last {
		return first
	}
	return first + " to " + last
}

// ratioRange returns the smallest and the largest of ratios.
func ratioRange(ratios []float64) string {
	switch len(ratios) {
	case 0:
		return absent
	case 1:
		return fmt.Sprintf("%.2f", ratios[0])
	}
	return fmt.Sprintf("%.2f–%.2f", slices.Min(ratios), slices.Max(ratios))
}
