package train_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/metrics"
	"dla/internal/train"
)

// TestEvaluateViews: the first view is evaluated as ever, and the mean is that of logits, not of probabilities.
func TestEvaluateViews(t *testing.T) {
	st, _ := student(t, networks[0], kernel.Distillation{Weight: 0, Temperature: 1}, nil)
	s := st.Scorer
	set := blobs(37, 3) // no whole number of batches
	loader := func(v data.View) *data.Loader { return data.NewViewLoader(data.All(set), 16, v) }
	shown := []data.View{{}, {Mirror: true}, {Down: 1, Right: -1}}
	weights := []float64{0.5, 0.25, 0.25}
	var views []train.View
	mean := make([]float32, set.N*classes)
	for i, v := range shown {
		views = append(views, train.View{Batches: s.Batches(loader(v)), Weight: weights[i]})
		at := 0
		if _, err := train.EvaluateEach(context.Background(), s, s.Batches(loader(v)), nil, func() {
			for _, x := range s.Logits() {
				mean[at] += float32(weights[i]) * x
				at++
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := train.EvaluateViews(context.Background(), s, views, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, predicted, err := train.Predict(context.Background(), s, s.Batches(loader(data.View{})), nil)
	if err != nil || got.First != first || !slices.Equal(got.Classes, predicted) {
		t.Errorf("the first view: %+v, %v, want %+v, %v (%v)", got.First, got.Classes, first, predicted, err)
	}
	loss := kernel.SoftmaxCrossEntropy(mean, set.Labels, set.N, classes, 0)
	correct := 0
	for i, label := range set.Labels {
		if int32(metrics.Argmax(mean[i*classes:(i+1)*classes])) == label {
			correct++
		}
	}
	if got.Mean.N != set.N || got.Mean.Correct != correct || math.Abs(got.Mean.Loss()-float64(loss)) > 1e-6 ||
		got.Mean.Loss() == first.Loss() {
		t.Errorf("the mean: %+v, want %d correct and a loss of %g", got.Mean, correct, loss)
	}
	if one, err := train.EvaluateViews(context.Background(), s, []train.View{{views[0].Batches, 1}}, nil); err != nil ||
		one.Mean.Correct != first.Correct || math.Abs(one.Mean.Loss()-first.Loss()) > 1e-6 {
		t.Errorf("a view alone: %+v, %v, want %+v", one.Mean, err, first)
	}
	views[1].Batches = s.Batches(data.NewLoader(data.All(set).First(20), 16, false, 0))
	_, err = train.EvaluateViews(context.Background(), s, views, nil)
	if err == nil || !strings.Contains(err.Error(), "view 2 has 20 samples, the first 37") {
		t.Errorf("a view of other samples: error %v", err)
	}
}
