package distill

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/weights"
)

var source = Source{Teacher: "aa", Network: "cnn-teacher-res", Data: "bb", Images: "cc", Augment: "none",
	Kernel: "avx512, winograd"}

// some are two copies of three images of two classes: the logits of copy c and image i are 10c+i and 1.
func some(t *testing.T) *SoftLabels {
	t.Helper()
	s := New(source, 2, 3, 2)
	for c := range 2 {
		s.Set(c, []int32{2, 0}, []float32{float32(10*c + 2), 1, float32(10 * c), 1}) // in any order
		s.Set(c, []int32{1}, []float32{float32(10*c + 1), 1})
	}
	return s
}

func TestSetAndFill(t *testing.T) {
	s := some(t)
	dst := make([]float32, 4)
	for epoch, copy := range []int{0, 1, 0, 1} { // copies in turn
		s.Fill(dst, epoch, []int32{1, 2})
		if want := []float32{float32(10*copy + 1), 1, float32(10*copy + 2), 1}; !slices.Equal(dst, want) {
			t.Errorf("epoch %d: %v, want %v", epoch, dst, want)
		}
	}
}

func TestAccuracyIsOfTheFirstCopy(t *testing.T) {
	s := some(t) // classes 1, 0 (the first of equals), 0
	for _, c := range []struct {
		labels []int32
		want   float64
	}{{[]int32{1, 0, 0}, 1}, {[]int32{0, 0, 1}, 1. / 3}, {[]int32{1}, 1}, {nil, 0}} {
		if got := s.Accuracy(c.labels); got != c.want {
			t.Errorf("labels %v: %g, want %g", c.labels, got, c.want)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	s, path := some(t), filepath.Join(t.TempDir(), "s.safetensors")
	if _, err := Load(path, source, 2, 3, 2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, source, 2, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got.Source != source {
		t.Errorf("loaded %+v, want the source %+v", got.Source, source)
	}
	if size := [3]int{got.Copies, got.N, got.Classes}; size != [3]int{2, 3, 2} {
		t.Errorf("copies, images and classes are %v, want 2, 3 and 2", size)
	}
	if !slices.Equal(got.Logits, s.Logits) {
		t.Errorf("loaded the logits %v, saved %v", got.Logits, s.Logits)
	}
}

// TestLoadRefuses what was made of anything else, naming it.
func TestLoadRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.safetensors")
	if _, err := some(t).Save(path); err != nil {
		t.Fatal(err)
	}
	other := func(edit func(*Source)) Source {
		s := source
		edit(&s)
		return s
	}
	for want, src := range map[string]Source{
		"the teacher's weights: aa, not other":        other(func(s *Source) { s.Teacher = "other" }),
		"the teacher: cnn-teacher-res, not other":     other(func(s *Source) { s.Network = "other" }),
		"the data set: bb, not other":                 other(func(s *Source) { s.Data = "other" }),
		"the images or their order: cc, not other":    other(func(s *Source) { s.Images = "other" }),
		"the augmentation: none, not other":           other(func(s *Source) { s.Augment = "other" }),
		"the kernels: avx512, winograd, not portable": other(func(s *Source) { s.Kernel = "portable" }),
	} {
		_, err := Load(path, src, 2, 3, 2)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) ||
			!strings.Contains(err.Error(), "remove the file") {
			t.Errorf("error %v, want one with %q", err, want)
		}
		if src.Fingerprint(2, 3, 2) == source.Fingerprint(2, 3, 2) {
			t.Errorf("%s: the same fingerprint", want)
		}
	}
	for _, size := range [][3]int{{1, 3, 2}, {2, 4, 2}, {2, 3, 3}} {
		if _, err := Load(path, source, size[0], size[1], size[2]); err == nil ||
			!strings.Contains(err.Error(), "[2 3 2] copies, images and classes, not") {
			t.Errorf("%v: error %v", size, err)
		}
		if source.Fingerprint(size[0], size[1], size[2]) == source.Fingerprint(2, 3, 2) {
			t.Errorf("%v: the same fingerprint", size)
		}
	}
}

func TestLoadRefusesWhatIsNone(t *testing.T) {
	dir := t.TempDir()
	good := weights.Tensor{Name: "logits", Shape: []int{2, 3, 2}, Data: make([]float32, 12)}
	meta := map[string]string{"soft_labels": `{"teacher":"aa","network":"cnn-teacher-res","data":"bb","images":"cc","augment":"none","kernel":"avx512, winograd"}`}
	nan := weights.Tensor{Name: "logits", Shape: []int{2, 3, 2}, Data: slices.Repeat([]float32{float32(math.NaN())}, 12)}
	flat := weights.Tensor{Name: "logits", Shape: []int{12}, Data: make([]float32, 12)}
	for name, c := range map[string]struct {
		tensors []weights.Tensor
		meta    map[string]string
		want    string
	}{
		"weights": {[]weights.Tensor{{Name: "w", Shape: []int{1}, Data: make([]float32, 1)}}, nil,
			"a file of something else"},
		"no source":  {[]weights.Tensor{good}, nil, "a file of something else"},
		"bad source": {[]weights.Tensor{good}, map[string]string{"soft_labels": "{"}, "a file of something else"},
		"two tensors": {[]weights.Tensor{good, {Name: "b", Shape: []int{1}, Data: make([]float32, 1)}}, meta,
			"a file of something else"},
		"flat": {[]weights.Tensor{flat}, meta, "a file of something else"},
		"NaN":  {[]weights.Tensor{nan}, meta, "logit 0 is not finite"},
	} {
		path := filepath.Join(dir, name)
		if _, err := weights.Save(path, c.tensors, c.meta); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, source, 2, 3, 2); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

// TestTruncatedFiles: a file cut anywhere is an error that names it.
func TestTruncatedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.safetensors")
	if _, err := some(t).Save(path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, source, 2, 3, 2); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("cut to %d bytes: error %v", n, err)
		}
	}
}
