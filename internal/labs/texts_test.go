package labs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/record"
	"dla/internal/report"
	"dla/internal/run"
)

// threeMoods writes texts of three classes, which the words that tinyEncoder knows tell apart, and returns their file.
func threeMoods(t *testing.T) string {
	t.Helper()
	words := map[string][]string{"bad": {"dull", "awful", "bland"}, "good": {"bright", "moving", "clever"},
		"odd": {"and", "music", "hero"}}
	var b strings.Builder
	b.WriteString("mood,id,Review text\n")
	for i := range 60 {
		for _, mood := range []string{"odd", "good", "bad"} {
			w := words[mood]
			fmt.Fprintf(&b, "%s,%d,\"the %s is %s, %s .\"\n", mood, i, []string{"plot", "cast", "story", "camera"}[i%4], w[i%3],
				w[(i+i/3)%3])
		}
	}
	path := filepath.Join(t.TempDir(), "moods.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestThreeClasses: a file of texts of three classes trains heads and adapters of three classes, whose names go into
// the record, the adapter and the merged model; asked for again by another path it is the same run.
func TestThreeClasses(t *testing.T) {
	cacheIn(t, t.TempDir())
	root, encoder, file := t.TempDir(), tinyEncoder(t, 1), threeMoods(t)
	moods := []string{"bad", "good", "odd"}
	opt := options(t, root)
	set := config.SentenceData{Name: file, Text: "Review text", Label: "mood", Val: 30, Test: 0.2}

	head := tinyBaseline(encoder)
	head.Data = set
	r := baselineStudy(t, opt, head)[0].Result.(*record.Classifier)
	if r.Test.N != 36 || r.Test.Accuracy < 0.8 || r.Params != 32*16+16+16*3+3 {
		t.Errorf("%+v", r)
	}

	cfg := config.DefaultFinetune(config.MethodLoRA)
	cfg.Data, cfg.Encoder.From, cfg.Train.LR, cfg.Train.Epochs = set, encoder, 0.02, 6
	study := func() Outcome {
		t.Helper()
		all, err := Study(context.Background(), []Task{{Settings: cfg}}, opt, func(int, Outcome) {})
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	out := study()
	r = out.Result.(*record.Classifier)
	if !slices.Equal(r.Finetuned.Labels, moods) || r.Test.Accuracy < 0.8 || record.Failed(r.SelfChecks()) != nil {
		t.Errorf("%+v, %+v", r, r.Finetuned)
	}
	by := r.ByClass
	if by == nil || len(by.Classes) != 3 || by.Classes[1].Name != "good" || by.Classes[1].N != 12 ||
		by.Macro.Recall < 0.8 ||
		!slices.ContainsFunc(out.Figures, func(f string) bool { return filepath.Base(f) == "confusion.png" }) {
		t.Errorf("%+v, figures %v", by, out.Figures)
	}
	merged := filepath.Join(t.TempDir(), "merged")
	if err := Merge(root, out.ID, merged); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{out.ID, filepath.Join(out.Dir, AdapterDir), merged} {
		s := must(FindSentiment(root, from))(t)
		p := must(s.Predict(context.Background(), []string{"the plot is dull, awful .", "the cast is clever, bright .",
			"the story is music, hero ."}))(t)
		for i, want := range moods {
			if got := p.All[i].Label; got == nil || *got != want || !slices.Equal(s.Labels, moods) {
				t.Errorf("%s: %q is %v, want %s", from, p.All[i].Text, *got, want)
			}
		}
	}

	t.Chdir(filepath.Dir(file))
	cfg.Data.Name = filepath.Base(file)
	if again := study(); !again.Reused || again.ID != out.ID {
		t.Errorf("the same run again is %+v", again)
	}
	plan := must(PlanAll([]Task{{Settings: cfg}, {Settings: head}}, opt))(t)
	if !strings.Contains(plan[0].Cost.Line(), fmt.Sprint(r.Params)) {
		t.Errorf("%s, want %d parameters", plan[0].Cost.Line(), r.Params)
	}
	rec := must(run.Find(root, out.ID))(t)
	if back := must(settingsOf[config.Finetune](rec))(t); back.Data.Name != file || rec.Env.Data.Name != "moods.csv" ||
		rec.Env.Data.Source != file {
		t.Errorf("%+v of %+v", back.Data, rec.Env.Data)
	}
	cfg.Data = config.SentenceData{Name: "rotten_tomatoes", Label: "mood"}
	if _, err := Study(context.Background(), []Task{{Settings: cfg}}, opt, nil); err == nil ||
		!strings.Contains(err.Error(), "data.label") {
		t.Errorf("a column of a set of the catalogue: error %v", err)
	}
}

// TestManyClasses: more classes than a byte holds are trained, recorded and compared.
func TestManyClasses(t *testing.T) {
	cacheIn(t, t.TempDir())
	root := t.TempDir()
	var b strings.Builder
	for i := range 650 {
		fmt.Fprintf(&b, "the plot is dull %s,%d\n", strings.Repeat("and ", i%9), i%130)
	}
	path := filepath.Join(t.TempDir(), "many.csv")
	if err := os.WriteFile(path, []byte("text,label\n"+b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := tinyBaseline(tinyEncoder(t, 1))
	cfg.Data = config.SentenceData{Name: path, Test: 130, Val: 130}
	cfg.Train.Epochs = 1
	opt := options(t, root)
	out := baselineStudy(t, opt, cfg, seeded(cfg, 1))
	r := out[0].Result.(*record.Classifier)
	if r.Test.N != 130 || r.Predictions.File != record.WidePredictions || len(r.ByClass.Classes) != 130 ||
		r.ByClass.Classes[129].Name != "129" {
		t.Errorf("%+v, %+v", r, r.ByClass)
	}
	recs := []run.Record{must(run.Find(root, out[0].ID))(t), must(run.Find(root, out[1].ID))(t)}
	if c := must(report.Confusion(recs[0]))(t); c == nil || len(c.Counts) != 130 {
		t.Errorf("%v", c)
	}
}
