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
)

// speeds is what the table takes of a file that `dla bench --peer … --json` wrote, with what was added
// by hand when it was kept: the date and what the peer is.
type speeds struct {
	CPU     string  `json:"cpu"`
	Threads int     `json:"threads"`
	Kernel  string  `json:"kernel"`
	Peak    float64 `json:"peak_gflops"`
	Peer    string  `json:"peer_version"`
	Date    string  `json:"date"`
	Results []struct {
		Group  string  `json:"group"`
		Case   string  `json:"case"`
		Images float64 `json:"images_per_s"`
		Peer   *struct {
			FP32 struct {
				PerS float64 `json:"per_s"`
			} `json:"fp32"`
			Ratio     float64 `json:"ratio"`
			BF16Ratio float64 `json:"ratio_bf16"`
		} `json:"peer"`
	} `json:"results"`
}

// jobs are whole commands and their peers, timed in turns by hand: what the file jobs.json holds.
type jobs struct {
	Jobs []struct {
		Job  string    `json:"job"`
		Unit string    `json:"unit"` // s and MB, of which less is better, or a rate, as sentences/s
		Ours []float64 `json:"ours"` // a value a turn
		Peer []float64 `json:"peer"`
		Note string    `json:"note"`
	} `json:"jobs"`
}

// jobsTable is the jobs kept in dir as a Markdown table, medians; empty where there are none.
func jobsTable(dir string) (string, error) {
	name := filepath.Join(dir, "jobs.json")
	text, err := plainfile.Read(name, run.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var j jobs
	if err := json.Unmarshal(text, &j); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	var b strings.Builder
	b.WriteString("| job | ours | peer | ratio |\n|---|---:|---:|---:|\n")
	for _, job := range j.Jobs {
		ours, peer := metrics.Median(job.Ours), metrics.Median(job.Peer)
		if !(ours > 0) || !(peer > 0) {
			return "", fmt.Errorf("%s: %s: want values above 0, ours and the peer's", name, job.Job)
		}
		ratio := peer / ours
		if strings.HasSuffix(job.Unit, "/s") {
			ratio = ours / peer
		}
		note := ""
		if job.Note != "" {
			note = " (" + job.Note + ")"
		}
		fmt.Fprintf(&b, "| %s%s | %.4g %s | %.4g %s | %.2f |\n", job.Job, note, ours, job.Unit, peer, job.Unit, ratio)
	}
	return b.String(), nil
}

// Speed is the measurements kept in dir, of training steps, evaluation, input gradients and sentence encoders,
// and of whole jobs, beside the peer's, as Markdown tables.
func Speed(dir string) (string, error) {
	var b strings.Builder
	b.WriteString("| | network | ours, a second | peer, a second | ratio | to the peer in bfloat16 |\n|---|---|---:|---:|---:|---:|\n")
	var about speeds
	var dates []string
	for _, group := range []struct{ file, label string }{{"steps", "training step"}, {"eval", "evaluation"}, {"fgsm", "input gradient"}, {"encoders", "sentences"}} {
		text, err := plainfile.Read(filepath.Join(dir, group.file+".json"), run.MaxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		var s speeds
		if err := json.Unmarshal(text, &s); err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Join(dir, group.file+".json"), err)
		}
		about = s
		dates = append(dates, s.Date)
		for _, r := range s.Results {
			if r.Peer == nil {
				continue
			}
			half := "–"
			if r.Peer.BF16Ratio > 0 {
				half = fmt.Sprintf("%.2f", r.Peer.BF16Ratio)
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.0f | %.2f | %s |\n", group.label, r.Case, r.Images, r.Peer.FP32.PerS, r.Peer.Ratio, half)
		}
	}
	if about.CPU == "" {
		return "", fmt.Errorf("there is no measurement in %s; make one with `dla bench steps --peer … --json`", dir)
	}
	date := slices.Min(dates)
	if last := slices.Max(dates); last != date {
		date += " to " + last
	}
	fmt.Fprintf(&b, "\n%s, %d threads, %s kernels, float32; measured peak %.0f GFLOP/s; peer: %s, the best of its layouts; %s, in turns, medians.\n",
		about.CPU, about.Threads, about.Kernel, about.Peak, about.Peer, date)
	table, err := jobsTable(dir)
	if err != nil {
		return "", err
	}
	if table != "" {
		fmt.Fprintf(&b, "\n%s", table)
	}
	return b.String(), nil
}
