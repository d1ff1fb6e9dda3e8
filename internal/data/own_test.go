package data

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dla/internal/engine"
)

// read reads own data without what the user's cache has.
func read(t testing.TB, path string, as Reading) (*Dataset, error) {
	t.Helper()
	return Read(context.Background(), path, as, Options{Cache: filepath.Join(t.TempDir(), "cache")})
}

func mustRead(t testing.TB, path string, as Reading) *Dataset {
	t.Helper()
	ds, err := read(t, path, as)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// ownImages are n images of h x w pixels of each of the classes, below the folder at.
func ownImages(at string, n, h, w int, classes ...string) tree {
	t := tree{}
	for c, class := range classes {
		for i := range n {
			t[fmt.Sprintf("%s%s/%d.png", at, class, i)] = pngOf(rgb(h, w, uint8(17*c+i+len(at))))
		}
	}
	return t
}

func (t tree) and(more tree) tree {
	all := t.with("", nil)
	for name, b := range more {
		all[name] = b
	}
	return all
}

// TestOwnDataInAnyShape: parts with and without a validation set, or classes alone, in any packing and case.
func TestOwnDataInAnyShape(t *testing.T) {
	parts := ownImages("pets/TRAIN/", 4, 6, 5, "cat", "dog",
		"emu").and(ownImages("pets/Test/", 2, 6, 5, "cat", "dog", "emu"))
	for name, tc := range map[string]struct {
		tree             tree
		train, val, test int
		class            string // the last
	}{
		"parts":               {parts, 12, 0, 6, "emu"},
		"with validation":     {parts.and(ownImages("pets/valid/", 3, 6, 5, "cat", "dog", "emu")), 12, 9, 6, "emu"},
		"classes":             {ownImages("", 12, 6, 5, "a", "B"), 20, 0, 4, "a"},
		"classes, below":      {ownImages("x/y/", 12, 6, 5, "a", "B"), 20, 0, 4, "a"},
		"train alone":         {ownImages("train/", 12, 6, 5, "a", "B"), 20, 0, 4, "a"},
		"folders in classes":  {parts.and(ownImages("pets/TRAIN/dog/", 2, 6, 5, "young", "old")), 16, 0, 6, "emu"},
		"suffixes in capital": {parts.with("pets/TRAIN/cat/x.PNG", pngOf(rgb(6, 5, 99))), 13, 0, 6, "emu"},
	} {
		tc.tree = tc.tree.and(tree{"pets/.DS_Store": []byte("x"), "pets/TRAIN/cat/._0.png": []byte("x"),
			"pets/TRAIN/Thumbs.db": []byte("x"), "pets/notes.txt": []byte("x"), "__MACOSX/a/b.png": []byte("x")})
		want := ""
		for _, path := range []string{tc.tree.folder(filepath.Join(t.TempDir(), "mine")),
			file(t, "mine.tar", tc.tree.tar(true)),
			file(t, "mine.tgz", zip(tc.tree.tar(false))), file(t, "mine.ZIP", tc.tree.zip())} {
			ds, err := read(t, path, Reading{})
			if err != nil {
				t.Fatalf("%s, %s: %v", name, path, err)
			}
			val := 0
			if ds.Val != nil {
				val = ds.Val.N
			}
			if ds.Train.N != tc.train || ds.Test.N != tc.test || val != tc.val {
				t.Errorf("%s: %d + %d + %d images, want %d + %d + %d", name, ds.Train.N, val, ds.Test.N, tc.train, tc.val, tc.test)
			}
			if c := ds.Train.Classes; c[len(c)-1] != tc.class || !slices.IsSorted(c) {
				t.Errorf("%s: classes %v", name, c)
			}
			if s := ds.Train; s.H != 6 || s.W != 5 || s.C != 3 {
				t.Errorf("%s: images of %dx%dx%d", name, s.H, s.W, s.C)
			}
			if ds.Name != "mine" || ds.Own.Path != path {
				t.Errorf("%s: called %s, of %s, want mine of %s", name, ds.Name, ds.Own.Path, path)
			}
			if want == "" {
				want = ds.Fingerprint
			}
			if ds.Fingerprint != want {
				t.Errorf("%s: another fingerprint in %s", name, path)
			}
		}
	}
}

// TestOwnDataMistakes: one line with the file and what to do.
func TestOwnDataMistakes(t *testing.T) {
	pets := ownImages("train/", 4, 6, 5, "cat", "dog").and(ownImages("test/", 2, 6, 5, "cat", "dog"))
	good := pets["train/cat/1.png"]
	for name, tc := range map[string]struct {
		tree tree
		as   Reading
		want []string
	}{
		"nothing":       {tree{"a.txt": []byte("x")}, Reading{}, []string{"holds no images by class", "train/CLASS/"}},
		"one class":     {ownImages("", 4, 6, 5, "cat"), Reading{}, []string{"in the one folder cat", "two classes"}},
		"one, in parts": {ownImages("train/", 4, 6, 5, "cat"), Reading{}, []string{"the one class cat"}},
		"no class":      {pets.with("train/x.png", good), Reading{}, []string{"train/x.png lies in the folder of no class"}},
		"beside parts":  {pets.with("other/cat/x.png", good), Reading{}, []string{"other/cat/x.png lies beside the parts"}},
		"at the top":    {pets.with("x.png", good), Reading{}, []string{"x.png lies in the folder of no class"}},
		"test only":     {ownImages("test/", 4, 6, 5, "cat", "dog"), Reading{}, []string{"no images to train"}},
		"other class":   {pets.with("test/Cat/x.png", good), Reading{}, []string{"class Cat has no images to train on"}},
		"damaged": {pets.with("train/cat/1.png", good[:60]), Reading{},
			[]string{"train/cat/1.png: the image", "data.skip_damaged=true"}},
		"the first": {pets.with("test/cat/0.png", []byte("<html>")), Reading{},
			[]string{"test/cat/0.png: is not a PNG", "data.skip_damaged=true"}},
		"empty":        {pets.with("train/cat/1.png", []byte{}), Reading{}, []string{"train/cat/1.png: is not a PNG"}},
		"too few":      {ownImages("", 2, 6, 5, "cat", "dog"), Reading{}, []string{"4 images are too few"}},
		"held out all": {ownImages("", 9, 6, 5, "cat", "dog"), Reading{Test: 18}, []string{"data.test is 18"}},
		"all damaged": {tree{"cat/a.png": []byte("x"), "dog/a.png": []byte("y")}, Reading{SkipDamaged: true},
			[]string{"holds no images"}},
	} {
		path := tc.tree.folder(t.TempDir())
		_, err := read(t, path, tc.as)
		if err == nil || !strings.HasPrefix(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line that begins with the path", name, err)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one with %q", name, err, want)
			}
		}
	}
	if _, err := read(t, filepath.Join(t.TempDir(), "nowhere"), Reading{}); err == nil ||
		!strings.Contains(err.Error(), "nowhere") || !strings.Contains(err.Error(), "cifar10") {
		t.Errorf("no folder: %v", err)
	}
	if _, err := read(t, "mnist", Reading{Size: 9}); err == nil || !strings.Contains(err.Error(), "data.size") {
		t.Errorf("a set of the catalogue: %v", err)
	}
}

// TestOwnDataSizes: images keep a size of up to 64x64 that all have, and what else there is is made to fit.
func TestOwnDataSizes(t *testing.T) {
	greys := tree{}
	for i := range 12 {
		img := image.NewGray(image.Rect(0, 0, 7, 9))
		for j := range img.Pix {
			img.Pix[j] = uint8(20*i + j)
		}
		greys[fmt.Sprintf("%d/%d.png", i%2, i)] = pngOf(img)
	}
	turned := ownImages("", 6, 6, 5, "cat", "dog") // all but one lie on their side
	plain := ownImages("", 6, 6, 5, "cat", "dog")
	for name, tc := range map[string]struct {
		tree    tree
		as      Reading
		h, w, c int
		note    string
	}{
		"one size":        {plain, Reading{}, 6, 5, 3, ""},
		"grey":            {greys, Reading{}, 9, 7, 1, ""},
		"grey as colour":  {greys, Reading{Channels: 3}, 9, 7, 3, ""},
		"colour as grey":  {plain, Reading{Channels: 1}, 6, 5, 1, ""},
		"grey and colour": {greys.with("1/x.png", pngOf(rgb(9, 7, 1))), Reading{}, 9, 7, 3, "converted: 12 grey"},
		"two sizes": {turned.with("dog/x.png", pngOf(rgb(40, 30, 1))), Reading{}, 32, 32, 3,
			"one is 30x40 and others are 5x6"},
		"grey, two sizes": {greys.with("1/x.png", pngOf(image.NewGray(image.Rect(0, 0, 3, 3)))), Reading{}, 32, 32, 3,
			"scaled to 32x32 in colour"},
		"large": {ownImages("", 6, 70, 80, "cat", "dog"), Reading{}, 32, 32, 3,
			"one is 80x70 and others are to be at most 64x64"},
		"a size":            {plain, Reading{Size: 8}, 8, 8, 3, "of another size"},
		"a size, grey":      {greys, Reading{Size: 8}, 8, 8, 1, "of another size"},
		"a size, both":      {greys.with("1/x.png", pngOf(rgb(9, 7, 1))), Reading{Size: 8}, 8, 8, 3, "of another size"},
		"a size and colour": {greys, Reading{Size: 8, Channels: 3}, 8, 8, 3, "of another size"},
	} {
		ds, err := read(t, tc.tree.folder(t.TempDir()), tc.as)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range ds.sets() {
			if s.H != tc.h || s.W != tc.w || s.C != tc.c || len(s.Pixels) != s.N*s.H*s.W*s.C {
				t.Errorf("%s: %d images of %dx%dx%d, want %dx%dx%d", name, s.N, s.H, s.W, s.C, tc.h, tc.w, tc.c)
			}
		}
		if (ds.Converted == "") != (tc.note == "" && name != "grey as colour") {
			t.Errorf("%s: converted: %q", name, ds.Converted)
		}
		if notes := strings.Join(ds.Own.Notes, "\n"); !strings.Contains(notes, tc.note) {
			t.Errorf("%s: %q, want %q", name, notes, tc.note)
		}
	}
	// The values of a grey image stay.
	ds := mustRead(t, greys.folder(t.TempDir()), Reading{})
	for i, name := range ds.Train.Files {
		var number uint8
		if _, err := fmt.Sscanf(filepath.Base(name), "%d.png", &number); err != nil {
			t.Fatal(err)
		}
		if px := ds.Train.Pixels[63*i:][:63]; px[0] != 20*number || px[62] != 20*number+62 {
			t.Errorf("%s: pixels %v", name, px)
		}
	}
}

// TestOwnDataKinds: an image of each kind, of one size, has Pillow's values; see TestFormatsAsPillow.
func TestOwnDataKinds(t *testing.T) {
	files := ownImages("", 6, 32, 32, "cat", "dog")
	files["cat/palette.png"] = pngOf(image.NewPaletted(image.Rect(0, 0, 32, 32), color.Palette{color.Black, color.White}))
	files["cat/alpha.png"] = pngOf(image.NewNRGBA(image.Rect(0, 0, 32, 32)))
	files["dog/16.png"] = pngOf(image.NewGray16(image.Rect(0, 0, 32, 32)))
	ds := mustRead(t, files.folder(t.TempDir()), Reading{})
	if want := "1 with a palette, 1 with alpha, which is dropped, 1 of 16 bits"; ds.Converted != want {
		t.Errorf("converted: %q, want %q", ds.Converted, want)
	}
}

// TestOwnDataSkipDamaged: damaged files are left out, counted and named, wherever they are.
func TestOwnDataSkipDamaged(t *testing.T) {
	pets := ownImages("", 8, 6, 5, "cat", "dog")
	bad := pets.and(tree{"cat/-.png": []byte("x"), "dog/0.png": pets["dog/0.png"][:70], "dog/z.png": {}})
	ds := mustRead(t, bad.folder(t.TempDir()), Reading{SkipDamaged: true})
	if n := ds.Train.N + ds.Test.N; n != 15 {
		t.Errorf("%d images, want 15", n)
	}
	if want := "damaged files that are left out: 3, such as cat/-.png"; !slices.Contains(ds.Own.Notes, want) {
		t.Errorf("notes %q, want %q", ds.Own.Notes, want)
	}
}

// TestOwnTestSetIsDrawn: of each class its share, the same in every reading and whatever the names, and data.test says
// how many.
func TestOwnTestSetIsDrawn(t *testing.T) {
	pets := ownImages("", 30, 6, 5, "cat", "dog").and(ownImages("", 1, 6, 5, "emu"))
	ds := mustRead(t, pets.folder(t.TempDir()), Reading{Test: 20})
	count := make([]int, 3)
	for _, l := range ds.Test.Labels {
		count[l]++
	}
	if !slices.Equal(count, []int{9, 10, 0}) && !slices.Equal(count, []int{9, 9, 0}) &&
		!slices.Equal(count, []int{9, 10, 1}) {
		t.Errorf("%v test images of the classes, want equal shares, and the one emu to train on", count)
	}
	again := mustRead(t, file(t, "b.zip", pets.zip()), Reading{Test: 20})
	if again.Fingerprint != ds.Fingerprint {
		t.Error("another draw")
	}
	twice := pets.with("dog/twin.png", pets["dog/3.png"])
	for i := range 20 {
		twice[fmt.Sprintf("dog/twin%d.png", i)] = pets["dog/3.png"]
	}
	ds = mustRead(t, twice.folder(t.TempDir()), Reading{})
	if notes := strings.Join(ds.Own.Notes, "\n"); !strings.Contains(notes, "are also training images, pixel by pixel") {
		t.Errorf("notes %q say nothing of copies", notes)
	}
}

// TestOwnDataIsKept: the decoded copy is read again until a file changes, another reading is wanted or it is damaged.
func TestOwnDataIsKept(t *testing.T) {
	dir := ownImages("train/", 8, 6, 5, "cat", "dog").and(ownImages("val/", 2, 6, 5, "cat", "dog")).folder(t.TempDir())
	cache := t.TempDir()
	decoded := 0
	opt := Options{Cache: cache, Progress: func(p Progress) {
		if p.Verb == "decoding" {
			decoded++
		}
	}}
	load := func(as Reading) *Dataset {
		t.Helper()
		ds, err := Read(context.Background(), dir, as, opt)
		if err != nil {
			t.Fatal(err)
		}
		return ds
	}
	was := func(want bool, what string) {
		t.Helper()
		if (decoded > 0) != want {
			t.Errorf("%s: decoded %v, want %v", what, decoded > 0, want)
		}
		decoded = 0
	}
	first := load(Reading{})
	was(true, "first")
	second := load(Reading{})
	was(false, "again")
	if fmt.Sprint(*first.Train, *first.Val, *first.Test, *first.Own, first.Name, first.Fingerprint, first.Converted) !=
		fmt.Sprint(*second.Train, *second.Val, *second.Test, *second.Own, second.Name, second.Fingerprint, second.Converted) {
		t.Errorf("the copy is another set: %+v, %+v", first, second)
	}
	load(Reading{Size: 8})
	was(true, "another size")
	load(Reading{})
	was(false, "the first again")
	late := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "train", "cat", "1.png"), late, late); err != nil {
		t.Fatal(err)
	}
	load(Reading{})
	was(true, "a file's time")
	if _, err := VerifyOwn(context.Background(), dir, Reading{}, opt); err != nil {
		t.Fatal(err)
	}
	was(true, "verified")
	copies, err := OwnCopies(opt)
	if err != nil || len(copies) != 2 || copies[0].Path != dir || copies[0].Name != OwnName(dir) {
		t.Errorf("copies %+v, %v", copies, err)
	}
	for _, c := range copies {
		if err := os.Truncate(c.File, 300); err != nil {
			t.Fatal(err)
		}
	}
	load(Reading{})
	was(true, "a damaged copy")
}

// TestOwnDataBeyondMemory: images that do not fit are refused with the numbers before they are read.
func TestOwnDataBeyondMemory(t *testing.T) {
	defer func(m func() int64) { engine.Memory = m }(engine.Memory)
	engine.Memory = func() int64 { return 3000 }
	_, err := read(t, ownImages("", 12, 10, 10, "cat", "dog").folder(t.TempDir()), Reading{})
	if err == nil || !strings.Contains(err.Error(), "images of 10x10 pixels in 3 channels") ||
		!strings.Contains(err.Error(), "of memory") {
		t.Errorf("error %v", err)
	}
}

func TestOwnName(t *testing.T) {
	for path, want := range map[string]string{"/data/pets": "pets", "/data/pets.tar.gz": "pets",
		"x/My Pets (2).ZIP": "My-Pets--2",
		"/a/cifar10":        "own-cifar10", "/": "images", "/a/.hidden": "hidden", "/a/Bär": "Bär",
		"/a/" + strings.Repeat("é", 50): strings.Repeat("é", 30)} {
		if got := OwnName(path); got != want {
			t.Errorf("%s is called %q, want %q", path, got, want)
		}
	}
	for name, want := range map[string]bool{"cifar10": false, "synthetic-digits": false, "": false, "nosuchset": false,
		"./nosuchset": true, "testdata": true, ".": true} {
		if IsOwn(name) != want {
			t.Errorf("IsOwn(%q) is %v", name, !want)
		}
	}
}

// TestOwnDataCanBeInterrupted: an interrupt is no error of a file.
func TestOwnDataCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Read(ctx, ownImages("", 8, 6, 5, "cat", "dog").folder(t.TempDir()), Reading{}, Options{Cache: t.TempDir()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// FuzzOwnData: whatever the archive, there is an error or whole sets.
func FuzzOwnData(f *testing.F) {
	f.Add(ownImages("train/", 2, 3, 2, "cat", "dog").and(ownImages("test/", 1, 3, 2, "cat", "dog")).tar(false))
	f.Add(ownImages("", 8, 3, 2, "cat", "dog").zip())
	f.Add(zip(idxFiles("train-*-idx3-ubyte", "t10k-*-idx3-ubyte", 6, 1).tar(false)))
	f.Add(tree{"data_batch_1": []byte("\x80\x02}.")}.tar(false))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := file(t, "f", b)
		for _, as := range []Reading{{}, {Size: 4, SkipDamaged: true}} {
			tree, err := lookOwn(context.Background(), path)
			if err != nil {
				return
			}
			ds, err := tree.read(context.Background(), path, as, Options{})
			if err != nil {
				continue
			}
			for _, s := range ds.sets() {
				if s.N < 1 || len(s.Pixels) != s.N*s.H*s.W*s.C || len(s.Labels) != s.N ||
					int(slices.Max(s.Labels)) >= len(s.Classes) {
					t.Errorf("a set of %d images, %dx%dx%d, has %d values and %d labels", s.N, s.H, s.W, s.C, len(s.Pixels),
						len(s.Labels))
				}
			}
		}
	})
}

// FuzzImage: whatever the file, there is an error or an image.
func FuzzImage(f *testing.F) {
	for _, img := range [][]byte{pngOf(rgb(3, 4, 1)), jpegOf(rgb(9, 9, 2)), []byte("GIF89a"), []byte("BM"),
		[]byte("RIFF\x10\x00\x00\x00WEBPVP8 \x00\x00\x00\x00")} {
		f.Add(img)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHeader(b)
		if err != nil || h.Width*h.Height > 1<<20 { // large ones take long, not more memory than they say
			return
		}
		_, _, _ = fitImage(b, shape{5, 4, 1, true}, make([]uint8, 20))
	})
}
