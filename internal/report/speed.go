package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// Speed is the measurements kept in dir, of training steps, evaluation and input gradients beside the
// peer's, as a Markdown table.
func Speed(dir string) (string, error) {
	var b strings.Builder
	b.WriteString("| | network | ours, images/s | peer, images/s | ratio | to the peer in bfloat16 |\n|---|---|---:|---:|---:|---:|\n")
	var about speeds
	for _, group := range []struct{ file, label string }{{"steps", "training step"}, {"eval", "evaluation"}, {"fgsm", "input gradient"}} {
		text, err := os.ReadFile(filepath.Join(dir, group.file+".json"))
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
	fmt.Fprintf(&b, "\n%s, %d threads, %s kernels, float32; measured peak %.0f GFLOP/s; peer: %s, the best of its layouts; %s, in turns, medians.\n",
		about.CPU, about.Threads, about.Kernel, about.Peak, about.Peer, about.Date)
	return b.String(), nil
}
