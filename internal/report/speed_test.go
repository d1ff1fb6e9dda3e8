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
	if table, err := jobsTable(dir); table != "" || err != nil {
		t.Errorf("without a file: %q, error %v", table, err)
	}
	write(`{"jobs": [{"job": "training", "unit": "s", "ours": [3, 1, 2], "peer": [8]}, {"job": "reading", "unit": "sentences/s", "ours": [300], "peer": [100, 200], "note": "padded"}]}`)
	want := "| job | ours | peer | ratio |\n|---|---:|---:|---:|\n| training | 2 s | 8 s | 4.00 |\n| reading (padded) | 300 sentences/s | 150 sentences/s | 2.00 |\n"
	if table, err := jobsTable(dir); table != want || err != nil {
		t.Errorf("%s, error %v", table, err)
	}
	for _, bad := range []string{"{", `{"jobs": [{"job": "x", "unit": "s", "ours": [], "peer": [1]}]}`, `{"jobs": [{"job": "x", "unit": "s", "ours": [1], "peer": [0]}]}`} {
		write(bad)
		if table, err := jobsTable(dir); err == nil || !strings.Contains(err.Error(), "jobs.json") {
			t.Errorf("%s gives %q, error %v", bad, table, err)
		}
	}
}
