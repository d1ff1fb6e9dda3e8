package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSpeed(t *testing.T) {
	dir := t.TempDir()
	if _, err := Speed(dir); err == nil || !strings.Contains(err.Error(), "dla bench") {
		t.Errorf("error %v, want one with what to do", err)
	}
	text := `{"cpu": "a CPU", "threads": 2, "kernel": "avx2", "peak_gflops": 99.6, "peer_version": "Peer 1", "date": "2026-01-02", "results": [
		{"group": "steps", "case": "net", "images_per_s": 1000.4, "peer": {"fp32": {"per_s": 500.2}, "ratio": 2.0, "ratio_bf16": 1.25}},
		{"group": "steps", "case": "alone", "images_per_s": 5}]}`
	if err := os.WriteFile(filepath.Join(dir, "steps.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Speed(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| training step | net | 1000 | 500 | 2.00 | 1.25 |", "a CPU, 2 threads, avx2 kernels", "measured peak 100 GFLOP/s", "Peer 1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "alone") {
		t.Errorf("a case without a peer is in\n%s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "eval.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Speed(dir); err == nil || !strings.Contains(err.Error(), "eval.json") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestJobs(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "jobs.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	jobsTable := func() (string, error) {
		j, err := readJobs(dir)
		return j.table(), err
	}
	if table, err := jobsTable(); table != "" || err != nil {
		t.Errorf("without a file: %q, error %v", table, err)
	}
	write(`{"jobs": [{"job": "training", "unit": "s", "ours": [3, 1, 2], "peer": [8]}, {"job": "reading", "unit": "sentences/s", "ours": [300], "peer": [100, 200], "note": "padded"}]}`)
	want := "| job | ours | peer | ratio |\n|---|---:|---:|---:|\n| training | 2 s | 8 s | 4.00 |\n| reading (padded) | 300 sentences/s | 150 sentences/s | 2.00 |\n"
	if table, err := jobsTable(); table != want || err != nil {
		t.Errorf("%s, error %v", table, err)
	}
	for _, bad := range []string{"{", `{"jobs": [{"job": "x", "unit": "s", "ours": [], "peer": [1]}]}`, `{"jobs": [{"job": "x", "unit": "s", "ours": [1], "peer": [0]}]}`} {
		write(bad)
		if _, err := jobsTable(); err == nil || !strings.Contains(err.Error(), "jobs.json") {
			t.Errorf("%s: error %v, want one that names the file", bad, err)
		}
	}
}

// TestSpeedSummary: a row for each kind of work, from the smallest ratio to the largest; memory is no speed.
func TestSpeedSummary(t *testing.T) {
	dir := t.TempDir()
	wantError(t, "dla bench", func() error {
		_, err := SpeedSummary(dir)
		return err
	})
	writeFile(t, filepath.Join(dir, "steps.json"), `{"cpu": "a CPU", "threads": 2, "peer_version": "Peer 1", "results": [
		{"case": "a", "images_per_s": 9, "peer": {"ratio": 2.5, "ratio_bf16": 1.25}}, {"case": "alone", "images_per_s": 5},
		{"case": "b", "images_per_s": 9, "peer": {"ratio": 1.5}}]}`)
	writeFile(t, filepath.Join(dir, "jobs.json"), `{"jobs": [{"job": "x", "unit": "s", "ours": [1], "peer": [3]},
		{"job": "y", "unit": "words/s", "ours": [1], "peer": [2]}, {"job": "z", "unit": "MB", "ours": [1], "peer": [4]}]}`)
	got, err := SpeedSummary(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| training step | 2 | 1.50–2.50 | 1.25 |\n", "| whole command | 2 | 0.50–3.00 |  |\n",
		"| 1 | 4.00 |  |\n", "a CPU, 2 threads; the peer is Peer 1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
