package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShown: what a terminal acts on is shown, however the writes cut it, and all other text is as it was.
func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"plain\tText\n  MiniLM – ±2 %, 日本 🙂\n": "plain\tText\n  MiniLM – ±2 %, 日本 🙂\n",
		"a\x1b[2Jb\x1b]0;title\x07":            `a\u001b[2Jb\u001b]0;title\u0007`,
		"a\rb\bc\x00d\x7f":                     `a\u000db\u0008c\u0000d\u007f`,
		"\u009b31m, \u0085":                    `\u009b31m, \u0085`,
		"\x9b31m \xff \xe2\x28":                `\x9b31m \xff \xe2(`,
		"a\u202eb\u2066c\u200f\u2028שלום":      `a\u202eb\u2066c\u200f\u2028שלום`,
		"cut \xf0\x9f\x99":                     `cut \xf0\x9f\x99`,
		"\xe2\x82a":                            `\xe2\x82a`,
	} {
		for _, size := range []int{1, 2, 3, len(text)} {
			var b bytes.Buffer
			s := &shown{w: &b}
			for rest := text; rest != ""; {
				part := rest[:min(size, len(rest))]
				rest = rest[len(part):]
				if n, err := io.WriteString(s, part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			if err := s.close(); err != nil || b.String() != want {
				t.Errorf("%q, %d bytes at once: %q, want %q; %v", text, size, b.String(), want, err)
			}
		}
	}
	var b bytes.Buffer // JSON stays what it says
	s := &shown{w: &b}
	if err := errors.Join(writeJSON(s, "a\x1b\u009b\x7f"), s.close()); err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back != "a\x1b\u009b\x7f" {
		t.Errorf("%s, %q, %v", b.Bytes(), back, err)
	}
}

// TestForeignControlCharacters: a record and a checkpoint of somebody else's write nothing to the terminal that it
// would act on, whichever command shows them.
func TestForeignControlCharacters(t *testing.T) {
	t.Chdir(t.TempDir())
	const bad = `\u001b]0;x\u0007`
	write := func(path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := fmt.Sprintf(`{"experiment":"lab1/%s","variant":"v","command":["dla","%s"],"cpu":"%s","data":{"name":"mnist","source":"%s"}}`, bad, bad, bad, bad)
	for _, id := range []string{"a", "b"} {
		write("runs/"+id+"/env.json", env)
		write("runs/"+id+"/status.json", `{"status":"failed","detail":"`+bad+`"}`)
		write("runs/"+id+"/config.yaml", `"a\e]0;`+id+`\a": "\e[2J`+id+`"`+"\n")
	}
	write("runs/c/env.json", `{"variant":"`+bad+`"}`)
	write("checkpoints/a\x1b[2J/config.json", `{"model_type":"`+bad+`"}`)
	write("checkpoints/a\x1b[2J/model.safetensors", "x")
	for _, args := range [][]string{{"runs", "ls"}, {"runs", "show", "a"}, {"runs", "compare", "a", "b"},
		{"runs", "show", "c"}, {"runs", "show", "\x1b[2J"}, {"plot", "a"},
		{"models", "ls"}, {"models", "show", "checkpoints/a\x1b[2J"}, {"lab1", "resnet", "--config", "\x1b[2J"}, {"lab1",
			"resnet", "--set", "train.\x1b[2J=1"}, {"\x1b[2J"},
		{"runs", "ls", "--out", "\x1b[2J"}, {"runs", "rm", "c\x1b[2J"}, {"runs", "resume", "a"}} {
		var out, errOut bytes.Buffer
		Main(args, &Streams{In: strings.NewReader(""), Out: &out, Err: &errOut})
		if all := out.String() + errOut.String(); strings.ContainsAny(all, "\x1b\x07") {
			t.Errorf("dla %q: %q", args, all)
		} else if all == "" {
			t.Errorf("dla %q says nothing", args)
		}
	}
}

// full is a device without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestOutputThatCannotBeWritten: no command says that all is well.
func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"runs", "ls"}, {"data", "ls"},
		{"models", "ls", "--json"}, {"lab1", "resnet", "--dry-run"},
		{"--help"}, {"lab4", "ood", "--help"}, {"completion", "bash"}} {
		var errOut bytes.Buffer
		code := Main(args, &Streams{In: strings.NewReader(""), Out: full{}, Err: &errOut})
		if code != exitFailure || !strings.Contains(errOut.String(), "no space left on device") {
			t.Errorf("dla %q: exit %d, %q", args, code, errOut.String())
		}
		if code := Main(args[:1], &Streams{In: strings.NewReader(""), Out: io.Discard, Err: full{}}); args[0] == "version" &&
			code != 0 {
			t.Errorf("dla %q without a place for errors: exit %d", args[:1], code)
		}
	}
}
