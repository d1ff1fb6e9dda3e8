package labs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/weights"
)

// inPyTorchsLayout are the tensors of a network of this program as PyTorch's programs keep them, with the head called
// linear and the counters of their batch normalisations.
func inPyTorchsLayout(ts []weights.Tensor) (all []weights.Tensor) {
	for _, t := range ts {
		name := strings.Replace(t.Name, "fc.", "linear.", 1)
		if len(t.Shape) == 4 {
			k, in, out := t.Shape[0]*t.Shape[1], t.Shape[2], t.Shape[3]
			turned := make([]float32, len(t.Data))
			for tap := range k {
				for i := range in {
					for o := range out {
						turned[(o*in+i)*k+tap] = t.Data[(tap*in+i)*out+o]
					}
				}
			}
			t = weights.Tensor{Shape: []int{out, in, t.Shape[0], t.Shape[1]}, Data: turned}
		}
		t.Name = "module." + name
		all = append(all, t)
		if rest, ok := strings.CutSuffix(t.Name, ".running_mean"); ok {
			all = append(all, weights.Tensor{Name: rest + ".num_batches_tracked", Shape: []int{}, Data: []float32{7}})
		}
	}
	return all
}

// beginning is ds with the first n images of both sets.
func beginning(ds *data.Dataset, n int) *data.Dataset {
	cut := func(s data.Set) *data.Set {
		s.Pixels, s.Labels, s.N = s.Pixels[:n*len(s.Pixels)/s.N], s.Labels[:n], n
		return &s
	}
	small := *ds
	small.Train, small.Test = cut(*ds.Train), cut(*ds.Test)
	return &small
}

// TestImportNetwork: the weights of a training come back bit for bit from a file in PyTorch's layout, computed in the
// way that is best on training images, and are found by name as a checkpoint is.
func TestImportNetwork(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	root := t.TempDir()
	cfg := tiny(false)
	cfg.Model.Res = true
	tr := trained(t, root, cfg)
	n, err := LoadRun(root, tr.ID)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "theirs.safetensors")
	if _, err := weights.Save(file, inPyTorchsLayout(n.state()), nil); err != nil {
		t.Fatal(err)
	}
	i := Import{File: file, As: "resnet20", Res: true, Data: data.SyntheticShapes, Name: "theirs"}
	opt := options(t, root)
	opt.loaded.all["images "+data.SyntheticShapes] = beginning(set(t, data.SyntheticShapes), 400)
	c, res, err := ImportNetwork(context.Background(), i, opt)
	if err != nil {
		t.Fatal(err)
	}
	best, next := res.Imported.Tried[0], res.Imported.Tried[1]
	expect(t, res, map[string]bool{
		"the same weights": res.WeightsSHA256 == tr.Result.WeightsSHA256,
		"the best way": best.Accuracy > next.Accuracy || best.Accuracy == next.Accuracy &&
			best.Loss < next.Loss,
		"ten ways":                      len(res.Imported.Tried) == 10,
		"the whole test set":            res.Test.N == 400,
		"its file":                      res.Imported.File == "theirs.safetensors" && len(res.Imported.SHA256) == 64,
		"a folder under the cache":      strings.HasPrefix(c.Name, os.Getenv("XDG_CACHE_HOME")),
		"the width and network's name":  strings.HasPrefix(c.Network, "resnet20-w4"),
		"no images that were held out":  !res.LastVal.Measured(),
		"accuracy of what was tried on": best.N == 200 && best.Accuracy == res.Val.Accuracy,
	})
	back, err := FindNetwork(root, "theirs")
	if err != nil {
		t.Fatal(err)
	}
	if back.Config.Data.Val != 0 || back.Config.Model.Name != "resnet20" || back.Result.Imported == nil {
		t.Errorf("read back as %+v", back.Config)
	}
	listed, err := Checkpoints(CheckpointDirs()[1])
	if err != nil || len(listed) != 1 || listed[0].Name != "theirs" || listed[0].Broken != "" {
		t.Errorf("listed as %+v, %v", listed, err)
	}
}

// TestImportNetworkRefuses: what does not fit is named, and nothing is written.
func TestImportNetworkRefuses(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	file := filepath.Join(t.TempDir(), "w.safetensors")
	save := func(ts ...weights.Tensor) {
		t.Helper()
		if _, err := weights.Save(file, ts, nil); err != nil {
			t.Fatal(err)
		}
	}
	head := func(classes int) weights.Tensor {
		return weights.Tensor{Name: "fc.weight", Shape: []int{classes, 64}, Data: make([]float32, classes*64)}
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "notes.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tensor weights.Tensor
		i      Import
		want   string
	}{
		"no head": {weights.Tensor{Name: "x", Shape: []int{1}, Data: []float32{1}}, Import{As: "resnet20", Name: "a"},
			"no last layer"},
		"classes":      {head(3), Import{As: "resnet20", Name: "a"}, "3 classes and synthetic-shapes has 10"},
		"tensors":      {head(10), Import{As: "resnet20", Name: "a"}, "name its network with --as"},
		"network":      {head(10), Import{As: "resnet21", Name: "a"}, `unknown model "resnet21"`},
		"name":         {head(10), Import{As: "resnet20", Name: ".."}, "is called"},
		"other folder": {head(10), Import{As: "resnet20", Name: other + "/"}, "more than a checkpoint"},
	} {
		save(c.tensor)
		c.i.File, c.i.Res, c.i.Data = file, true, data.SyntheticShapes
		if _, _, err := ImportNetwork(context.Background(), c.i, options(t, t.TempDir())); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	if list, _ := os.ReadDir(filepath.Join(cache, "dla", "checkpoints")); len(list) > 0 {
		t.Errorf("there are %v", list)
	}
	if _, err := (Import{Name: "a"}).folder(); err != nil {
		t.Error(err)
	}
	if c := config.DefaultImported(); c.Validate() != nil || c.Classifier().Data.Val != 0 {
		t.Errorf("settings %+v", c)
	}
}
