package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCIFAROrigins: whatever the form, each image is that of the place or of the file it is said to be from.
func TestCIFAROrigins(t *testing.T) {
	binary, images := smallCIFAR()
	train, test, err := readCIFAR(context.Background(), file(t, "b.tar.gz", zip(binary.tar(true))), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if !train.Reordered() || len(train.Published) != 200 || len(test.Published) != 20 || train.Files != nil {
		t.Fatalf("%d and %d places", len(train.Published), len(test.Published))
	}
	for part, s := range []*Set{train, test} {
		var records []byte // those of the training batches, one after the other, as torchvision counts
		names := cifarBatches[:5]
		if part == 1 {
			names = cifarBatches[5:]
		}
		for _, name := range names {
			records = append(records, binary["cifar-10-batches-bin/"+name]...)
		}
		for i := range s.N {
			r := records[int(s.Published[i])*cifarRecord:][:cifarRecord]
			px := s.Pixels[i*3*cifarPlane:][:3*cifarPlane]
			if int32(r[0]) != s.Labels[i] || r[1] != px[0] || r[1+cifarPlane] != px[1] || r[cifarRecord-1] != px[len(px)-1] {
				t.Fatalf("part %d: image %d is not the published number %d", part, i, s.Published[i])
			}
		}
	}
	if want := fmt.Sprintf("published number %d (%s)", test.Published[3],
		test.Classes[test.Labels[3]]); test.ImageName(3) != want {
		t.Errorf("it is called %q, want %q", test.ImageName(3), want)
	}

	for _, below := range []string{"", "cifar10/"} {
		deeper := tree{}
		for name, b := range images {
			deeper[below+name] = b
		}
		train, test, err = readCIFAR(context.Background(), file(t, "i.tar", deeper.tar(true)), quiet)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Set{train, test} {
			if len(s.Files) != s.N || s.Published != nil {
				t.Fatalf("%d files of %d images", len(s.Files), s.N)
			}
			px := make([]uint8, 3*cifarPlane)
			for i, name := range s.Files {
				if err := decodeImage(images[name], 32, 32, px); err != nil || !bytes.Equal(px, s.Pixels[i*len(px):][:len(px)]) ||
					path.Base(path.Dir(name)) != s.Classes[s.Labels[i]] {
					t.Fatalf("image %d is not that of %s: %v", i, name, err)
				}
			}
		}
		if test.ImageName(3) != test.Files[3] {
			t.Errorf("it is called %q, want %q", test.ImageName(3), test.Files[3])
		}
	}
}

// TestCopiesKeepThePublishedOrder: images that are the same come in one order each time.
func TestCopiesKeepThePublishedOrder(t *testing.T) {
	px := []uint8{1, 2, 3}
	for range 20 {
		var all []picture
		for _, at := range []int32{4, 1, 3, 0, 2} {
			all = append(all, picture{pixels: px, at: at})
		}
		sortPictures(all)
		if s := gather(all, []string{"a"}, shape{h: 1, w: 1, c: 3},
			func(picture) bool { return true }); !slices.Equal(s.Published,
			[]int32{0, 1, 2, 3, 4}) || s.Reordered() {
			t.Fatalf("places %v", s.Published)
		}
	}
}

// TestWritePlaces: what is known, and no more.
func TestWritePlaces(t *testing.T) {
	s := &Set{N: 3, Labels: []int32{7, 0, 2}}
	for want, o := range map[string]Origin{
		"index,label,published\n0,2,1\n1,7,5\n":            {Published: []int32{5, 0, 1}},
		"index,label,file\n0,2,\"c,d.png\"\n1,7,a/b.png\n": {Files: []string{"a/b.png", "x", "c,d.png"}},
	} {
		s.Origin = o
		var b strings.Builder
		if err := WritePlaces(&b, Subset{s, []int32{2, 0}}.Places()); err != nil || b.String() != want {
			t.Errorf("%q, want %q; %v", b.String(), want, err)
		}
	}
	text := &Sentences{Classes: polarityClasses, Labels: []int32{0, 0, 0, 1, 1}}
	var b strings.Builder
	if err := WritePlaces(&b, text.Places([]int32{2, 4})); err != nil ||
		b.String() != "index,label,published,file\n0,0,2,rt-polarity.neg\n1,1,1,rt-polarity.pos\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	if inOrder(4).Reordered() || !inOrder(4).Known() || (Origin{}).Known() || (Origin{}).Reordered() {
		t.Error("the published order is no other order, and nothing is known of none")
	}
}

// TestDecodedCopyKeepsOrigins: from each form, loaded again. The copy of a form that knows less is made anew,
// one with places is not, and one that an earlier version made is read where there is nothing else.
func TestDecodedCopyKeepsOrigins(t *testing.T) {
	e, binary, images, decoded := smallEntry(t)
	e.Forms[0].ordered = true
	roots := map[string]string{}
	for form, content := range map[string]map[string][]byte{
		"binary": {"binary.tar.gz": zip(binary.tar(false))},
		"png":    {"png.tar.gz": zip(images.tar(false))},
	} {
		roots[form] = t.TempDir()
		if err := os.Rename(fill(t, content), filepath.Join(roots[form], e.Folder)); err != nil {
			t.Fatal(err)
		}
	}
	cache := t.TempDir()
	copyPath := e.decodedPath(filepath.Join(cache, e.Folder))
	load := func(form string, times int, places, files bool) *Dataset {
		t.Helper()
		ds, err := loadSmall(t, e, Options{Dir: roots[form], Cache: cache, Say: t.Errorf})
		if err != nil {
			t.Fatal(err)
		}
		if *decoded != times || (ds.Train.Published != nil) != places || (ds.Test.Files != nil) != files {
			t.Fatalf("%s: decoded %d times, want %d; places %v, files %v", form, *decoded, times, ds.Train.Published != nil,
				ds.Test.Files != nil)
		}
		return ds
	}
	*decoded = 0
	first := load("png", 1, false, true)
	if again := load("png", 1, false, true); !slices.Equal(first.Train.Files, again.Train.Files) ||
		!slices.Equal(first.Test.Files, again.Test.Files) {
		t.Error("other files")
	}
	first = load("binary", 2, true, false)
	if again := load("binary", 2, true, false); !slices.Equal(first.Train.Published, again.Train.Published) ||
		!slices.Equal(first.Test.Published, again.Test.Published) {
		t.Error("other places")
	}
	load("png", 2, true, false)

	// The first version's file is the second's without origins.
	b, err := os.ReadFile("testdata/decoded1")
	if err != nil {
		t.Fatal(err)
	}
	old := smallDataset()
	at := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(at, b, 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := readDecoded(at, anything)
	if err != nil || kept.Fingerprint != old.Fingerprint || !bytes.Equal(kept.Train.Pixels, old.Train.Pixels) ||
		kept.Test.Known() {
		t.Errorf("a copy of the first version: %v", err)
	}
	if err := os.WriteFile(copyPath, b, 0o600); err != nil {
		t.Fatal(err)
	}
	e.Fingerprint = old.Fingerprint
	if ds, err := loadSmall(t, e, Options{Dir: t.TempDir(), Cache: cache}); err != nil ||
		ds.Fingerprint != old.Fingerprint {
		t.Errorf("an import of the first version: %v", err)
	}
	e.Forms[1].read = func(context.Context, string, func(n, total int64)) (*Set, *Set, error) {
		return nil, nil, errors.New("read")
	}
	if _, err := loadSmall(t, e, Options{Dir: roots["png"], Cache: cache}); err == nil || err.Error() != "read" {
		t.Errorf("a copy of the first version was taken where the form could be decoded: %v", err)
	}
}
