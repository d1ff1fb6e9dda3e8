package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dla/internal/run"
)

// TestSelectRuns: runs are named by ids, patterns and folders; each is taken once.
func TestSelectRuns(t *testing.T) {
	top := t.TempDir()
	record := func(dir string, seed uint64) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		yaml := fmt.Appendf(nil, "seed: %d\n", seed)
		if err := run.WriteFolder(dir, run.Spec{Experiment: "lab1/resnet", Variant: "v", Seed: seed, Config: yaml},
			map[string]any{}); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(top, "a")
	record(filepath.Join(root, "one"), 1)
	record(filepath.Join(root, "two"), 2)
	record(filepath.Join(root, reproducedName, "again"), 1)
	record(filepath.Join(top, "b", "deep", "three"), 3)
	record(filepath.Join(top, "b", "deep", "four"), 3)
	broken := filepath.Join(root, "broken")
	if err := os.MkdirAll(broken, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "env.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run.Annotate(root, "two", func(a *run.Annotation) { a.Tags = []string{"x"} }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, tags []string
		want, left string
		err        string
	}{
		{nil, nil, "one two", "broken is broken", ""},
		{nil, []string{"x"}, "two", "broken", ""},
		{nil, []string{"x", "y"}, "", "", "has the tag x and y"},
		{[]string{"on", "one", filepath.Join(root, "one"), "o*", root}, nil, "one two", "broken", ""},
		{[]string{top}, nil, "one two four three", "broken", ""},
		{[]string{filepath.Join(root, reproducedName)}, nil, "again", "", ""},
		{[]string{"broken"}, nil, "", "", "put back a good copy"},
		{[]string{broken}, nil, "", "", "put back a good copy"},
		{[]string{"z*"}, nil, "", "", "matches"},
		{[]string{"["}, nil, "", "", "syntax error"},
		{[]string{"three"}, nil, "", "", "there is no run"},
		{[]string{t.TempDir()}, nil, "", "", "there are no runs in"},
	} {
		recs, left, err := selectRuns(root, c.args, c.tags)
		var ids []string
		for _, r := range recs {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); got != c.want || (err == nil) != (c.err == "") ||
			err != nil && !strings.Contains(err.Error(), c.err) || !strings.Contains(strings.Join(left, "\n"), c.left) {
			t.Errorf("%v %v: %q, left out %q, error %v", c.args, c.tags, got, left, err)
		}
	}

	// Of runs with the same settings and data the last finished one is kept.
	recs, _, err := selectRuns(root, []string{top}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	kept, left := onlyOnce(recs)
	for _, r := range kept {
		ids = append(ids, r.ID)
	}
	if want := []string{"one", "two", "three"}; !reflect.DeepEqual(ids, want) || len(left) != 1 {
		t.Errorf("%v, want %v; left out %v", ids, want, left)
	}
}
