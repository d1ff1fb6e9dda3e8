package labs

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/data"
	"dla/internal/npz"
	"dla/internal/record"
	"dla/internal/report"
)

// TestScoresOfOthers: what --save writes is whole, and scores that --scores reads of it under another name get the
// numbers of the detector that they are of. A file that has changed is not the one of the record.
func TestScoresOfOthers(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	root, ctx := t.TempDir(), context.Background()
	cfg, opt := tinyOOD(t, root), options(t, root)
	cfg.Detectors = []string{"max-softmax", "energy"}
	dir := filepath.Join(t.TempDir(), "features")
	job := must(openOOD(ctx, cfg, opt.begun()))(t).(*oodJob)
	files := must(job.save(ctx, dir, opt))(t)
	if got := strings.Join(files, " "); got != "train.npz train.csv val.npz val.csv in.npz in.csv "+
		"out-fake.npz out-fake.csv scores.npz" {
		t.Errorf("files %s", got)
	}
	in := must(npz.ReadFile(filepath.Join(dir, "in.npz"), 1<<20))(t)
	for i, want := range []struct {
		name  string
		shape []int
	}{{"features", []int{120, 16}}, {"logits", []int{120, 10}}, {"labels", []int{120}}, {"index", []int{120}}} {
		if in[i].Name != want.name || !slices.Equal(in[i].Shape, want.shape) {
			t.Errorf("in.npz has %s %v, want %v", in[i].Name, in[i].Shape, want)
		}
	}
	set := job.parts.in
	if labels, index := in[2].Data.([]int32), in[3].Data.([]int32); !slices.Equal(index, set.Index) ||
		labels[7] != set.Set.Labels[index[7]] {
		t.Errorf("labels %v at %v", labels, index)
	}

	scores := must(npz.ReadFile(filepath.Join(dir, scoresName), 1<<20))(t)
	for i := range scores {
		scores[i].Name = "my " + scores[i].Name
	}
	cfg.Scores = filepath.Join(t.TempDir(), "mine.npz")
	if err := writeNPZ(cfg.Scores, scores); err != nil {
		t.Fatal(err)
	}
	a := must(evaluateOOD(ctx, t, cfg, opt))(t)
	of := func(name string) record.OODScore {
		i := slices.IndexFunc(a.Result.Scores, func(x record.OODScore) bool { return x.Detector == name })
		if i < 0 {
			t.Fatalf("no detector %s: %+v", name, a.Result.Detectors)
		}
		return a.Result.Scores[i]
	}
	for _, name := range []string{"max-softmax", "energy"} {
		mine, ours := of("my "+name), of(name)
		mine.Detector = ours.Detector
		if mine != ours {
			t.Errorf("%s: %+v, want %+v", name, mine, ours)
		}
	}
	table := must(report.OODTable(a.Record, "fake"))(t).Page()
	if !strings.Contains(table, "| my energy |") || !strings.Contains(table, "| scores of mine.npz |") {
		t.Errorf("the table has not the scores:\n%s", table)
	}
	if figures := must(report.OODFigures(a.Record, t.TempDir()))(t); len(figures) == 0 {
		t.Error("nothing is drawn")
	}

	if again := must(evaluateOOD(ctx, t, cfg, opt))(t); !again.Reused || again.Record.ID != a.Record.ID {
		t.Error("with the same scores the run is not reused")
	}
	scores[0].Data.([]float64)[0]++
	if err := writeNPZ(cfg.Scores, scores); err != nil {
		t.Fatal(err)
	}
	if again := must(evaluateOOD(ctx, t, cfg, opt))(t); again.Reused {
		t.Error("with other scores the run is reused")
	}
	cfg.ScoresSHA256 = strings.Repeat("0", 64)
	if _, err := evaluateOOD(ctx, t, cfg, opt); err == nil || !strings.Contains(err.Error(), "(scores_sha256)") {
		t.Errorf("scores that have changed: %v", err)
	}
}

// givenSets are three images in distribution and two outliers.
func givenSets() *oodData {
	p := &oodData{in: images{OODSet: record.OODSet{N: 3}}}
	p.out = []images{{OODSet: record.OODSet{Name: "a", N: 2}, Subset: data.Subset{}}}
	return p
}

// TestReadScoresRefuses what is not the scores of the images; the error names the file and where to get an example.
func TestReadScoresRefuses(t *testing.T) {
	in := npz.Array{Name: "x/in", Shape: []int{3}, Data: []float32{1, 2, 3}}
	out := npz.Array{Name: "x/out-a", Shape: []int{2}, Data: []int64{4, 5}}
	write := func(arrays ...npz.Array) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "s.npz")
		if err := writeNPZ(path, arrays); err != nil {
			t.Fatal(err)
		}
		return path
	}
	all, sha, err := readScores(write(in, out), "", givenSets())
	if err != nil || len(all) != 1 || all[0].Name != "x" || !slices.Equal(all[0].out[0], []float64{4, 5}) ||
		len(sha) != 64 {
		t.Errorf("%+v, %v", all, err)
	}
	named := func(a npz.Array, name string) npz.Array { a.Name = name; return a }
	for want, arrays := range map[string][]npz.Array{
		"it has no x/out-a":                            {in},
		"it has no x/in":                               {out},
		"it has 0 detectors":                           nil,
		`"x/out-b" is no score of these sets`:          {in, named(out, "x/out-b")},
		`"in" is no score`:                             {named(in, "in")},
		`the name "energy", which is that of one here`: {named(in, "energy/in")},
		`"../x/in" is no score`:                        {named(in, "../x/in")},
		"x/in has the shape [2]":                       {named(out, "x/in")},
		"x/in has the shape [3 1]":                     {{Name: "x/in", Shape: []int{3, 1}, Data: []float32{1, 2, 3}}},
		"score 1 of x/in is NaN":                       {{Name: "x/in", Shape: []int{3}, Data: []float64{0, math.NaN(), 0}}},
		`the name "x|y"`:                               {named(in, "x|y/in")},
	} {
		path := write(arrays...)
		_, _, err := readScores(path, "", givenSets())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) ||
			!strings.Contains(err.Error(), "--save FOLDER") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "s.npz")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readScores(path, "", givenSets()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no archive: %v", err)
	}
}

// FuzzScores: whatever a file holds, it is the scores of the images or an error.
func FuzzScores(f *testing.F) {
	var b bytes.Buffer
	if err := npz.Write(&b, []npz.Array{{Name: "x/in", Shape: []int{3}, Data: []float32{1, 2, 3}},
		{Name: "x/out-a", Shape: []int{2}, Data: []float64{1, 2}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "s.npz")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		all, _, err := readScores(path, "", givenSets())
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		for _, g := range all {
			if len(g.in) != 3 || len(g.out) != 1 || len(g.out[0]) != 2 {
				t.Errorf("%+v", g)
			}
		}
	})
}
