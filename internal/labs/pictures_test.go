package labs

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/run"
	"dla/internal/train"
)

// writePictures writes the first n test images of s to files below the new folder dir, each in the folder of its class,
// and returns the folder.
func writePictures(t *testing.T, s *data.Set, n int) string {
	t.Helper()
	dir := t.TempDir()
	px := s.H * s.W * s.C
	for i := range n {
		b, err := encodePNG(s.Pixels[i*px:(i+1)*px], s.H, s.W)
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, s.Classes[s.Labels[i]])
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("%03d.png", i)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readPicture returns the pixels of a PNG file.
func readPicture(t *testing.T, file string) []uint8 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	f := data.Fitter{H: cfg.Height, W: cfg.Width, C: 3}
	px, err := f.Fit(b)
	if err != nil {
		t.Fatal(err)
	}
	return px
}

// picturesOf lists pictures, and fails where names cannot be listed.
func picturesOf(t *testing.T, names ...string) []Picture {
	t.Helper()
	return must(Pictures(context.Background(), names, strings.NewReader(""), func(string, ...any) {}))(t)
}

// TestClassifyPictures: files of test images are classified as the test images are, with the probabilities of the
// network's logits, alone or among others, whatever else cannot be read.
func TestClassifyPictures(t *testing.T) {
	root := t.TempDir()
	tr := trained(t, root, tiny(false))
	n := must(LoadRun(root, tr.ID))(t)
	ds := set(t, tr.Config.Data.Name)
	if !slices.Equal(n.ClassNames(), ds.Test.Classes) {
		t.Errorf("classes %q, want %q", n.ClassNames(), ds.Test.Classes)
	}
	const count = 24
	dir := writePictures(t, ds.Test, count)
	for name, content := range map[string]string{"damaged.png": "\x89PNG\r\n\x1a\nand no more", "empty.jpg": "",
		"notes.txt": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := must(n.Scorer(count))(t)
	for _, views := range []config.Views{config.NoViews, config.ShiftViews} {
		got, err := n.Classify(context.Background(), picturesOf(t, dir, filepath.Join(dir, "nowhere.png")),
			PictureOptions{Views: views, Top: 3}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := train.EvaluateViews(context.Background(), s, viewsOf(views, s, data.All(ds.Test).First(count)), nil)
		if err != nil {
			t.Fatal(err)
		}
		wrong := map[string]string{}
		seen := 0
		for _, one := range got.All {
			if one.Label == nil {
				wrong[filepath.Base(one.File)] = one.Error
				continue
			}
			var i int
			if _, err := fmt.Sscanf(filepath.Base(one.File), "%d.png", &i); err != nil {
				t.Fatal(err)
			}
			seen++
			row := want.Logits[i*n.Images.Classes : (i+1)*n.Images.Classes]
			class, sum := 0, 0.0
			for c, x := range row {
				if x > row[class] {
					class = c
				}
				sum += math.Exp(x)
			}
			p := math.Exp(row[class]) / sum
			if *one.Label != ds.Test.Classes[class] || math.Abs(*one.Probability-p) > 1e-6 ||
				one.Class != ds.Test.Classes[ds.Test.Labels[i]] || len(one.Top) != 3 || one.Top[0].Label != *one.Label ||
				one.Top[0].Probability != *one.Probability || one.Top[1].Probability < one.Top[2].Probability {
				t.Errorf("%s: %s %g, %+v; want %s %g", one.File, *one.Label, *one.Probability, one.Top,
					ds.Test.Classes[class], p)
			}
		}
		correct := 0
		for i := range count {
			row := want.Logits[i*n.Images.Classes : (i+1)*n.Images.Classes]
			if slices.Max(row) == row[ds.Test.Labels[i]] {
				correct++
			}
		}
		expect(t, got, map[string]bool{
			"all that are images":   seen == count && got.Classified == count,
			"the accuracy":          got.Accuracy != nil && got.Accuracy.N == count && got.Accuracy.Count == correct,
			"what is damaged":       len(wrong) == 3 && strings.Contains(wrong["damaged.png"], "the image"),
			"what is empty":         wrong["empty.jpg"] == "is empty",
			"what is not there":     strings.Contains(wrong["nowhere.png"], "no such file") || os.PathSeparator == '\\',
			"nothing was converted": got.Converted == "",
			"no attack":             got.Success == nil && got.AttackedAccuracy == nil,
		})
		alone, err := n.Classify(context.Background(), picturesOf(t, got.All[0].File), PictureOptions{Views: views, Top: 1},
			Options{})
		if err != nil || len(alone.All) != 1 || *alone.All[0].Label != *got.All[0].Label ||
			math.Abs(*alone.All[0].Probability-*got.All[0].Probability) > 1e-6 || alone.Accuracy != nil {
			t.Errorf("alone: %+v, %v", alone, err)
		}
	}
	t.Run("attacked", func(t *testing.T) { testAttackPictures(t, n, ds) })
}

// testAttackPictures: an attack stays within its radius, what is saved is what was predicted, and a picture's attack
// does not depend on the others.
func testAttackPictures(t *testing.T, n *Network, ds *data.Dataset) {
	all := picturesOf(t, writePictures(t, ds.Test, 3))
	for _, a := range []PictureAttack{{Name: "pgd", Eps: 8}, {Name: "fgsm", Eps: 4, Target: n.ClassNames()[2]},
		{Name: "pgd-l2", Eps: 0.5}, {Name: "fgsm", Eps: 0}} {
		save := filepath.Join(t.TempDir(), "attacked")
		got, err := n.Classify(context.Background(), all, PictureOptions{Top: 1, Attack: &a, Save: save}, Options{})
		if err != nil {
			t.Fatalf("%+v: %v", a, err)
		}
		again, err := n.Classify(context.Background(), picturesOf(t, save), PictureOptions{Top: 1}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		saved := map[string]PicturePrediction{}
		for _, one := range again.All {
			saved[one.File] = one
		}
		if len(saved) != 2*len(all)+1 || len(got.Sheet) != 2 || saved[got.Sheet[0]].Label == nil {
			t.Errorf("%+v: %d files, sheet %q", a, len(saved), got.Sheet)
		}
		successes := 0
		for i, one := range got.All {
			before, after := readPicture(t, one.File), readPicture(t, one.Attacked.Image)
			e := attack.Example{Image: before, Changed: after}
			distance := 0.0
			for j := range before {
				distance += math.Pow((float64(after[j])-float64(before[j]))/255, 2)
			}
			limit := int(a.Eps)
			if a.Name == "pgd-l2" {
				limit = 128
			}
			goal := one.Class
			success := one.Attacked.Label != goal
			if a.Target != "" {
				goal, success = a.Target, one.Attacked.Label == a.Target
			}
			counts := (a.Target == "") == (*one.Label == goal)
			if counts && one.Attacked.Success {
				successes++
			}
			again := saved[one.Attacked.Image]
			expect(t, one, map[string]bool{
				"a change within the radius": e.LargestChange() <= limit && e.LargestChange() == one.Attacked.Largest,
				"one in L2":                  a.Name != "pgd-l2" || math.Sqrt(distance) < a.Eps+0.1,
				"what is saved": *again.Label == one.Attacked.Label &&
					math.Abs(*again.Probability-one.Attacked.Probability) < 1e-6,
				"the perturbation":   bytes.Equal(readPicture(t, one.Attacked.Perturbation), e.Contrast()),
				"success as defined": one.Attacked.Success == success,
			})
			if i > 0 || a.Name != "pgd" {
				continue
			}
			alone, err := n.Classify(context.Background(), all[i:i+1], PictureOptions{Top: 1, Attack: &a,
				Save: filepath.Join(t.TempDir(), "one")}, Options{})
			if err != nil || !bytes.Equal(readPicture(t, alone.All[0].Attacked.Image), after) {
				t.Errorf("%s is attacked otherwise alone (%v)", one.File, err)
			}
		}
		if got.Success != nil && got.Success.Count != successes {
			t.Errorf("%+v: success %+v, want %d", a, got.Success, successes)
		}
	}
}

// TestAttackedPicturesAreNotOverwritten: what is there stays, and an attack of nothing, or one that is stopped, leaves
// nothing.
func TestAttackedPicturesAreNotOverwritten(t *testing.T) {
	root := t.TempDir()
	n := must(LoadRun(root, trained(t, root, tiny(true)).ID))(t)
	dir := writePictures(t, set(t, data.SyntheticDigits).Test, 2)
	o := PictureOptions{Top: 1, Attack: &PictureAttack{Name: "fgsm", Eps: 8}, Save: dir}
	if _, err := n.Classify(context.Background(), picturesOf(t, dir), o, Options{}); err == nil ||
		!strings.Contains(err.Error(), "exists and is not an empty folder; name another") {
		t.Errorf("overwritten: %v", err)
	}
	o.Save = filepath.Join(t.TempDir(), "new")
	got, err := n.Classify(context.Background(), picturesOf(t, "nowhere.png"), o, Options{})
	if err != nil || len(got.All) != 1 || got.All[0].Error == "" {
		t.Errorf("nothing to attack: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.Classify(ctx, picturesOf(t, dir), o, Options{}); err == nil {
		t.Error("went on after it was stopped")
	}
	if _, err := os.Stat(o.Save); !os.IsNotExist(err) {
		t.Errorf("left %s (%v)", o.Save, err)
	}
	for what, a := range map[string]PictureAttack{"no class is called \"moon\"": {Name: "fgsm", Target: "moon"},
		"square takes no target class; fgsm and pgd do": {Name: "square", Target: "1"},
		"unknown attack \"deepfool\"":                   {Name: "deepfool"}} {
		o := PictureOptions{Top: 1, Attack: &a}
		if _, err := n.Classify(context.Background(), nil, o, Options{}); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%+v: %v, want %s", a, err, what)
		}
	}
	// A network of one channel reads grey pictures as they are, and names of any bytes make files that can be shown.
	odd := filepath.Join(dir, "a<b>&\xff\n"+strings.Repeat("é", 100)+".png")
	b := must(os.ReadFile(picturesOf(t, dir)[0].File))(t)
	if err := os.WriteFile(odd, b, 0o600); err != nil {
		t.Skipf("a file system without such names: %v", err)
	}
	got, err = n.Classify(context.Background(), picturesOf(t, odd, dir), o, Options{})
	if err != nil || got.Converted != "" || got.All[0].Attacked == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if svg := must(os.ReadFile(got.Sheet[1]))(t); bytes.Contains(svg, []byte("<b>")) || bytes.Contains(svg, []byte{0xff}) {
		t.Error("a name is markup of the sheet")
	}
}

// TestClassNamesOfOwnData: they are those of the record.
func TestClassNamesOfOwnData(t *testing.T) {
	n := Network{Data: run.DataInfo{Name: "cifar10", Own: &run.OwnData{Classes: []string{"cat", "dog"}}},
		Images: data.Description{Classes: 2}}
	if got := n.ClassNames(); !slices.Equal(got, []string{"cat", "dog"}) {
		t.Errorf("%q", got)
	}
	n.Data.Own = nil // a record without them
	if got := n.ClassNames(); !slices.Equal(got, []string{"class 0", "class 1"}) {
		t.Errorf("%q", got)
	}
}

// TestOtherKindsOfNetworks: what classifies sentences is refused with the command for it, and a run that trains no
// network as such.
func TestOtherKindsOfNetworks(t *testing.T) {
	root := t.TempDir()
	tr := trained(t, root, tiny(true))
	dir := t.TempDir()
	folder := filepath.Join(dir, "digits")
	must(Export(root, tr.ID, folder))(t)
	adapter := filepath.Join(dir, "adapter")
	if err := os.MkdirAll(adapter, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(adapter, "adapter_config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, from := range map[string]string{
		folder + " takes images, not sentences; use `dla predict " + folder + " FILE`":                  folder,
		tr.ID + " takes images, not sentences; use `dla predict " + tr.ID + " FILE --out " + root + "`": tr.ID,
	} {
		if _, err := FindSentiment(root, from); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, from := range []string{filepath.Join(root, tr.ID), filepath.Join(root, tr.ID) + "/"} {
		if n, err := FindNetwork("elsewhere", from); err != nil || n.Source != tr.ID {
			t.Errorf("%s: %v", from, err)
		}
	}
	t.Chdir(filepath.Join(root, tr.ID))
	if n, err := FindNetwork("elsewhere", "."); err != nil || n.Source != tr.ID {
		t.Errorf("the folder that one is in: %v", err)
	}
	if _, err := FindSentiment("elsewhere", filepath.Join(root, tr.ID)); err == nil ||
		!strings.Contains(err.Error(), tr.ID+" takes images") {
		t.Errorf("a run's folder: %v", err)
	}
	want := adapter + " classifies sentences, not images; use `dla lab3 predict " + adapter + " TEXT`"
	if _, err := FindNetwork(root, adapter); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
