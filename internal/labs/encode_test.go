package labs

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dla/internal/config"
	"dla/internal/model"
	"dla/internal/npz"
)

// encoded encodes sentences and reads the arrays back as a file has them.
func encoded(t *testing.T, e *TextEncoder, sentences []string, normalize bool) map[string]npz.Array {
	t.Helper()
	r := must(e.Encode(context.Background(), sentences, config.PoolMean, normalize, options(t, t.TempDir())))(t)
	var b bytes.Buffer
	if err := npz.Write(&b, r.Arrays()); err != nil {
		t.Fatal(err)
	}
	all := map[string]npz.Array{}
	for _, a := range must(npz.Read(bytes.NewReader(b.Bytes()), int64(b.Len()), 1<<20))(t) {
		all[a.Name] = a
	}
	return all
}

// TestEncodeAsTransformers: the logits of a classifier give the scores that transformers' pipeline has.
func TestEncodeAsTransformers(t *testing.T) {
	var golden struct {
		Texts    []string
		Expected map[string][]struct {
			Label string
			Score float64
		}
	}
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(classifiers, "expected.json")))(t), &golden); err != nil {
		t.Fatal(err)
	}
	for name, want := range golden.Expected {
		e := must(FindTextEncoder(t.TempDir(), filepath.Join(classifiers, name)))(t)
		if e.Classifier.Function != model.Softmax {
			continue
		}
		a := encoded(t, e, golden.Texts, false)
		logits, classes := a["logits"].Data.([]float32), len(e.Classifier.Labels)
		if !slices.Equal(a["logits"].Shape, []int{len(golden.Texts), classes}) {
			t.Fatalf("%s: shape %v", name, a["logits"].Shape)
		}
		for i, w := range want {
			row := logits[i*classes : (i+1)*classes]
			sum := 0.0
			for _, v := range row {
				sum += math.Exp(float64(v))
			}
			at := slices.Index(e.Classifier.Labels, w.Label)
			if p := math.Exp(float64(row[at])) / sum; math.Abs(p-w.Score) > 2e-6 {
				t.Errorf("%s, %q: %.7f, transformers has %.7f", name, golden.Texts[i], p, w.Score)
			}
		}
	}
}

// TestEncode: ids lie end to end, an empty sentence has a row, one that is too long is cut, and embeddings are those
// that heads are trained on, of length 1 where that is asked for.
func TestEncode(t *testing.T) {
	cacheIn(t, t.TempDir())
	dir := tinyEncoder(t, 1)
	e := must(FindTextEncoder(t.TempDir(), dir))(t)
	long := "the the the the the the the the the the the the the the the the the the the the the the the the the the"
	sentences := []string{"the plot is dull .", "", long}
	a := encoded(t, e, sentences, false)
	ids, offsets := a["ids"].Data.([]int32), a["offsets"].Data.([]int64)
	base := encoderIn(t, dir)
	for i, s := range sentences {
		if want := base.Frozen.Encode(s); !slices.Equal(ids[offsets[i]:offsets[i+1]], want) {
			t.Errorf("%q: ids %v, want %v", s, ids[offsets[i]:offsets[i+1]], want)
		}
	}
	if got := a["truncated"].Data.([]uint8); !slices.Equal(got, []uint8{0, 0, 1}) || len(offsets) != 4 ||
		int(offsets[3]) != len(ids) {
		t.Errorf("truncated %v, offsets %v of %d", got, offsets, len(ids))
	}
	if _, is := a["logits"]; is || e.Classifier != nil {
		t.Error("an encoder has logits")
	}
	want := must(base.embeddings(context.Background(), sentences, config.PoolMean, options(t, t.TempDir())))(t)
	if got := a["embeddings"]; !slices.Equal(got.Data.([]float32), want) || !slices.Equal(got.Shape, []int{3, 32}) {
		t.Error("the embeddings are not those of the features")
	}
	for i, unit := 0, encoded(t, e, sentences, true)["embeddings"].Data.([]float32); i < 3; i++ {
		sum := 0.0
		for _, v := range unit[i*32 : (i+1)*32] {
			sum += float64(v) * float64(v)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Errorf("embedding %d has the squared length %g", i, sum)
		}
	}
	if _, err := FindTextEncoder(t.TempDir(), "nothing"); err == nil {
		t.Error("nothing was found")
	}
}
