package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"dla/internal/config"
)

// TestWatchForeignRuns: records of others, with texts that a terminal would act on and of any length, are shown in
// their place on the screen and nowhere else.
func TestWatchForeignRuns(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs \x1b[2J\u202e")
	write := func(path, content string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	settings := "train:\n  epochs: 3\n"
	env := fmt.Sprintf(`{"experiment":"%%s","variant":"v","config_hash":"%s"}`, config.Hash([]byte(settings)))
	for id, text := range map[string]string{"a": `\u001b]0;title\u0007\u001b[2J`, "b": `\u202egnp.exe \u2066\u2028\nline`,
		"c": strings.Repeat("long 日本 ", 100000), "d" + strings.Repeat("x", 200): `\u009b31m\u0000`} {
		write(id+"/env.json", fmt.Sprintf(env, text))
		write(id+"/config.yaml", settings)
		write(id+"/status.json", `{"status":"failed","detail":"`+text+`"}`)
		write(id+"/metrics.jsonl", `{"epoch":1,"train":{"loss":1e308},"val":{"loss":-1e308}}`+"\n")
	}
	write("e/env.json", `{"variant":"\u001b[2J"}`)
	s := watchScreen(root, nil)
	s.Update(tea.WindowSizeMsg{Width: 70, Height: 24})
	s.Update(s.Init()())
	seen := ""
	for range 5 {
		v := s.View()
		lines := strings.Split(v.Content, "\n")
		for _, l := range append(lines, v.WindowTitle) {
			if l = ansi.Strip(l); ansi.StringWidth(l) > 80 || strings.ContainsFunc(l, func(r rune) bool {
				return unicode.IsControl(r) || turns(r)
			}) {
				t.Errorf("on the screen: %.200q", l)
			}
		}
		if strings.Contains(v.Content, "\x1b]") || strings.Contains(v.Content, "\x1b[2J") || len(lines) != 24 {
			t.Errorf("%d lines: %q", len(lines), v.Content)
		}
		seen += ansi.Strip(v.Content)
		s.Update(tea.KeyPressMsg{Code: tea.KeyDown})
	}
	for _, want := range []string{`failed: \u001b]0;title\u0007`, `\u202egnp.exe`, "long 日本", "failed", "broken",
		`dla runs watch: `} {
		if !strings.Contains(seen, want) {
			t.Errorf("%q is not shown", want)
		}
	}
}
