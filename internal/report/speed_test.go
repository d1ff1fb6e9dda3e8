package report

import (
	"path/filepath"
	"testing"
)

func TestSpeed(t *testing.T) {
	dir := t.TempDir()
	speed := func() error {
		_, err := Speed(dir)
		return err
	}
	wantError(t, "make one with `dla bench steps --peer … --json`", speed)
	writeFile(t, filepath.Join(dir, "steps.json"), `{"cpu": "a CPU", "threads": 2, "kernel": "avx2", "peak_gflops": 99.6, "peer_version": "Peer 1", "date": "2026-01-02", "results": [
		{"group": "steps", "case": "net", "images_per_s": 1000.4, "peer": {"fp32": {"per_s": 500.2}, "ratio": 2.0, "ratio_bf16": 1.25}},
		{"group": "steps", "case": "alone", "images_per_s": 5}]}`)
	got, err := Speed(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, got.Page(), "| training step | net | 1000 | 500 | 2.00 | 1.25 |", "a CPU, 2 threads, avx2 kernels",
		"measured peak 100 GFLOP/s", "Peer 1")
	wantNoText(t, got.Page(), "alone") // has no peer
	writeFile(t, filepath.Join(dir, "eval.json"), "{")
	wantError(t, "eval.json", speed)
}

func TestJobs(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) { writeFile(t, filepath.Join(dir, "jobs.json"), text) }
	table := func() string {
		t.Helper()
		j, err := readJobs(dir)
		if err != nil {
			t.Error(err)
		}
		if t := j.table(); t != nil {
			return t.Page()
		}
		return ""
	}
	if got := table(); got != "" {
		t.Errorf("without a file: %q", got)
	}
	write(`{"jobs": [{"job": "training", "unit": "s", "ours": [3, 1, 2], "peer": [8]}, {"job": "reading", "unit": "sentences/s", "ours": [300], "peer": [100, 200], "note": "padded"}]}`)
	want := "| job | ours | peer | ratio |\n|---|---:|---:|---:|\n| training | 2 s | 8 s | 4.00 |\n| reading (padded) | 300 sentences/s | 150 sentences/s | 2.00 |\n"
	if got := table(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for _, bad := range []string{"{", `{"jobs": [{"job": "x", "unit": "s", "ours": [], "peer": [1]}]}`,
		`{"jobs": [{"job": "x", "unit": "s", "ours": [1], "peer": [0]}]}`} {
		write(bad)
		wantError(t, "jobs.json", func() error {
			_, err := readJobs(dir)
			return err
		})
	}
}

// TestSpeedSummary: each kind of work has a row with its smallest and its largest ratio; memory is no speed.
func TestSpeedSummary(t *testing.T) {
	dir := t.TempDir()
	wantError(t, "dla bench", func() error {
		_, err := SpeedSummary(dir)
		return err
	})
	writeFile(t, filepath.Join(dir, "steps.json"), `{"date": "2026-01-02", "cpu": "a CPU", "kernel": "k",
		"threads": 2, "peer_version": "Peer 1", "results": [
		{"case": "a", "images_per_s": 9, "peer": {"ratio": 2.5, "ratio_bf16": 1.25}}, {"case": "alone", "images_per_s": 5},
		{"case": "b", "images_per_s": 9, "peer": {"ratio": 1.5}}]}`)
	writeFile(t, filepath.Join(dir, "jobs.json"), `{"cpu": "another CPU", "threads": 2, "peer_version": "Peer 2",
		"date": "2025-12-31", "jobs": [{"job": "x", "unit": "s", "ours": [1], "peer": [3]},
		{"job": "y", "unit": "words/s", "ours": [1], "peer": [2]}, {"job": "z", "unit": "MB", "ours": [1], "peer": [4]}]}`)
	got, err := SpeedSummary(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, got.Page(), "| training step | 2 | 1.50–2.50 | 1.25 |\n", "| whole command | 2 | 0.50–3.00 |  |\n",
		"| peak memory | 1 | 4.00 |  |\n", "a CPU, 2 threads, k kernels; peer: Peer 1; 2026-01-02.",
		"Whole commands and memory: another CPU, 2 threads; peer: Peer 2; 2025-12-31.")
	all, err := Speed(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, all.Page(), "another CPU, 2 threads; peer: Peer 2; 2025-12-31, timed in turn, medians.")
}
