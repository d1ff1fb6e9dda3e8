package data

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/engine"
)

// idxFiles are the idx files of a set with n training images and half as many test images of 3 x 2 pixels, whose labels
// count from first to first + 2. Pixel p of training image i is 10·i + p.
func idxFiles(train, test string, n, first int) tree {
	t := tree{}
	for part, name := range []string{train, test} {
		n := n / (1 + part)
		var px, labels []byte
		for i := range n {
			for p := range 6 {
				px = append(px, uint8(100*part+10*i+p))
			}
			labels = append(labels, uint8(first+i%3))
		}
		t[strings.Replace(name, "*", "images", 1)] = idx(px, uint32(n), 2, 3)
		t[strings.NewReplacer("*", "labels", "idx3", "idx1").Replace(name)] = idx(labels, uint32(n))
	}
	return t
}

// TestOwnIDXSets: under the names in use, compressed or not, in any packing.
func TestOwnIDXSets(t *testing.T) {
	want := ""
	packed := func(files tree) tree {
		all := tree{}
		for name, b := range files {
			all[name+".gz"] = zip(b)
		}
		return all
	}
	plain := idxFiles("train-*-idx3-ubyte", "t10k-*-idx3-ubyte", 12, 0)
	ownFolders := tree{}
	for name, b := range plain {
		ownFolders[name+"/"+name] = b
	}
	for name, files := range map[string]tree{
		"MNIST's":           plain,
		"compressed":        packed(plain),
		"both":              plain.and(packed(plain)),
		"with points":       idxFiles("train-*.idx3-ubyte", "t10k-*.idx3-ubyte", 12, 0),
		"test":              idxFiles("train-*-idx3-ubyte", "test-*-idx3-ubyte", 12, 0),
		"with a prefix":     idxFiles("mine-train-*-idx3-ubyte", "mine-test-*-idx3-ubyte", 12, 0),
		"in folders":        ownFolders,
		"labels begin at 1": idxFiles("train-*-idx3-ubyte", "t10k-*-idx3-ubyte", 12, 1),
		"as torchvision has": func() tree {
			t := tree{}
			for n, b := range plain {
				t["X/raw/"+n] = b
			}
			return t
		}(),
	} {
		for _, path := range []string{files.folder(filepath.Join(t.TempDir(), "mine")), file(t, "mine.zip", files.zip())} {
			ds, err := read(t, path, Reading{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			s := ds.Train
			if s.N != 12 || ds.Test.N != 6 || s.H != 2 || s.W != 3 || s.C != 1 || s.Pixels[13] != 21 || s.Labels[4] != 1 ||
				len(s.Classes) != 3 || s.Reordered() {
				t.Errorf("%s: %+v", name, s)
			}
			if first := s.Classes[0]; first != "0" && name != "labels begin at 1" || first != "1" &&
				name == "labels begin at 1" {
				t.Errorf("%s: classes %v", name, s.Classes)
			}
			if want == "" {
				want = ds.Fingerprint
			}
			if ds.Fingerprint != want {
				t.Errorf("%s: another content", name)
			}
		}
	}
}

// TestEMNIST: its images are turned right, its labels named by the mapping, and of several sets one is named.
func TestEMNIST(t *testing.T) {
	letters := idxFiles("emnist-letters-train-*-idx3-ubyte", "emnist-letters-test-*-idx3-ubyte", 12, 1)
	letters["emnist-letters-mapping.txt"] = []byte("1 65 97\n2 66 98\n3 67 99\n")
	dir := letters.folder(t.TempDir())
	s := mustRead(t, dir, Reading{}).Train
	if s.H != 3 || s.W != 2 || !bytes.Equal(s.Pixels[:6], []byte{0, 3, 1, 4, 2, 5}) {
		t.Errorf("%dx%d pixels %v", s.H, s.W, s.Pixels[:6])
	}
	if !slices.Equal(s.Classes, []string{"A", "B", "C"}) {
		t.Errorf("classes %v", s.Classes)
	}
	gz := tree{}
	for name, b := range letters.and(idxFiles("emnist-digits-train-*-idx3-ubyte", "emnist-digits-test-*-idx3-ubyte", 6,
		0)) {
		if strings.HasSuffix(name, "ubyte") {
			name, b = name+".gz", zip(b)
		}
		gz["gzip/"+name] = b
	}
	archive := file(t, "gzip.zip", gz.zip())
	if _, err := read(t, archive, Reading{}); err == nil ||
		!strings.Contains(err.Error(),
			"of several sets: emnist-digits, emnist-letters; name one with --set data.part=letters") {
		t.Errorf("several sets: %v", err)
	}
	for _, part := range []string{"letters", "emnist-letters"} {
		if ds, err := read(t, archive, Reading{Part: part}); err != nil || ds.Train.N != 12 {
			t.Errorf("%s: %v", part, err)
		}
	}
	if _, err := read(t, archive, Reading{Part: "byclass"}); err == nil ||
		!strings.Contains(err.Error(), "emnist-digits") {
		t.Errorf("a part that is not there: %v", err)
	}
	train, test, err := readPublishedEMNIST("letters")(context.Background(), archive, quiet)
	if err != nil || train.N != 12 || test.N != 6 || fmt.Sprint(*train) != fmt.Sprint(*s) {
		t.Errorf("as a set of the catalogue: %v", err)
	}
}

// TestOwnIDXForms: a size, channels and a test set that is drawn.
func TestOwnIDXForms(t *testing.T) {
	files := idxFiles("train-*-idx3-ubyte", "t10k-*-idx3-ubyte", 24, 0)
	delete(files, "t10k-images-idx3-ubyte")
	delete(files, "t10k-labels-idx1-ubyte")
	ds := mustRead(t, files.folder(t.TempDir()), Reading{Test: 6, Size: 8, Channels: 3})
	for _, s := range ds.sets() {
		if s.H != 8 || s.W != 8 || s.C != 3 || len(s.Pixels) != s.N*192 || len(s.Published) != s.N {
			t.Errorf("%dx%dx%d, %d values, %d places of %d", s.H, s.W, s.C, len(s.Pixels), len(s.Published), s.N)
		}
	}
	if ds.Train.N != 18 || ds.Test.N != 6 || !strings.Contains(ds.Own.Notes[0], "6 of 24 images are held out") {
		t.Errorf("%d + %d images; %q", ds.Train.N, ds.Test.N, ds.Own.Notes)
	}
	flat := mustRead(t, files.folder(t.TempDir()), Reading{Channels: 3}) // grey in colour: three times the same
	if px := flat.Train.Pixels[:3]; px[0] != px[1] || px[1] != px[2] || flat.Train.C != 3 {
		t.Errorf("pixels %v", px)
	}
}

// TestOwnIDXMistakes: one line with the place and the file.
func TestOwnIDXMistakes(t *testing.T) {
	good := idxFiles("train-*-idx3-ubyte", "t10k-*-idx3-ubyte", 12, 0)
	const images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
	for want, files := range map[string]tree{
		"the file of labels of train is missing": good.with(labels, nil),
		"the file of images of train is missing": good.with(images, nil),
		"there are 11 labels of 12 images": good.with(labels, good[labels][:8+11]).with(labels,
			idx(good[labels][8:8+11], 11)),
		"train: the images: truncated":                         good.with(images, good[images][:30]),
		"train: the images: the magic number is":               good.with(images, []byte("<html><body></body></html>")),
		"train: the labels: the magic number is":               good.with(labels, good[images]),
		"claims dimensions [4294967295 4294967295 4294967295]": good.with(images, idx(nil, 1<<32-1, 1<<32-1, 1<<32-1)),
		"train: the images: gzip":                              good.with(images, []byte{0x1f, 0x8b, 9}),
		"have 3x2 pixels to train on and 2x3 to test on": good.with("t10k-images-idx3-ubyte",
			idx(good["t10k-images-idx3-ubyte"][16:], 6, 3, 2)),
		"the one class 5": good.with(labels,
			idx(bytes.Repeat([]byte{5}, 12), 12)).with("t10k-labels-idx1-ubyte", idx(bytes.Repeat([]byte{5}, 6), 6)),
		"the files of the training images are missing": good.with(labels, nil).with(images, nil),
		"the class 9 has no images to train on": good.with("t10k-labels-idx1-ubyte",
			idx(bytes.Repeat([]byte{9}, 6), 6)),
		"there are 0 labels of 0 images of 3x2 pixels": good.with(labels, idx(nil, 0)).with(images,
			idx(nil, 0, 2, 3)),
	} {
		dir := files.folder(t.TempDir())
		_, err := read(t, dir, Reading{})
		if err == nil || !strings.HasPrefix(err.Error(), dir+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	defer func(m func() int64) { engine.Memory = m }(engine.Memory)
	engine.Memory = func() int64 { return 200 }
	if _, err := read(t, good.folder(t.TempDir()), Reading{}); err == nil ||
		!strings.Contains(err.Error(), "more than the memory holds") {
		t.Errorf("more than the memory: %v", err)
	}
}

// FuzzIDXSet: whatever the files, there is an error or whole sets.
func FuzzIDXSet(f *testing.F) {
	good := idxFiles("train-*-idx3-ubyte", "t10k-*-idx3-ubyte", 6, 1)
	f.Add(good["train-images-idx3-ubyte"], good["train-labels-idx1-ubyte"], []byte("1 65\n2 66\n"))
	f.Add(zip(good["train-images-idx3-ubyte"]), zip(good["train-labels-idx1-ubyte"]), []byte("x"))
	f.Fuzz(func(t *testing.T, images, labels, mapping []byte) {
		const prefix = "emnist-"
		files := idxParts{{prefix, "train", false}: images, {prefix, "train", true}: labels, {prefix: prefix}: mapping}
		sets, classes, err := files.sets(prefix)
		if err != nil {
			return
		}
		s := sets["train"]
		if s.N < 1 || len(s.Pixels) != s.N*s.H*s.W || len(s.Labels) != s.N || int(slices.Max(s.Labels)) != len(classes)-1 {
			t.Errorf("%d images of %dx%d, %d values, %d labels of %d classes", s.N, s.H, s.W, len(s.Pixels), len(s.Labels),
				len(classes))
		}
	})
}
