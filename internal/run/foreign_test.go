package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"mlp-d5-res", "cnn-student-res-kd-t4-w0.9-cached", "CIFAR100 OOD", "Übung 3", ".hidden",
		strings.Repeat("a", maxName)} {
		if err := CheckName("a set", name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, "/etc", "a\x1b[2Jb", "a\nb", "a\tb", "a\x00",
		"\u009b31m", "a\u202eb", "\xff", strings.Repeat("a", maxName+1)} {
		if err := CheckName("a set", name); err == nil || !strings.HasPrefix(err.Error(), "a set is called ") ||
			strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

// TestForeignNames: a record whose names lead elsewhere is broken, whichever file says them.
func TestForeignNames(t *testing.T) {
	root := t.TempDir()
	closed(t, root, "a")
	dir := filepath.Join(root, "a")
	header := func(variant, set string) string {
		return fmt.Sprintf(`{"experiment":"lab4/ood","variant":"%s","config_hash":"%s","data":{"name":"%s"}}`, variant,
			spec().ConfigHash(), set)
	}
	for _, c := range []struct{ name, file, content string }{
		{"variant", envName, header("../../out", "a")},
		{"variant with an escape", envName, header(`a\u001b]0;x\u0007`, "a")},
		{"data set", envName, header("v", "../cifar10")},
		{"set of detectors", resultName, `{"sets":[{"name":"fake"},{"name":"../../out"}]}`},
		{"set of an adversarial fine-tuning", resultName, `{"robust":{"sets":[{"name":"/tmp/x"}]}}`},
	} {
		put(t, filepath.Join(dir, envName), header("v", ""))
		put(t, filepath.Join(dir, statusName), `{"status":"finished"}`)
		put(t, filepath.Join(dir, resultName), "{}")
		if rec, err := Find(root, "a"); err != nil || rec.Status != StatusFinished {
			t.Fatalf("before: %s %s, %v", rec.Status, rec.Detail, err)
		}
		put(t, filepath.Join(dir, c.file), c.content)
		rec, err := Examine(root, "a")
		if err != nil || rec.Status != StatusBroken {
			t.Errorf("%s: %s, %v; want %s", c.name, rec.Status, err, StatusBroken)
		}
		for _, want := range []string{c.file, "want a name of at most"} {
			if !strings.Contains(rec.Detail, want) {
				t.Errorf("%s: %q, want it to say %q", c.name, rec.Detail, want)
			}
		}
		if strings.ContainsRune(rec.Detail, 0x1b) {
			t.Errorf("%s: %q has an escape character", c.name, rec.Detail)
		}
		if _, err := ReadFolder(dir); err == nil || !strings.Contains(err.Error(), "want a name of at most") {
			t.Errorf("%s as a folder: error %v", c.name, err)
		}
	}
}

// TestResumeStaysInside: a run that has a link among its files is not gone on with, and what the link leads to stays.
func TestResumeStaysInside(t *testing.T) {
	for _, name := range []string{metricsName, logName, lockName, statusName, manifestName, checkpointsName, figuresName,
		filepath.Join(checkpointsName, ".x.tmp-1"), filepath.Join(figuresName, "loss.png")} {
		root, outside := t.TempDir(), t.TempDir()
		closed(t, root, "a")
		at := filepath.Join(root, "a", name)
		precious := filepath.Join(outside, ".precious.tmp-1")
		put(t, precious, "kept")
		target := precious
		if filepath.Dir(at) == filepath.Join(root, "a") && filepath.Ext(name) == "" && name != lockName {
			target = outside
		}
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, at); err != nil {
			t.Skipf("this system makes no links: %v", err)
		}
		_, err := Resume(root, "a", spec().Env, false)
		oneLine(t, err, "run a", at+" is a link")
		if b, err := os.ReadFile(precious); err != nil || string(b) != "kept" {
			t.Errorf("%s: what it leads to holds %q, %v", name, b, err)
		}
		if list, err := os.ReadDir(outside); err != nil || len(list) != 1 {
			t.Errorf("%s: there are %v, %v", name, list, err)
		}
	}
}
