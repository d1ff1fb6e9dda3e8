package run

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestCommand: what is to be typed is what a shell makes these arguments of.
func TestCommand(t *testing.T) {
	for _, c := range []struct {
		root string
		args []string
		want string
	}{
		{DefaultRoot, []string{"runs", "show", "a-b"}, "dla runs show a-b"},
		{"./runs/", []string{"runs", "show", "a-b"}, "dla runs show a-b"},
		{"", []string{"models", "export", "RUN_ID", "my nets"}, "dla models export RUN_ID 'my nets'"},
		{"my runs", []string{"runs", "ls"}, "dla runs ls --out 'my runs'"},
		{"/data/runs", []string{"lab3", "predict", "x", "it's"}, `dla lab3 predict x 'it'\''s' --out /data/runs`},
	} {
		if got := Command(c.root, c.args...); got != c.want && runtime.GOOS != "windows" {
			t.Errorf("%q, %q: %s, want %s", c.root, c.args, got, c.want)
		}
	}
	if got := (Record{Summary: Summary{ID: "a"}, Dir: filepath.Join("other",
		"a")}).Command("rm"); got != "dla runs rm a --out other" {
		t.Error(got)
	}
}

func TestQuote(t *testing.T) {
	for arg, want := range map[string][2]string{
		"": {"''", `""`}, "a b": {"'a b'", `"a b"`}, "$HOME": {"'$HOME'", `"$HOME"`}, "~": {"'~'", `"~"`}, "a=b": {"a=b",
			"a=b"},
		`say "hi"`: {`'say "hi"'`, `"say \"hi\""`}, `C:\my runs`: {`'C:\my runs'`, `"C:\my runs"`}, `C:\runs`: {`'C:\runs'`,
			`C:\runs`},
		`my runs\`: {`'my runs\'`, `"my runs\\"`}, "naïve": {"naïve", "naïve"}, "a;rm": {"'a;rm'",
			`"a;rm"`}, "it's": {`'it'\''s'`, `"it's"`}, "[1,2]": {"'[1,2]'", `"[1,2]"`}, "a#b": {"'a#b'", `"a#b"`},
		"a\x1b[2J": {`$'a\033[2J'`, "\"a\x1b[2J\""}, "it's \xff\\": {`$'it\'s \377\\'`, "\"it's \xff\\\\\""},
	} {
		for i, windows := range []bool{false, true} {
			if got := quoted(arg, windows); got != want[i] {
				t.Errorf("%q, Windows %t: %s, want %s", arg, windows, got, want[i])
			}
		}
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh to ask")
	}
	args := []string{"", "a b", "it's", `"`, "$(date)", "*", "a\nb", `back\slash`, "#", "!x", "~/x", "naïve", "[1]",
		"a|b&c"}
	out, err := exec.CommandContext(t.Context(), sh, "-c", "printf '%s\\0' "+Quote(args...)).Output()
	if err != nil || string(out) != strings.Join(args, "\x00")+"\x00" {
		t.Errorf("a shell reads %q, %v", out, err)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash to ask")
	}
	args = append(args, "a\x1b[2Jb", "\xff1", "\u009b2J", "it's \\ \r7", "\x7f")
	out, err = exec.CommandContext(t.Context(), bash, "-c", "printf '%s\\0' "+Quote(args...)).Output()
	if err != nil || string(out) != strings.Join(args, "\x00")+"\x00" {
		t.Errorf("bash reads %q, %v", out, err)
	}
}
