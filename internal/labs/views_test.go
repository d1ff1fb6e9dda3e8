package labs

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/metrics"
	"dla/internal/record"
	"dla/internal/run"
)

// TestViews: test-time augmentation is recorded beside the plain figure, which stays as it is, and comes to what the
// published formula gives for images that are padded, cropped and mirrored here.
func TestViews(t *testing.T) {
	root := t.TempDir()
	cfg := tiny(false)
	plain := trained(t, root, cfg)
	if plain.Result.TestViews != nil {
		t.Errorf("views that nobody asked for: %+v", plain.Result.TestViews)
	}
	n, err := LoadRun(root, plain.ID)
	if err != nil {
		t.Fatal(err)
	}
	s, err := n.Scorer(evalBatch)
	if err != nil {
		t.Fatal(err)
	}
	test := split(set(t, cfg.Data.Name), cfg.Training()).test
	net := func(down, right int, mirror bool) []float32 {
		b := batchOf(test, down, right, mirror)
		logits := make([]float32, b.Rows*n.Images.Classes)
		if err := s.Score(logits, &b); err != nil {
			t.Fatal(err)
		}
		return logits
	}
	mean := func(a, b []float32) []float32 {
		m := make([]float32, len(a))
		for i := range a {
			m[i] = 0.5*a[i] + 0.5*b[i]
		}
		return m
	}
	inferMirror := func(down, right int) []float32 { return mean(net(down, right, false), net(down, right, true)) }
	want := map[config.Views][]float32{
		config.MirrorViews: inferMirror(0, 0),
		config.ShiftViews:  mean(inferMirror(0, 0), mean(inferMirror(1, 1), inferMirror(-1, -1))),
	}
	differ := false
	for _, views := range []config.Views{config.MirrorViews, config.ShiftViews} {
		cfg.Test.Views = views
		tr := trained(t, root, cfg)
		got := tr.Result.TestViews
		if got == nil {
			t.Fatalf("%s: not recorded", views)
		}
		expect(t, tr.Result, map[string]bool{
			"a training of its own":     tr.ID != plain.ID,
			"the same weights":          tr.Result.WeightsSHA256 == plain.Result.WeightsSHA256,
			"the same plain figure":     tr.Result.Test == plain.Result.Test,
			"the same predictions":      tr.Result.Predictions.SHA256 == plain.Result.Predictions.SHA256,
			"the views named":           got.Views == string(views),
			"all test images evaluated": got.N == len(test.Index),
		})
		correct, loss := scoredBy(want[views], labelsOf(test))
		if got.Correct != correct || math.Abs(got.Loss-loss) > 1e-5 || got.Accuracy != float64(correct)/float64(got.N) {
			t.Errorf("%s: %+v, want %d correct and a loss of %g", views, got, correct, loss)
		}
		differ = differ || got.Loss != tr.Result.Test.Loss
		rec, err := run.Find(root, tr.ID)
		if err != nil || !bytes.Contains(rec.Config, []byte("\ntest:\n  views: "+views+"\n")) {
			t.Errorf("%s: settings %s, %v", views, rec.Config, err)
		}
	}
	if !differ {
		t.Error("no view changes the loss")
	}
}

// TestViewsOfOtherTrainings: what trains image classifiers otherwise has them too.
func TestViewsOfOtherTrainings(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(t.TempDir(), "original")
	original := trained(t, root, tiny(false))
	if _, err := Export(root, original.ID, dir); err != nil {
		t.Fatal(err)
	}
	cfg := tinyRobust(original.ID)
	cfg.Test.Views = config.MirrorViews
	if res := robustRun(t, root, cfg).Result; res.TestViews == nil || res.TestViews.N != res.Test.N ||
		res.Robust.Clean.After != res.Test.Accuracy {
		t.Errorf("fine-tuned: %+v", res)
	}
	student := tinyDistillation(config.Cached)
	student.Teacher.From, student.Test.Views = "", config.ShiftViews
	opt := options(t, root).begun()
	job, err := openDistill(context.Background(), student, opt)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Do(context.Background(), job, opt)
	if err != nil {
		t.Fatal(err)
	}
	if res := o.Result.(*record.Classifier); res.TestViews == nil || res.TestViews.Views != "shift" {
		t.Errorf("distilled: %+v", res)
	}
}

// batchOf returns the images of s, shifted by pixels that are padded by reflection, then mirrored.
func batchOf(s data.Subset, down, right int, mirror bool) data.Batch {
	h, w, c := s.Set.H, s.Set.W, s.Set.C
	reflect := func(i, n int) int {
		switch {
		case i < 0:
			return -i
		case i >= n:
			return 2*n - 2 - i
		}
		return i
	}
	b := data.Batch{Rows: len(s.Index), Y: labelsOf(s)}
	for _, i := range s.Index {
		image := s.Set.Pixels[int(i)*h*w*c : int(i+1)*h*w*c]
		for y := range h {
			for x := range w {
				if mirror {
					x = w - 1 - x
				}
				at := (reflect(y-down, h)*w + reflect(x-right, w)) * c
				for _, v := range image[at : at+c] {
					b.X = append(b.X, float32(v)/255)
				}
			}
		}
	}
	return b
}

// scoredBy returns the correct predictions and the mean cross-entropy of logits.
func scoredBy(logits []float32, labels []int32) (correct int, loss float64) {
	classes := len(logits) / len(labels)
	for i, label := range labels {
		row := logits[i*classes : (i+1)*classes]
		if int32(metrics.Argmax(row)) == label {
			correct++
		}
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(float64(v - row[label]))
		}
		loss += math.Log(sum) / float64(len(labels))
	}
	return correct, loss
}
