package data

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dla/internal/atomicfile"
)

// smallDataset has 6 + 2 images of 2x2x3.
func smallDataset() *Dataset {
	set := func(n int) *Set {
		s := &Set{N: n, H: 2, W: 2, C: 3, Pixels: make([]uint8, n*12), Labels: make([]int32, n),
			Classes: []string{"cat", "dog"}}
		for i := range s.Pixels {
			s.Pixels[i] = uint8(i * n)
		}
		for i := range s.Labels {
			s.Labels[i] = int32(i % 2)
		}
		return s
	}
	ds := &Dataset{Train: set(6), Test: set(2)}
	ds.Train.Published, ds.Test.Published = []int32{3, 4, 5, 0, 2, 1}, []int32{1, 0}
	ds.Fingerprint = fingerprint(ds.Train, ds.Test)
	return ds
}

func anything(decodedHeader) bool { return true }

func TestDecodedCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "x.decoded")
	ds := smallDataset()
	if err := writeDecoded(path, "there", 0o666, ds); err != nil {
		t.Fatal(err)
	}
	kept, err := readDecoded(path, func(h decodedHeader) bool { return h.Source == "there" })
	if err != nil || kept.Fingerprint != ds.Fingerprint {
		t.Fatalf("%+v, error %v", kept, err)
	}
	for i, s := range kept.sets() {
		want := []*Set{ds.Train, ds.Test}[i]
		if fmt.Sprint(*s) != fmt.Sprint(*want) {
			t.Errorf("read %v\nwant %v", *s, *want)
		}
	}
	if _, err := readDecoded(path, func(h decodedHeader) bool { return h.Source == "elsewhere" }); err == nil {
		t.Error("a copy of another source was taken")
	}
}

// TestDamagedDecodedCopy: a copy that is cut anywhere, has any bit turned or something appended is not
// taken, and none takes memory for what it claims.
func TestDamagedDecodedCopy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.decoded")
	if err := writeDecoded(path, "", 0o666, smallDataset()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readDecoded(path, anything)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file", what, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%s: %d MiB were allocated", what, grown>>20)
		}
	}
	for n := range good {
		try(fmt.Sprintf("cut to %d", n), good[:n])
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 8)
		try(fmt.Sprintf("a bit of byte %d turned", i), b)
	}
	try("a byte appended", append(bytes.Clone(good), 0))
	sets := len(good) - 2*16 - 8*(12+4)
	for i := range 4 { // each dimension of the training set
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[sets+4*i:], 0xffffffff)
		try(fmt.Sprintf("dimension %d of 4 billion", i), b)
	}
}

// TestLabelsOfADecodedCopy: a copy whose checksum is right and whose labels are not is not taken.
func TestLabelsOfADecodedCopy(t *testing.T) {
	ds := smallDataset()
	ds.Test.Labels[1] = 2
	ds.Fingerprint = fingerprint(ds.Train, ds.Test)
	path := filepath.Join(t.TempDir(), "x")
	if err := writeDecoded(path, "", 0o666, ds); err != nil {
		t.Fatal(err)
	}
	if _, err := readDecoded(path, anything); err == nil || !strings.Contains(err.Error(), "label 2 of 2 classes") {
		t.Errorf("error %v", err)
	}
	ds = smallDataset()
	ds.Test.Published = ds.Test.Published[:1]
	if err := writeDecoded(path, "", 0o666, ds); err != nil {
		t.Fatal(err)
	}
	if _, err := readDecoded(path, anything); err == nil ||
		!strings.Contains(err.Error(), "1 places and 0 files of 2 images") {
		t.Errorf("error %v", err)
	}
}

// smallEntry is smallCIFAR as a catalogue lists it, and how often it was decoded.
func smallEntry(t *testing.T) (e Entry, binary, images tree, decoded *int) {
	t.Helper()
	binary, images = smallCIFAR()
	train, test, err := readCIFAR(context.Background(), file(t, "small.tar", binary.tar(false)), quiet)
	if err != nil {
		t.Fatal(err)
	}
	decoded = new(int)
	read := func(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
		*decoded++
		return readCIFAR(ctx, path, done)
	}
	return Entry{Name: "small", Folder: "small", Fingerprint: fingerprint(train, test), Forms: []Form{
		{Name: "binary", Files: []File{published("binary.tar.gz", zip(binary.tar(false)))}, read: read, slow: true},
		{Name: "png", Files: []File{published("png.tar.gz", zip(images.tar(false)))}, read: read, slow: true},
		{Name: "unpacked binary", Folder: "cifar-10-batches-bin", read: read, slow: true},
		{Name: "unpacked images", Folder: "train", read: read, slow: true},
	}}, binary, images, decoded
}

// loadSmall locates and loads e.
func loadSmall(t *testing.T, e Entry, opt Options) (*Dataset, error) {
	t.Helper()
	opt.Offline = true
	at, err := e.locate(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return at.load(context.Background(), opt)
}

// TestFormsAreLoadedAndKept: each form is found in $DLA_DATA, decoded once and then read from its
// copy; a copy that is damaged or of another set is replaced without a word.
func TestFormsAreLoadedAndKept(t *testing.T) {
	e, binary, images, decoded := smallEntry(t)
	for form, dir := range map[string]string{
		"binary":          fill(t, map[string][]byte{"binary.tar.gz": zip(binary.tar(false)), "png.tar.gz": nil}),
		"png":             fill(t, map[string][]byte{"png.tar.gz": zip(images.tar(false)), "cifar10-images.tar.gz": nil}),
		"unpacked binary": binary.folder(t.TempDir()),
		"unpacked images": images.folder(t.TempDir()),
	} {
		t.Run(form, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Rename(dir, filepath.Join(root, e.Folder)); err != nil {
				t.Fatal(err)
			}
			opt := Options{Dir: root, Cache: t.TempDir(), Say: t.Errorf}
			copyPath := e.decodedPath(filepath.Join(opt.Cache, e.Folder))
			*decoded = 0
			load := func(times int) {
				t.Helper()
				ds, err := loadSmall(t, e, opt)
				if err != nil || ds.Fingerprint != e.Fingerprint || ds.Source != "$DLA_DATA, "+form || *decoded != times {
					t.Fatalf("%+v, error %v, decoded %d times, want %d", ds, err, *decoded, times)
				}
			}
			load(1)
			load(1)
			for i, damage := range []func() error{
				func() error { return os.Truncate(copyPath, 5000) },
				func() error { return writeDecoded(copyPath, "another", 0o666, smallDataset()) },
				func() error {
					b, err := os.ReadFile(copyPath)
					b[len(b)/2]++
					return errors.Join(err, os.WriteFile(copyPath, b, 0o600))
				},
				func() error { return os.Remove(copyPath) },
			} {
				if err := damage(); err != nil {
					t.Fatal(err)
				}
				load(i + 2)
			}
			load(5)
		})
	}
}

// TestUnpackedFolderOfOtherImages: without checksums, the content tells.
func TestUnpackedFolderOfOtherImages(t *testing.T) {
	e, _, images, _ := smallEntry(t)
	root := t.TempDir()
	images.with("train/cat/0_1.png", nil).folder(filepath.Join(root, e.Folder))
	_, err := loadSmall(t, e, Options{Dir: root, Cache: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "holds 199 + 20 images that are not the published ones of small") {
		t.Errorf("error %v", err)
	}
	at, found, err := e.Find(Options{Dir: root, Cache: t.TempDir()})
	if !found || err != nil || !at.Unpacked() || at.Check() != nil {
		t.Fatalf("found %v, unpacked %v, check %v, error %v", found, at.Unpacked(), at.Check(), err)
	}
	if err := at.Verify(context.Background(), nil); err == nil ||
		!strings.Contains(err.Error(), "not the published ones") {
		t.Errorf("verify: error %v", err)
	}
}

// TestDamagedArchive: it is read, for it could be one that was packed anew, and what is wrong is said. Where there is
// no content to compare with, its checksum alone counts.
func TestDamagedArchive(t *testing.T) {
	e, binary, _, decoded := smallEntry(t)
	root := t.TempDir()
	b := zip(binary.tar(false))
	b[len(b)/2] ^= 1
	if err := os.Rename(fill(t, map[string][]byte{"binary.tar.gz": b}), filepath.Join(root, e.Folder)); err != nil {
		t.Fatal(err)
	}
	opt := Options{Dir: root, Cache: t.TempDir()}
	if _, err := loadSmall(t, e, opt); err == nil || !strings.Contains(err.Error(),
		"binary.tar.gz is damaged: its SHA-256 is not the published one; nor is its content the published one: ") {
		t.Errorf("error %v", err)
	}
	e.Fingerprint, *decoded = "", 0
	if _, err := loadSmall(t, e, opt); err == nil || !strings.HasSuffix(err.Error(),
		"binary.tar.gz is damaged: its SHA-256 is not the published one") || *decoded != 0 {
		t.Errorf("without a fingerprint: decoded %d times, error %v", *decoded, err)
	}
}

// TestArchivePackedAnew: an archive under a published name with the published content is the set, in whatever
// packing, also one made on a Mac; it is found, verified and imported. One with other images is not.
func TestArchivePackedAnew(t *testing.T) {
	e, binary, images, _ := smallEntry(t)
	mac := binary.with("cifar-10-batches-bin/._data_batch_1.bin",
		[]byte("Mac OS X")).with("cifar-10-batches-bin/._test_batch.bin", []byte("Mac OS X"))
	for name, content := range map[string]map[string][]byte{
		"plain":     {"binary.tar.gz": binary.tar(false)},
		"backwards": {"png.tar.gz": zip(images.tar(true))},
		"on a Mac":  {"binary.tar.gz": zip(mac.tar(false))},
		"other": {"binary.tar.gz": zip(binary.with("cifar-10-batches-bin/data_batch_2.bin",
			binary["cifar-10-batches-bin/data_batch_3.bin"]).tar(false))},
		"other, png": {"png.tar.gz": zip(images.with("train/cat/0_1.png", nil).tar(false))},
	} {
		t.Run(name, func(t *testing.T) {
			root, cache := t.TempDir(), t.TempDir()
			dir := filepath.Join(root, e.Folder)
			if err := os.Rename(fill(t, content), dir); err != nil {
				t.Fatal(err)
			}
			opt := Options{Dir: root, Cache: t.TempDir(), Say: t.Errorf}
			at, found, err := e.Find(opt)
			if !found || err != nil || at.Check() == nil || !at.Unchecked(at.Check()) {
				t.Errorf("found %v, %v; check %v", found, err, at.Check())
			}
			ds, loaded := loadSmall(t, e, opt)
			for what, err := range map[string]error{"verify": at.Verify(context.Background(), nil), "load": loaded,
				"import": e.Import(context.Background(), dir, filepath.Join(cache, e.Folder), nil)} {
				if strings.HasPrefix(name, "other") != (err != nil) || err != nil &&
					(!strings.Contains(err.Error(), "is damaged: ") || !strings.Contains(err.Error(),
						"images that are not the published ones of small")) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if loaded != nil {
				return
			}
			imported, err := loadSmall(t, e, Options{Dir: t.TempDir(), Cache: cache, Say: t.Errorf})
			if err != nil || ds.Fingerprint != e.Fingerprint || imported.Fingerprint != e.Fingerprint {
				t.Errorf("other content, %v", err)
			}
		})
	}
}

// TestUnwritableCache: the set is loaded all the same, and it is said once that this will take as long again.
func TestUnwritableCache(t *testing.T) {
	e, _, images, _ := smallEntry(t)
	root := t.TempDir()
	images.folder(filepath.Join(root, e.Folder))
	for name, fault := range map[string]func(t *testing.T, opt *Options){
		"a file in the way": func(t *testing.T, opt *Options) { opt.Cache = file(t, "cache", nil) },
		"a full disk": func(t *testing.T, _ *Options) {
			atomicfile.Fault = func(op, _ string) error {
				if op == "write" {
					return errors.New("no space left on device")
				}
				return nil
			}
		},
		"no cache folder": func(t *testing.T, opt *Options) {
			opt.Cache = ""
			for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
				t.Setenv(name, "")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { atomicfile.Fault = nil }()
			var said []string
			opt := Options{Dir: root, Cache: t.TempDir(), Say: func(format string,
				args ...any) {
				said = append(said, fmt.Sprintf(format, args...))
			}}
			fault(t, &opt)
			ds, err := loadSmall(t, e, opt)
			if err != nil || ds.Fingerprint != e.Fingerprint {
				t.Errorf("error %v", err)
			}
			if len(said) != 1 || !strings.Contains(said[0], "small will be decoded again the next time") {
				t.Errorf("said %q", said)
			}
		})
	}
}

// TestImportOfForms: an archive is copied whatever it is called, any other packing of the content is
// kept decoded, and what is another content is refused.
func TestImportOfForms(t *testing.T) {
	e, binary, images, _ := smallEntry(t)
	for name, tc := range map[string]struct {
		src  string
		want string // in the cache
	}{
		"archive":                {file(t, "renamed.tgz", zip(images.tar(false))), "png.tar.gz"},
		"folder with an archive": {fill(t, map[string][]byte{"binary.tar.gz": zip(binary.tar(false))}), "binary.tar.gz"},
		"other archive":          {file(t, "x.tar", binary.tar(true)), "small.decoded"},
		"image folder":           {images.folder(t.TempDir()), "small.decoded"},
		"binary folder":          {filepath.Join(binary.folder(t.TempDir()), "cifar-10-batches-bin"), "small.decoded"},
	} {
		t.Run(name, func(t *testing.T) {
			opt := Options{Dir: t.TempDir(), Cache: t.TempDir()}
			dir := filepath.Join(opt.Cache, e.Folder)
			if err := e.Import(context.Background(), tc.src, dir, nil); err != nil {
				t.Fatal(err)
			}
			if list, err := os.ReadDir(dir); err != nil || len(list) != 1 || list[0].Name() != tc.want {
				t.Errorf("the cache holds %v, want %s", list, tc.want)
			}
			at, found, err := e.Find(opt)
			if !found || err != nil || at.Check() != nil || at.Bytes() == 0 {
				t.Errorf("found %v, check %v, %d bytes, error %v", found, at.Check(), at.Bytes(), err)
			}
			if source, err := e.Pull(context.Background(), dir, nil); source != "" || err != nil {
				t.Errorf("pulled what is there from %q, error %v", source, err)
			}
			ds, err := loadSmall(t, e, opt)
			if err != nil || ds.Fingerprint != e.Fingerprint {
				t.Errorf("%+v, error %v", ds, err)
			}
		})
	}
	for name, src := range map[string]string{
		"not the published ones of small": images.with("train/cat/0_1.png", nil).folder(t.TempDir()),
		"holds no images":                 t.TempDir(),
		"neither a folder nor a zip":      file(t, "x", []byte("text")),
		"no such file":                    filepath.Join(t.TempDir(), "none"),
	} {
		dir := t.TempDir()
		if err := e.Import(context.Background(), src, dir, nil); err == nil || !strings.Contains(err.Error(), name) ||
			!strings.Contains(err.Error(), src) {
			t.Errorf("error %v, want one with the path and %q", err, name)
		}
		if list, _ := os.ReadDir(dir); len(list) != 0 {
			t.Errorf("%s: the cache holds %v", name, list)
		}
	}
	e.Forms, e.Fingerprint = e.Forms[:1], "" // like cifar10-jpeg
	if err := e.Import(context.Background(), file(t, "x", []byte("text")), t.TempDir(), nil); err == nil ||
		!strings.Contains(err.Error(), "is not the published binary.tar.gz") {
		t.Errorf("error %v", err)
	}
}

// TestDamagedImport: where a damaged copy is all there is, it is an error, and not taken for the set.
func TestDamagedImport(t *testing.T) {
	e, _, images, _ := smallEntry(t)
	opt := Options{Dir: t.TempDir(), Cache: t.TempDir()}
	dir := filepath.Join(opt.Cache, e.Folder)
	if err := e.Import(context.Background(), images.folder(t.TempDir()), dir, nil); err != nil {
		t.Fatal(err)
	}
	path := e.decodedPath(dir)
	if err := os.Truncate(path, 100000); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSmall(t, e, opt); err == nil || !strings.Contains(err.Error(), path+": truncated, or") {
		t.Errorf("error %v", err)
	}
	if _, err := e.Pull(context.Background(), dir, nil); !Nowhere(err) {
		t.Errorf("a damaged copy was taken for the set: error %v", err)
	}
}

// FuzzDecoded: whatever the file, an error or whole sets.
func FuzzDecoded(f *testing.F) {
	path := filepath.Join(f.TempDir(), "x")
	if err := writeDecoded(path, "there", 0o666, smallDataset()); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(decodedMagic + "\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, size, err := readDecodedHeader(r, int64(len(b)))
		if err != nil {
			return
		}
		if size != int64(r.Len()) {
			t.Errorf("%d bytes are said to be left, there are %d", size, r.Len())
		}
		ds, err := readSets(r, size, h)
		if err != nil {
			return
		}
		for _, s := range ds.sets() {
			if len(s.Pixels) != s.N*s.H*s.W*s.C || len(s.Labels) != s.N || int(slices.Max(s.Labels)) >= len(h.Classes) {
				t.Errorf("a set of %d images, %dx%dx%d, has %d values and %d labels", s.N, s.H, s.W, s.C, len(s.Pixels),
					len(s.Labels))
			}
		}
	})
}

// TestDecoderOfACopy: a copy of JPEGs is of the decoder that made it, one of other files of these alone.
func TestDecoderOfACopy(t *testing.T) {
	e, _, images, decoded := smallEntry(t)
	root, sum := t.TempDir(), e.Forms[1].Files[0].SHA256
	if err := os.Rename(fill(t, map[string][]byte{"png.tar.gz": zip(images.tar(false))}),
		filepath.Join(root, e.Folder)); err != nil {
		t.Fatal(err)
	}
	e.Forms, e.Fingerprint = e.Forms[1:2], "" // as cifar10-jpeg and textures, whose content has no published fingerprint
	for _, tc := range []struct {
		lossy  bool
		source string // of the copy that is there
		times  int    // that the set is decoded
	}{
		{false, sum, 0},
		{true, sum, 1},
		{true, sum + " by " + runtime.Version(), 1}, // colours of JPEGs were once repeated, not widened
		{true, sum + " by " + decoder, 0},
	} {
		e.Forms[0].lossy, *decoded = tc.lossy, 0
		opt := Options{Dir: root, Cache: t.TempDir(), Say: t.Errorf}
		if err := writeDecoded(e.decodedPath(filepath.Join(opt.Cache, e.Folder)), tc.source, 0o666,
			smallDataset()); err != nil {
			t.Fatal(err)
		}
		if _, err := loadSmall(t, e, opt); err != nil || *decoded != tc.times {
			t.Errorf("lossy %v, a copy of %q: decoded %d times, want %d; error %v", tc.lossy, tc.source, *decoded, tc.times, err)
		}
	}
}
