package data

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/kernel"
)

// TestFolderInAnyShape: with parts and without, with classes and without, in a folder or an archive.
func TestFolderInAnyShape(t *testing.T) {
	img := func(seed uint8) []byte { return pngOf(rgb(32, 32, seed)) }
	parts := tree{"notes.txt": []byte("passed over"), "x/train/cat/a.png": img(1), "x/train/dog/a.png": img(2),
		"x/train/dog/.b.png": []byte("passed over"), "x/test/emu/c.png": img(3)}
	for name, tc := range map[string]struct {
		tree        tree
		train, test int
		classes     []string
	}{
		"parts with classes": {parts, 2, 1, []string{"cat", "dog", "emu"}},
		"parts without classes": {tree{"train/a.png": img(1), "train/b.png": img(2), "test/a.jpg": jpegOf(rgb(32, 32, 3))}, 2,
			1, []string{"images"}},
		"one part":            {tree{"test/cat/a.png": img(1), "test/dog/b.png": img(2)}, 2, 2, []string{"cat", "dog"}},
		"some outside a part": {parts.with("d.png", img(4)), 4, 4, []string{"cat", "dog", "emu", "images"}},
		"classes": {tree{"cat/a.png": img(1), "cat/b.png": img(2), "dog/a.png": img(1)}, 3, 3,
			[]string{"cat", "dog"}},
		"no classes": {tree{"a.png": img(1), "b.PNG": img(2), "c.jpeg": jpegOf(rgb(32, 32, 3)),
			"Thumbs.db": []byte("passed over")}, 3, 3, []string{"images"}},
	} {
		want := ""
		for _, path := range []string{tc.tree.folder(t.TempDir()), file(t, "pets.tar", tc.tree.tar(true)),
			file(t, "pets.tgz", zip(tc.tree.tar(false)))} {
			ds, err := Folder(context.Background(), "pets", path, nil, Options{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if ds.Train.N != tc.train || ds.Test.N != tc.test {
				t.Errorf("%s: %d + %d images, want %d + %d", name, ds.Train.N, ds.Test.N, tc.train, tc.test)
			}
			if !slices.Equal(ds.Test.Classes, tc.classes) {
				t.Errorf("%s: classes %v, want %v", name, ds.Test.Classes, tc.classes)
			}
			if ds.Name != "pets" || ds.Source != path {
				t.Errorf("%s: it is called %q, from %q, want pets from %q", name, ds.Name, ds.Source, path)
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

// TestFolderMistakes: one line with the file and what to do.
func TestFolderMistakes(t *testing.T) {
	good := pngOf(rgb(32, 32, 1))
	for name, tc := range map[string]struct {
		tree tree
		want []string
	}{
		"too large": {tree{"a.png": good, "cat/b.png": pngOf(image.NewGray(image.Rect(0, 0, 1, 8193)))},
			[]string{"cat/b.png: is 1x8193 pixels, want 1x1 to 8192x8192"}},
		"damaged": {tree{"a.png": good[:100]}, []string{"a.png: the image"}},
		"a text":  {tree{"a.png": []byte("<html>")}, []string{"a.png: is not a PNG, JPEG, WebP, BMP or GIF image"}},
		"nothing": {tree{"a.txt": []byte("hello")}, []string{"holds no images (png, jpg, jpeg, webp, bmp, gif)"}},
	} {
		path := file(t, "pets.tar", tc.tree.tar(false))
		_, err := Folder(context.Background(), "pets", path, nil, Options{})
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "\n") {
			t.Fatalf("%s: error %v, want one line that begins with the path", name, err)
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %v, want one with %q", name, err, w)
			}
		}
	}
	if _, err := Folder(context.Background(), "pets", filepath.Join(t.TempDir(), "nowhere"), nil, Options{}); err == nil ||
		!strings.Contains(err.Error(), "nowhere") {
		t.Errorf("no folder: %v", err)
	}
}

// TestTexturesAreMadeToFit: photographs of any size and kind, the middle of each scaled without aliasing.
func TestTexturesAreMadeToFit(t *testing.T) {
	stripes := image.NewGray(image.Rect(0, 0, 320, 640)) // one pixel white, one black; above and below all white
	for y := range 640 {
		for x := range 320 {
			if y < 160 || y >= 480 || x%2 == 0 {
				stripes.Pix[y*stripes.Stride+x] = 255
			}
		}
	}
	halves := image.NewRGBA(image.Rect(0, 0, 100, 40)) // red, with blue at both ends, which are cut off
	for y := range 40 {
		for x := range 100 {
			o := halves.Pix[halves.PixOffset(x, y):][:4]
			o[3] = 255
			if x >= 30 && x < 70 {
				o[0] = 255
			} else {
				o[2] = 255
			}
		}
	}
	files := tree{"dtd/images/banded/a.jpg": jpegOf(stripes), "dtd/images/dotted/b.png": pngOf(halves),
		"dtd/labels/train1.txt": []byte("passed over"), "dtd/imdb/imdb.mat": []byte("passed over")}
	train, test, err := readTextures(context.Background(), file(t, "dtd.tar.gz", zip(files.tar(false))), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if train.N != 2 || test.N != 2 || !slices.Equal(test.Classes, []string{"banded", "dotted"}) {
		t.Fatalf("%d + %d images of %v", train.N, test.N, test.Classes)
	}
	for i, l := range test.Labels {
		for j, v := range test.Pixels[i*3*32*32:][:3*32*32] {
			grey, red := l == 0 && v > 112 && v < 143, l == 1 && v == []uint8{255, 0, 0}[j%3]
			x, y := j/3%32, j/3/32
			if edge := x == 0 || x == 31 || y == 0 || y == 31; !grey && !red && !edge {
				t.Fatalf("class %d, value %d at %d,%d", l, v, x, y)
			}
		}
	}
}

// TestFolderMakesImagesFit: of any kind and size, counted by what was done, in a folder and in an archive alike.
func TestFolderMakesImagesFit(t *testing.T) {
	deep := image.NewGray16(image.Rect(0, 0, 32, 32))
	for i := range deep.Pix {
		deep.Pix[i] = []uint8{77, 200}[i%2] // of 16 bits the higher 8 count
	}
	files := tree{
		"plain.png":     pngOf(rgb(32, 32, 1)),
		"photo.jpg":     jpegOf(rgb(50, 90, 2)),
		"grey.png":      pngOf(image.NewGray(image.Rect(0, 0, 40, 32))),
		"palette.png":   pngOf(image.NewPaletted(image.Rect(0, 0, 32, 32), color.Palette{color.Black, color.White})),
		"alpha.png":     pngOf(image.NewNRGBA(image.Rect(0, 0, 32, 32))),
		"deep/16.png":   pngOf(deep),
		"deep/alph.png": pngOf(image.NewNRGBA64(image.Rect(0, 0, 32, 32))),
	}
	const want = "2 of another size, 1 grey, 1 with a palette, 1 with alpha, which is dropped, 2 of 16 bits"
	for _, path := range []string{files.folder(t.TempDir()), file(t, "pets.tgz", zip(files.tar(false)))} {
		ds, err := Folder(context.Background(), "pets", path, nil, Options{Say: t.Errorf})
		if err != nil {
			t.Fatal(err)
		}
		if ds.Test.N != 7 || ds.Converted != want {
			t.Errorf("%d images; %s\nwant 7; %s", ds.Test.N, ds.Converted, want)
		}
		found := false
		for i := range ds.Test.N {
			found = found || bytes.Equal(ds.Test.Pixels[i*3072:][:3072], bytes.Repeat([]byte{77}, 3072))
		}
		if !found {
			t.Error("no image has the higher bytes of deep/16.png")
		}
	}
	ds, err := Folder(context.Background(), "pets", tree{"plain.png": files["plain.png"]}.folder(t.TempDir()), nil,
		Options{Say: t.Errorf})
	if err != nil || ds.Converted != "" {
		t.Errorf("an image that fits: %q, %v", ds.Converted, err)
	}
}

// TestWhatIsPassedOver: what is passed over is counted in one line, the same for a folder and an archive, and
// what systems put beside the user's files stands in nobody's way.
func TestWhatIsPassedOver(t *testing.T) {
	img := pngOf(rgb(32, 32, 1))
	files := tree{
		"cat/a.png": img, "cat/b.tiff": img, "cat/c.TIFF": img, "notes.txt": img, "cat/LICENSE": img, "cat/x.a-b": img,
		"cat/.DS_Store": img, "cat/._a.png": img, "cat/Thumbs.db": img, "desktop.ini": img, "__MACOSX/cat/a.png": img, "__MACOSX/b.png": img, ".git/HEAD": img, ".git/a.png": img,
	}
	const want = ": passed over: 2 .tiff, 1 .txt, 2 of other kinds, 6 hidden or of the operating system"
	for _, path := range []string{files.folder(t.TempDir()), file(t, "pets.tar", files.tar(false)),
		file(t, "pets.tgz", zip(files.tar(true)))} {
		var said []string
		ds, err := Folder(context.Background(), "pets", path, nil, Options{Say: func(format string,
			args ...any) {
			said = append(said, fmt.Sprintf(format, args...))
		}})
		if err != nil || ds.Test.N != 1 {
			t.Fatalf("%+v, %v", ds, err)
		}
		if !slices.Equal(said, []string{path + want}) {
			t.Errorf("said %q, want %q", said, path+want)
		}
	}
}

// TestFolderFollowsLinks, of classes and of images, as torchvision does; each image once, though links lead back.
func TestFolderFollowsLinks(t *testing.T) {
	elsewhere, dir := t.TempDir(), filepath.Join(t.TempDir(), "pets")
	img := func(seed uint8) []byte { return pngOf(rgb(32, 32, seed)) }
	tree{"a.png": img(1), "b.png": img(2)}.folder(filepath.Join(elsewhere, "dogs"))
	tree{"cat/a.png": img(3), "cat/b.png": img(4)}.folder(dir)
	for name, target := range map[string]string{
		"dog":         filepath.Join(elsewhere, "dogs"),          // a class
		"cat/c.png":   filepath.Join(elsewhere, "dogs", "a.png"), // an image
		"cat/d.png":   "a.png",                                   // one beside it
		"cat/up":      "..",                                      // the folder itself
		"cat/further": filepath.Join("..", ".."),                 // one that it lies in
		"notes.txt":   filepath.Join(elsewhere, "dogs", "a.png"), // passed over by its name
	} {
		if err := os.Symlink(target, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Skipf("this system lets nobody make a symbolic link: %v", err)
		}
	}
	var said []string
	opt := Options{Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
	ds, err := Folder(context.Background(), "pets", dir, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	if ds.Test.N != 6 || !slices.Equal(ds.Test.Classes, []string{"cat", "dog"}) {
		t.Errorf("%d images of %v, want 6 of cat and dog", ds.Test.N, ds.Test.Classes)
	}
	if want := []string{dir + ": passed over: 1 .txt, 2 linked back to a folder above"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	for _, name := range []string{"bird", "cat/e.png"} { // a class may be missing, or an image
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.Symlink(filepath.Join(elsewhere, "none"), at); err != nil {
			t.Fatal(err)
		}
		if _, err := Folder(context.Background(), "pets", dir, nil, Options{}); err == nil ||
			!strings.Contains(err.Error(), dir+": "+name+" is a link that leads nowhere") {
			t.Errorf("error %v, want one that names %s", err, name)
		}
		if err := os.Remove(at); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLinksOfAnArchive are never followed: a class that is one would be missing without a word.
func TestLinksOfAnArchive(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "pets/dog", Typeflag: tar.TypeSymlink, Linkname: "/home/dogs"})
	w.Flush()
	path := file(t, "pets.tar", append(b.Bytes(), tree{"pets/cat/a.png": pngOf(rgb(32, 32, 1))}.tar(false)...))
	if _, err := Folder(context.Background(), "pets", path, nil, Options{}); err == nil ||
		!strings.Contains(err.Error(),
			path+": pets/dog is a link, and those of an archive are not followed; pack what it leads to") {
		t.Errorf("error %v", err)
	}
}

// TestFakeIsUniformNoise that depends on the seed and the image alone.
func TestFakeIsUniformNoise(t *testing.T) {
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	kernel.SetThreads(1)
	few := Fake(50, 7, nil)
	kernel.SetThreads(3)
	many := Fake(400, 7, nil)
	if !slices.Equal(few.Pixels, many.Pixels[:len(few.Pixels)]) {
		t.Error("the first images depend on how many there are, or on the threads")
	}
	if other := Fake(50, 8, nil); slices.Equal(few.Pixels[:3072], other.Pixels[:3072]) {
		t.Error("another seed gave the same noise")
	}
	if n := len(Overlap(All(many), All(many))); n != many.N {
		t.Fatalf("%d matches with itself", n)
	}
	var count [256]int
	for _, p := range many.Pixels {
		count[p]++
	}
	want, square := float64(len(many.Pixels))/256, 0.0
	for _, c := range count {
		square += (float64(c) - want) * (float64(c) - want) / want
	}
	if square < 170 || square > 350 { // chi-squared of 255 degrees of freedom: 255 ± 4.2 deviations
		t.Errorf("chi-squared %.0f: the values are not uniform", square)
	}
}

// TestOverlap finds an image under another label, and the first of two that are the same.
func TestOverlap(t *testing.T) {
	a, b := Fake(6, 1, nil), Fake(5, 2, nil)
	copy(a.Pixels[4*3072:5*3072], a.Pixels[2*3072:3*3072])
	copy(b.Pixels[3*3072:4*3072], a.Pixels[2*3072:3*3072])
	copy(b.Pixels[1*3072:2*3072], a.Pixels[5*3072:])
	if got := Overlap(All(a), All(b)); !slices.Equal(got, []Match{{5, 1}, {2, 3}}) {
		t.Errorf("%v", got)
	}
	if got := Overlap(Subset{a, []int32{4, 0}}, All(b)); !slices.Equal(got, []Match{{4, 3}}) {
		t.Errorf("of a part: %v", got)
	}
	b.Pixels[3*3072]++
	if got := Overlap(All(a), All(b).First(4)); !slices.Equal(got, []Match{{5, 1}}) {
		t.Errorf("with another pixel: %v", got)
	}
}

// TestPeople reads the real set. Of the four pictures that occur twice, one does in the training set, one in the test
// set, two in both.
func TestPeople(t *testing.T) {
	path := filepath.Join(os.Getenv("DLA_DATA"), "cifar100_people", "cifar100-people-png.tar.gz")
	if _, err := os.Stat(path); os.Getenv("DLA_DATA") == "" || err != nil {
		t.Skip("DLA_DATA is not set or has no cifar100_people")
	}
	opt := Options{Cache: t.TempDir(), Offline: true, Say: t.Errorf}
	for range 2 { // from the archive, then from the decoded copy
		ds, err := Load(context.Background(), "cifar100-people", opt)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Lookup("cifar100-people")
		if err != nil || ds.Fingerprint != e.Fingerprint {
			t.Errorf("fingerprint %s, %v", ds.Fingerprint, err)
		}
		d, err := Describe("cifar100-people")
		if err != nil {
			t.Fatal(err)
		}
		got := [4]int{ds.Train.N, ds.Test.N, len(ds.Train.Classes), ds.Test.H}
		if want := [4]int{d.Train, d.Test, d.Classes, d.H}; got != want {
			t.Errorf("train, test, classes and height are %v, described as %v", got, want)
		}
		for part, want := range map[*Set]int{ds.Train: 1, ds.Test: 1} {
			twice, seen := 0, map[[32]byte]int32{}
			for i := range part.N {
				h := part.Hash(i)
				if l, ok := seen[h]; ok {
					twice++
					if l == part.Labels[i] {
						t.Errorf("image %d occurs twice with one label", i)
					}
				}
				seen[h] = part.Labels[i]
			}
			if twice != want {
				t.Errorf("of %d images %d occur twice, want %d", part.N, twice, want)
			}
		}
		if both := Overlap(All(ds.Train), All(ds.Test)); len(both) != 2 {
			t.Errorf("training and test set share %v, want two", both)
		}
	}
	// The same images as a folder of outliers.
	ds, err := Folder(context.Background(), "people", path, nil, Options{})
	if err != nil || ds.Train.N != 2500 || ds.Test.N != 500 {
		t.Errorf("as a folder: %+v, %v", ds, err)
	}
}
