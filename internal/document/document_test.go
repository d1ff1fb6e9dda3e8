package document

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dla/internal/config"
	"dla/internal/run"
)

// hostile is text that acts where it is not escaped.
const hostile = `<script>alert(1)</script><img src=x onerror=alert(1)>"'` + "`[x](javascript:alert(1)) & \x1b[31m"

// runOf writes a record of a finished run into root, as from another machine, and reads it.
func runOf(t *testing.T, root, id, name string, seed uint64, accuracy float64) run.Record {
	t.Helper()
	cfg := config.DefaultResnet()
	cfg.Seed = seed
	yaml, err := config.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, id)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	variant := strings.NewReplacer("/", "", "\x1b", "").Replace(name)
	spec := run.Spec{Experiment: "lab1/resnet", Variant: variant, Seed: seed, Config: yaml,
		Label: &run.Label{Network: name},
		Env: run.Env{Version: name, Revision: "0123456789abcdef", GoVersion: "go", OS: "linux", Arch: "amd64", CPU: name,
			Threads: 2, Kernel: "avx2", Started: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC),
			Data:    run.DataInfo{Name: "mnist", Source: name, Fingerprint: "f"},
			Command: []string{"/usr/bin/dla", "lab1", "resnet", name}}}
	result := map[string]any{"test": map[string]any{"n": 100, "accuracy": accuracy},
		"val":      map[string]any{"accuracy": 0.5},
		"last_val": map[string]any{"accuracy": 0.5}, "params": 1000, "macs": 2000000, "wall_seconds": 10.0,
		"checks": []map[string]any{{"name": name, "found": name, "passed": seed == 0}}}
	if err := run.WriteFolder(dir, spec, result); err != nil {
		t.Fatal(err)
	}
	lines := ""
	for e := range 3 {
		b, err := json.Marshal(run.Epoch{Epoch: e + 1, Train: run.Measure{Loss: 1, Accuracy: 0.5},
			Val: run.Measure{Loss: 1, Accuracy: 0.5}})
		if err != nil {
			t.Fatal(err)
		}
		lines += string(b) + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := run.Find(root, id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// content is what a report of hostile records is made from.
func content(t *testing.T, root string) Content {
	t.Helper()
	var c Content
	for seed := range uint64(2) {
		r := runOf(t, root, fmt.Sprintf("a-%d", seed), hostile, seed, 0.9+float64(seed)/100)
		r.Annotation = run.Annotation{Note: hostile + strings.Repeat("x", 1<<14)}
		c.Runs = append(c.Runs, r)
	}
	stopped := runOf(t, root, "b", hostile, 2, 0.5)
	stopped.Status, stopped.Result = run.StatusInterrupted, nil
	stopped.Detail = hostile
	c.Runs = append(c.Runs, stopped)
	c.Missing = []Missing{{hostile, 7, "not begun", hostile}}
	c.Unknown = []Unknown{{hostile, hostile}}
	c.Again = "dla report"
	return c
}

// tags are the elements of a page.
var tags = regexp.MustCompile(`<([a-zA-Z!][a-zA-Z0-9]*)([^>]*)>`)

// TestHTML: whatever is in records is text: the page has no element but ours, and no script.
func TestHTML(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.html")
	c := content(t, t.TempDir())
	files, err := Write(path, c)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, error %v", files, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	ours := strings.Fields(`!doctype html head meta title style body header h1 p nav ul li a main section h2 dl dt dd pre
		code div table caption thead tbody tr th td b figure svg g path text details summary footer`)
	for _, m := range tags.FindAllStringSubmatch(page, -1) {
		if !slices.Contains(ours, m[1]) || regexp.MustCompile(`\son[a-z]+\s*=`).MatchString(m[2]) {
			t.Errorf("element %.100q", m[0])
		}
	}
	for _, want := range []string{`default-src 'none'`, "&lt;script&gt;", "dla runs resume b", "not begun",
		"1 self-check that did not fail", "2 self-checks: 1 hold, 0 do not apply, 1 fail.", "<td>FAILS</td>",
		">Validation accuracy<", "git checkout 0123456789ab", "dla runs reproduce a-0 --out"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if strings.Contains(page, "\x1b") || len(page) > 400_000 {
		t.Errorf("%d bytes, control characters: %v", len(page), strings.Contains(page, "\x1b"))
	}
	again := filepath.Join(t.TempDir(), "again.htm")
	if _, err := Write(again, c); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(again); err != nil || string(b) != page {
		t.Errorf("equal records give another page: %v", err)
	}
}

// TestMarkdown: names are text, figures lie in a folder named after the file, and what else is there stays.
func TestMarkdown(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "my report.md")
	c := content(t, t.TempDir())
	files, err := Write(path, c)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, error %v", files, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	code := false
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		acts := regexp.MustCompile(`\\.`).ReplaceAllString(line, "") // without what is escaped
		if !code && (strings.ContainsAny(acts, "`\x1b") && !strings.HasPrefix(line, "```") ||
			strings.Contains(acts, "<img") ||
			strings.Contains(acts, "](java")) {
			t.Errorf("%.200q", line)
		}
	}
	if !strings.Contains(string(b), "![Training loss](<my report_files/loss.svg>)") {
		t.Error("no figure in the report")
	}
	if _, err := os.Stat(filepath.Join(dir, "my report_files", "loss.svg")); err != nil {
		t.Error(err)
	}
	if _, err := Write(path, c); err != nil { // again
		t.Error(err)
	}
	mine := filepath.Join(dir, "my report_files", "mine.txt")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(path, c); err == nil || !strings.Contains(err.Error(), "mine.txt") {
		t.Errorf("a folder with other files: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(b) {
		t.Error("the report was changed")
	}
}

// TestNames: the extension is the format.
func TestNames(t *testing.T) {
	for _, name := range []string{"report", "report.pdf", ".html.txt"} {
		if _, err := Write(name, Content{}); err == nil || !strings.Contains(err.Error(), ".html or .md") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCheckSVG: a drawing with anything that acts or leads elsewhere is refused.
func TestCheckSVG(t *testing.T) {
	const good = `<?xml version="1.0"?><svg width="1pt" height="1pt" viewBox="0 0 1 1"><text x="1" style="fill:#222222">&lt;a&gt;</text></svg>`
	if err := checkSVG([]byte(good)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"<svg><script>alert(1)</script></svg>", `<svg onload="alert(1)"></svg>`, `<svg><image href="https://x"></image></svg>`,
		`<svg><a href="x"></a></svg>`, `<svg><path style="fill:URL(#a)"></path></svg>`, "<svg><!-- --></svg>", "<svg><text>",
		`<svg><image href="data:image/svg+xml;base64,"></image></svg>`, "<svg><style></style></svg>",
	} {
		if err := checkSVG([]byte(bad)); err == nil {
			t.Errorf("%s passed", bad)
		}
	}
}
