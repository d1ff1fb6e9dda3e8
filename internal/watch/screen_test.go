package watch

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"dla/internal/run"
)

var regenerate = flag.Bool("regenerate", false, "write the golden screens anew; look at them")

// training returns a run with n of 10 epochs.
func training(id string, status run.Status, n int) Run {
	r := Run{Planned: 10, Left: -1}
	r.ID, r.Status, r.Dir = id, status, filepath.Join("runs", id)
	for e := 1; e <= n; e++ {
		x := float64(e)
		r.Metrics = append(r.Metrics, run.Epoch{Epoch: e, LR: 0.1 / x,
			Train: run.Measure{Loss: 2 / (x * x), Accuracy: 1 - 0.5/x}, Val: run.Measure{Loss: 2.2 / x, Accuracy: 0.95 - 0.5/x}})
	}
	return r
}

// several returns runs in every state.
func several() []Run {
	live := training("20261130-063609-mlp-d2-res-s0", run.StatusRunning, 7)
	live.Left = 95 * time.Second
	done := training("20261130-063608-mlp-d2-plain-s0", run.StatusFinished, 10)
	accuracy := 0.9734
	done.TestAccuracy = &accuracy
	failed := training("20261130-063607-mlp-d1-res-s1", run.StatusFailed, 3)
	failed.Detail = "training diverged: the loss is not finite at epoch 4, step 1 (lr 0.1)"
	none := training("20261130-063606-fgsm-resnet20-s0", run.StatusRunning, 0)
	none.Planned = 0
	unvalidated := training("20261130-063605-mlp-d1-plain-s0", run.StatusInterrupted, 5)
	for i := range unvalidated.Metrics {
		unvalidated.Metrics[i].Val = run.Unmeasured()
	}
	broken := Run{Left: -1}
	broken.ID, broken.Status, broken.Detail = "20261130-063604-x", run.StatusBroken, "env.json: unexpected end of JSON input"
	return []Run{live, done, failed, none, unvalidated, broken}
}

// screen returns a screen of w x h with all, after keys.
func screen(w, h int, all []Run, keys ...string) *Screen {
	s := NewScreen(Of(), "runs", func(s string) string { return s })
	s.Update(tea.WindowSizeMsg{Width: w, Height: h})
	s.Update(reading{all: all})
	for _, k := range keys {
		s.Update(press(k))
	}
	return s
}

func press(key string) tea.KeyPressMsg {
	codes := map[string]rune{"down": tea.KeyDown, "up": tea.KeyUp, "tab": tea.KeyTab, "space": tea.KeySpace,
		"end":  tea.KeyEnd,
		"home": tea.KeyHome, "pgdown": tea.KeyPgDown, "left": tea.KeyLeft, "esc": tea.KeyEscape}
	if c, ok := codes[key]; ok {
		return tea.KeyPressMsg{Code: c}
	}
	if key == "ctrl+c" {
		return tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
	}
	return tea.KeyPressMsg{Code: rune(key[0]), Text: key}
}

// TestScreens compares screens with golden ones, without their colours. `go test ./internal/watch -regenerate` writes
// them anew.
func TestScreens(t *testing.T) {
	many := []Run{}
	for i := range 40 {
		many = append(many, training(fmt.Sprintf("20261130-0700%02d-mlp-d5-res-s%d", 40-i, 40-i), run.StatusFinished, 10))
	}
	constant := training("a", run.StatusRunning, 3)
	for i := range constant.Metrics {
		constant.Metrics[i].Train.Loss = 0
	}
	for name, s := range map[string]*Screen{
		"first":        screen(100, 30, several()),
		"narrow":       screen(40, 16, several()),
		"failed":       screen(100, 24, several(), "down", "down"),
		"log":          screen(80, 24, several(), "l"),
		"accuracy":     screen(100, 30, several(), "space", "down", "space", "tab", "tab", "tab"),
		"none":         screen(80, 20, several(), "down", "down", "down"),
		"unvalidated":  screen(80, 24, several(), "end", "up", "tab"),
		"help":         screen(80, 14, several(), "?"),
		"scrolled":     screen(80, 20, many, "pgdown", "pgdown", "pgdown"),
		"empty":        screen(60, 8, nil),
		"tiny":         screen(20, 4, several()),
		"constant":     screen(80, 20, []Run{constant}),
		"constant log": screen(80, 20, []Run{constant}, "l"),
	} {
		lines := s.lines()
		if len(lines) > s.h {
			t.Errorf("%s: %d lines on a screen of %d", name, len(lines), s.h)
		}
		var b strings.Builder
		for _, l := range lines {
			if w := ansi.StringWidth(l); w > s.w {
				t.Errorf("%s: %d columns on a screen of %d: %q", name, w, s.w, l)
			}
			b.WriteString(strings.TrimRight(ansi.Strip(l), " ") + "\n")
		}
		path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".txt")
		if *regenerate {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, b.String(), want)
		}
	}
}

// TestEverySize: no size of the terminal makes the screen larger than it, or fail.
func TestEverySize(t *testing.T) {
	for _, w := range []int{0, 1, 5, 13, 24, 40, 59} {
		for h := range 20 {
			for _, keys := range [][]string{nil, {"?"}, {"end"}} {
				s := screen(w, h, several(), keys...)
				lines := s.lines()
				if len(lines) > max(h, 1) {
					t.Fatalf("%d x %d: %d lines", w, h, len(lines))
				}
				for _, l := range lines {
					if ansi.StringWidth(l) > w {
						t.Fatalf("%d x %d: %q", w, h, l)
					}
				}
			}
		}
	}
}

// TestKeys: what a key does, and that a new reading does not move the choice.
func TestKeys(t *testing.T) {
	all := several()
	s := screen(100, 30, all, "down")
	if s.at != all[1].ID {
		t.Fatalf("chosen: %q", s.at)
	}
	newer := append([]Run{training("20261130-064000-new-s0", run.StatusRunning, 0)}, all...)
	if _, cmd := s.Update(reading{all: newer}); cmd == nil {
		t.Error("no further reading follows")
	}
	if s.at != all[1].ID || s.index() != 2 {
		t.Errorf("after a reading: %q, row %d", s.at, s.index())
	}
	s.Update(reading{err: errors.New("permission denied")})
	if text := strings.Join(s.lines(), "\n"); !strings.Contains(text, "permission denied") ||
		!strings.Contains(text, all[1].ID) {
		t.Errorf("after an error:\n%s", text)
	}
	for _, key := range []string{"q", "esc", "ctrl+c"} {
		_, cmd := s.Update(press(key))
		if cmd == nil {
			t.Fatalf("%s does nothing", key)
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("%s: %T", key, cmd())
		}
	}
	s = screen(100, 30, all, "end", "up", "tab") // without validation
	if metrics[s.metric].name != "acc" {
		t.Errorf("the metric after loss is %s", metrics[s.metric].name)
	}
	if s.Update(press("left")); metrics[s.metric].name != "loss" {
		t.Errorf("the one before is %s", metrics[s.metric].name)
	}
	if v := s.View(); !v.AltScreen || v.WindowTitle != "dla: 2 running, 6 in all" {
		t.Errorf("%+v", v)
	}
}

// TestChart: what is not a number, and one value alone.
func TestChart(t *testing.T) {
	nan := math.NaN()
	for name, values := range map[string][]float64{"nothing": nil, "no number": {nan, nan},
		"infinite": {math.Inf(1), 1, 2},
		"one":      {3}, "gap": {1, nan, 3}, "tiny": {1e-300, 1e-310}, "huge": {1e300, -1e300}} {
		for _, log := range []bool{false, true} {
			lines := chart([]curve{{values: values}}, metrics[0], log, 40, 8)
			if len(lines) != 8 {
				t.Errorf("%s: %d lines", name, len(lines))
			}
			for _, l := range lines {
				if ansi.StringWidth(l) > 40 || strings.Contains(l, "NaN") {
					t.Errorf("%s: %q", name, l)
				}
			}
		}
	}
	c := newCanvas(2, 1)
	c.line(0, 0, 3, 3, 0)
	if got := ansi.Strip(c.row(0)); got != "⠑⢄" {
		t.Errorf("a diagonal is %q", got)
	}
}
