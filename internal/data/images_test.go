package data

import (
	"archive/tar"
	archivezip "archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dla/internal/kernel"
)

// rgb is a h x w image whose pixels follow from seed.
func rgb(h, w int, seed uint8) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)*7 + seed*13
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	return img
}

func pngOf(img image.Image) []byte {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func jpegOf(img image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// tree is files by name, as a folder or an archive holds them.
type tree map[string][]byte

// with is the tree with one more or another file; without nil content, one less.
func (t tree) with(name string, content []byte) tree {
	c := maps.Clone(t)
	if c[name] = content; content == nil {
		delete(c, name)
	}
	return c
}

func (t tree) folder(dir string) string {
	for name, b := range t {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, b, 0o600)); err != nil {
			panic(err)
		}
	}
	return dir
}

// tar is the tree as an archive, in the order of the names or in the opposite one.
func (t tree) tar(backwards bool) []byte {
	names := slices.Sorted(maps.Keys(t))
	if backwards {
		slices.Reverse(names)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755})
	for _, name := range names {
		w.WriteHeader(&tar.Header{Name: name, Size: int64(len(t[name])), Mode: 0o644})
		w.Write(t[name])
	}
	w.Close()
	return b.Bytes()
}

// zip is the tree as a zip archive.
func (t tree) zip() []byte {
	var b bytes.Buffer
	w := archivezip.NewWriter(&b)
	w.Create("train/")
	for _, name := range slices.Sorted(maps.Keys(t)) {
		f, err := w.Create(name)
		if err != nil {
			panic(err)
		}
		f.Write(t[name])
	}
	w.Close()
	return b.Bytes()
}

// file writes b to a new file.
func file(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// petImages is a small image folder: 3 x 5 pixels, two classes.
func petImages() tree {
	t := tree{"README.txt": []byte("passed over"), "train/cat/.DS_Store": []byte("passed over"),
		"train/dog/Thumbs.db": []byte("passed over"), "test/dog/Desktop.ini": []byte("passed over"),
		"__MACOSX/train/cat/._0.png": []byte("passed over")}
	for i := range uint8(5) {
		t[fmt.Sprintf("train/dog/%d.png", i)] = pngOf(rgb(3, 5, i))
		t[fmt.Sprintf("train/cat/%d.PNG", i)] = pngOf(rgb(3, 5, 10+i))
	}
	for i := range uint8(2) {
		t[fmt.Sprintf("test/dog/%d.png", i)] = pngOf(rgb(3, 5, 20+i))
		t[fmt.Sprintf("test/cat/%d.png", i)] = pngOf(rgb(3, 5, 30+i))
	}
	return t
}

func quiet(int64, int64) {}

// TestImagesInAnyPacking: the same images give the same sets, in whatever they are packed, in whatever
// order and under whatever names, on any number of threads.
func TestImagesInAnyPacking(t *testing.T) {
	pets := petImages()
	below, renamed := tree{}, tree{}
	for name, b := range pets {
		below["some/where/"+name] = b
		renamed[strings.NewReplacer("/0.", "/z.", "/1.", "/a.").Replace(name)] = b
	}
	before := kernel.Threads()
	defer kernel.SetThreads(before)
	want := ""
	for name, path := range map[string]string{
		"folder":              pets.folder(t.TempDir()),
		"tar":                 file(t, "a.tar", pets.tar(false)),
		"tar.gz":              file(t, "a.tar.gz", zip(pets.tar(false))),
		"tar.gz, other order": file(t, "a.tgz", zip(pets.tar(true))),
		"tar, other names":    file(t, "b", renamed.tar(false)),
		"below other folders": below.folder(t.TempDir()),
		"zip":                 file(t, "a.zip", pets.zip()),
	} {
		for _, threads := range []int{1, 3} {
			kernel.SetThreads(threads)
			var n, total int64
			train, test, err := readImages(context.Background(), path, imageSpec{}, func(a, b int64) { n, total = a, b })
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if train.N != 10 || test.N != 4 {
				t.Errorf("%s: %d + %d images, want 10 + 4", name, train.N, test.N)
			}
			if size := [3]int{train.H, train.W, train.C}; size != [3]int{3, 5, 3} {
				t.Errorf("%s: images of %v, want 3x5x3", name, size)
			}
			if !slices.Equal(train.Classes, []string{"cat", "dog"}) {
				t.Errorf("%s: classes %v, want cat and dog", name, train.Classes)
			}
			fp := fingerprint(train, test)
			if want == "" {
				want = fp
			}
			if fp != want {
				t.Errorf("%s on %d threads: another order or content", name, threads)
			}
			if n != total || n == 0 {
				t.Errorf("%s: the last progress was %d of %d bytes", name, n, total)
			}
		}
	}
}

// TestImagePixels: a PNG's values come out as they are, a JPEG's by libjpeg's integers, each with its label.
func TestImagePixels(t *testing.T) {
	img := rgb(8, 8, 1)
	pets := tree{"train/cat/a.png": pngOf(img), "train/dog/b.jpeg": jpegOf(img), "test/cat/a.png": pngOf(rgb(8, 8, 2)),
		"test/dog/a.jpg": jpegOf(rgb(8, 8, 3))}
	train, _, err := readImages(context.Background(), pets.folder(t.TempDir()), imageSpec{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jpeg.Decode(bytes.NewReader(pets["train/dog/b.jpeg"]))
	if err != nil {
		t.Fatal(err)
	}
	wide := make([]uint8, 64*3) // TestRGBAsPillow has its values
	fromYCbCr(decoded.(*image.YCbCr), wide, 3)
	for i, l := range train.Labels {
		for p := range 64 {
			want := img.Pix[4*p:][:3]
			if l == 1 {
				want = wide[3*p:][:3]
			}
			if got := train.Pixels[(i*64+p)*3:][:3]; !bytes.Equal(got, want) {
				t.Fatalf("%s, pixel %d: %v, want %v", train.Classes[l], p, got, want)
			}
		}
	}
}

// TestHostileImages: each is one error that names the archive and the file in it.
func TestHostileImages(t *testing.T) {
	pets := petImages()
	good := pets["train/dog/3.png"]
	turned := bytes.Clone(good)
	turned[len(turned)-20] ^= 1 // in the pixels
	huge := bytes.Clone(good)
	copy(huge[16:], []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff}) // the width and the height, whose checksum is fixed below
	grey := image.NewGray(image.Rect(0, 0, 5, 3))
	deep := image.NewRGBA64(image.Rect(0, 0, 5, 3))
	clear := image.NewNRGBA(image.Rect(0, 0, 5, 3))
	palette := image.NewPaletted(image.Rect(0, 0, 5, 3), color.Palette{color.Black, color.White})
	for i := range deep.Pix {
		deep.Pix[i] = 255
	}
	const at = "train/dog/3.png"
	for name, tc := range map[string]struct {
		tree tree
		want []string
	}{
		"wrong size": {pets.with(at, pngOf(rgb(5, 3, 0))), []string{at, "3x5 pixels, want 5x3"}},
		"huge":       {pets.with(at, crc(huge)), []string{at, "65535x65535 pixels, want 5x3"}},
		"huge, the first": {pets.with("test/cat/0.png", crc(huge)),
			[]string{"test/cat/0.png", "65535x65535 pixels, want 1x1 to 1024x1024"}},
		"grey":        {pets.with(at, pngOf(grey)), []string{at, "want 8-bit RGB"}},
		"16 bits":     {pets.with(at, pngOf(deep)), []string{at, "want 8-bit RGB"}},
		"transparent": {pets.with(at, pngOf(clear)), []string{at, "want 8-bit RGB"}},
		"palette":     {pets.with(at, pngOf(palette)), []string{at, "want 8-bit RGB"}},
		"grey JPEG":   {pets.with(at, jpegOf(grey)), []string{at, "want 8-bit RGB"}},
		"truncated":   {pets.with(at, good[:50]), []string{at, "the image: png: invalid format: not enough pixel data"}},
		"damaged":     {pets.with(at, turned), []string{at, "the image: png"}},
		"empty":       {pets.with(at, []byte{}), []string{at, "is not a PNG, JPEG, WebP, BMP or GIF image"}},
		"text":        {pets.with(at, []byte("<html>")), []string{at, "is not a PNG, JPEG, WebP, BMP or GIF image"}},
		"no image": {pets.with("train/dog/notes.txt", []byte("x")),
			[]string{"train/dog/notes.txt", "is no image file (png, jpg, jpeg, webp, bmp or gif)"}},
		"elsewhere": {pets.with("dog/3.png", good), []string{"dog/3.png",
			"is in no folder train/CLASS or test/CLASS"}},
		"two roots": {pets.with("other/train/dog/3.png", good),
			[]string{"in another folder than the files before it"}},
		"unknown class": {pets.with("train/emu/1.png", good),
			[]string{"train/emu/1.png", `unknown class "emu"; known are cat, dog`}},
		"empty class": {pets.with("test/cat/0.png", nil).with("test/cat/1.png", nil),
			[]string{"holds no images in test/cat/"}},
		"no test set": {tree{"train/cat/1.png": good, "train/dog/1.png": good},
			[]string{"holds no images in test/CLASS/"}},
		"nothing": {tree{}, []string{"holds no images in train/CLASS/"}},
		"the first of two": {pets.with("train/dog/4.png", []byte("x")).with("test/dog/1.png", []byte("y")),
			[]string{"test/dog/1.png", "is not a PNG"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{tc.tree.folder(t.TempDir()), file(t, "pets.tar", tc.tree.tar(false)),
				file(t, "pets.tgz", zip(tc.tree.tar(false)))} {
				spec := imageSpec{classes: []string{"cat", "dog"}, h: 3, w: 5}
				if strings.HasSuffix(name, "first") {
					spec = imageSpec{}
				}
				_, _, err := readImages(context.Background(), path, spec, quiet)
				if err == nil || !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v, want one line that begins with the path", err)
				}
				for _, want := range tc.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %v, want one with %q", err, want)
					}
				}
			}
		})
	}
}

// crc puts the checksum of a PNG's first chunk right.
func crc(b []byte) []byte {
	sum := crc32.ChecksumIEEE(b[12:29])
	binary.BigEndian.PutUint32(b[29:], sum)
	return b
}

// TestHostileArchives: what an archive's structure can do to a reader.
func TestHostileArchives(t *testing.T) {
	pets := petImages()
	good := pets.tar(false)
	entry := func(h tar.Header, content []byte) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
		w.Flush()
		return append(b.Bytes(), good...)
	}
	img := pets["train/cat/1.PNG"]
	size := int64(len(img))
	damaged := zip(good)
	damaged[len(damaged)-6] ^= 1 // in gzip's checksum
	for name, tc := range map[string]struct {
		b    []byte
		want string
	}{
		"a text":         {[]byte("hello"), "is neither a folder nor a zip, tar or tar.gz archive"},
		"a long text":    {bytes.Repeat([]byte("hello "), 1000), "is neither a folder nor a zip, tar or tar.gz archive"},
		"a gzip of text": {zip([]byte("hello")), "is neither a folder nor a zip, tar or tar.gz archive"},
		"not gzip":       {[]byte{0x1f, 0x8b, 1, 2, 3}, "gzip"},
		"truncated tar":  {good[:len(good)-3000], "truncated in"},
		"truncated gzip": {zip(good)[:400], "truncated in"},
		"damaged gzip":   {damaged, "gzip: invalid checksum"},
		"path up": {entry(tar.Header{Name: "../train/cat/9.png", Size: size}, img),
			`"../train/cat/9.png", which leads out of it`},
		"path up, inside": {entry(tar.Header{Name: "train/../../cat/9.png", Size: size}, img), "which leads out of it"},
		"absolute path":   {entry(tar.Header{Name: "/train/cat/9.png", Size: size}, img), "which leads out of it"},
		"backslashes": {entry(tar.Header{Name: `train\cat\9.png`, Size: size}, img),
			`"train\\cat\\9.png", in which backslashes part the folders; pack it again with slashes`},
		"symbolic link": {entry(tar.Header{Name: "train/cat/9.png", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, nil),
			"train/cat/9.png is a link"},
		"hard link": {entry(tar.Header{Name: "train/cat/9.png", Typeflag: tar.TypeLink, Linkname: "train/cat/1.png"},
			nil), "train/cat/9.png is a link"},
		"device": {entry(tar.Header{Name: "train/cat/9.png", Typeflag: tar.TypeChar}, nil),
			"train/cat/9.png is not a regular file"},
		"twice": {entry(tar.Header{Name: "train/cat/1.PNG", Size: size}, img),
			"train/cat/1.PNG: occurs twice"},
		"a large file": {zip(entry(tar.Header{Name: "x.bin", Size: maxFileBytes + 1}, make([]byte, maxFileBytes+1))),
			"x.bin has"},
		"a bomb": {zip(entry(tar.Header{Name: "x.bin", Size: maxFileBytes}, make([]byte, maxFileBytes))),
			"expands to more than 100 times"},
		"a bomb at the end":    {zip(append(bytes.Clone(good), make([]byte, 1<<24)...)), "expands to more than 100 times"},
		"gzip claims too much": {zip(tarClaim("train/cat/9.png", maxFileBytes)), "expands to more than 100 times"},
		"claims too much":      {tarClaim("train/cat/9.png", maxFileBytes), "truncated: its files"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "pets", tc.b)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := readImages(context.Background(), path, imageSpec{}, quiet)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("error %v, want one with the path and %q", err, tc.want)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
				t.Errorf("%d MiB were allocated", grown>>20)
			}
		})
	}
}

// TestHostileZips: what a zip's structure can do to a reader.
func TestHostileZips(t *testing.T) {
	pets := petImages()
	img := pets["train/cat/1.PNG"]
	with := func(h archivezip.FileHeader, content []byte) []byte {
		var b bytes.Buffer
		w := archivezip.NewWriter(&b)
		f, err := w.CreateHeader(&h)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(content)
		for name, content := range pets {
			f, _ := w.Create(name)
			f.Write(content)
		}
		w.Close()
		return b.Bytes()
	}
	link := archivezip.FileHeader{Name: "train/cat/9.png"}
	link.SetMode(os.ModeSymlink | 0o777)
	encrypted := with(archivezip.FileHeader{Name: "train/cat/9.png"}, img)
	encrypted[bytes.Index(encrypted, []byte("PK\x01\x02"))+8] |= 1
	method := with(archivezip.FileHeader{Name: "train/cat/9.png"}, img)
	method[bytes.Index(method, []byte("PK\x01\x02"))+10] = 99
	wrong := with(archivezip.FileHeader{Name: "train/cat/9.png"}, img)
	wrong[bytes.Index(wrong, []byte("PK\x01\x02"))+16] ^= 1 // the checksum
	short := with(archivezip.FileHeader{Name: "train/cat/9.png"}, img)
	claim := with(archivezip.FileHeader{Name: "train/cat/9.png"}, img)
	copy(claim[bytes.Index(claim, []byte("PK\x01\x02"))+24:], []byte{0, 0, 0, 9}) // 144 MiB
	for name, tc := range map[string]struct {
		b    []byte
		want string
	}{
		"path up": {with(archivezip.FileHeader{Name: "../train/cat/9.png"}, img),
			`"../train/cat/9.png", which leads out of it`},
		"absolute path": {with(archivezip.FileHeader{Name: "/train/cat/9.png"}, img), "which leads out of it"},
		"backslashes":   {with(archivezip.FileHeader{Name: `train\cat\9.png`}, img), "backslashes"},
		"a link":        {with(link, []byte("/etc/passwd")), "train/cat/9.png is a link"},
		"encrypted":     {encrypted, "train/cat/9.png is encrypted"},
		"other method":  {method, "train/cat/9.png is compressed by method 99"},
		"checksum":      {wrong, "train/cat/9.png: zip: checksum error"},
		"cut short":     {short[:len(short)-30], "is no whole zip archive"},
		"twice":         {with(archivezip.FileHeader{Name: "train/cat/1.PNG"}, img), "train/cat/1.PNG: occurs twice"},
		"a bomb": {with(archivezip.FileHeader{Name: "train/cat/9.png", Method: archivezip.Deflate}, make([]byte, 16<<20)),
			"expands to more than 100 times"},
		"claims too much": {claim, "expands to more than 100 times"},
	} {
		path := file(t, "pets.zip", tc.b)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := readImages(context.Background(), path, imageSpec{}, quiet)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: error %v, want one with the path and %q", name, err, tc.want)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
			t.Errorf("%s: %d MiB were allocated", name, grown>>20)
		}
	}
}

// TestNamesInAnArchive: any bytes may stand in a name, wanted or not, and superfluous slashes and dots; and each
// complaint says what is wrong. Latin-1 is no UTF-8.
func TestNamesInAnArchive(t *testing.T) {
	pets := petImages()
	pack := func(files tree) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for name, content := range files {
			if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o600,
				Format: tar.FormatGNU}); err != nil {
				t.Fatal(err)
			}
			w.Write(content)
		}
		w.Close()
		return file(t, "pets.tar", b.Bytes())
	}
	_, _, err := readImages(context.Background(), pack(pets), imageSpec{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	img := pets["train/cat/1.PNG"]
	for name, n := range map[string]int{"Lies mich f\xfcr alle.txt": 0, "train/cat/caf\xe9.png": 1,
		"./train//cat/./2.png": 1, `read\me.txt`: 0, `odd\name.txt`: 0} {
		want, _, err := readImages(context.Background(), pack(pets), imageSpec{}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		train, _, err := readImages(context.Background(), pack(pets.with(name, img)), imageSpec{}, quiet)
		if err != nil || train.N != want.N+n {
			t.Errorf("%q: %d more images, want %d; %v", name, train.N-want.N, n, err)
		}
	}
	at := pack(pets.with("train/kat\xff/1.png", img).with("test/kat\xff/1.png", nil))
	if _, _, err := readImages(context.Background(), at, imageSpec{}, quiet); err == nil ||
		strings.Contains(err.Error(), "leads out") || !strings.Contains(err.Error(), "holds no images in test/kat\xff/") {
		t.Errorf("a class in Latin-1: %v", err)
	}
}

// tarClaim is an archive whose one file is not there.
func tarClaim(name string, size int64) []byte {
	var b bytes.Buffer
	tar.NewWriter(&b).WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644})
	return b.Bytes()
}

func TestReadingImagesCanBeInterrupted(t *testing.T) {
	path := file(t, "pets.tar", petImages().tar(false))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := readImages(ctx, path, imageSpec{}, quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// FuzzImageFolder: whatever the archive, there is an error or two whole sets.
func FuzzImageFolder(f *testing.F) {
	pets := petImages()
	f.Add(pets.tar(false))
	f.Add(zip(pets.tar(true)))
	f.Add(pets.zip())
	f.Add(pets.with("train/dog/3.png", jpegOf(rgb(3, 5, 0))).tar(false))
	f.Add(tarClaim("train/cat/9.png", 1<<40))
	f.Add(tree{"a.png": pngOf(rgb(3, 5, 0)), "cat/b.png": pngOf(rgb(3, 5, 1)),
		"test/c.png": pngOf(rgb(3, 5, 2))}.tar(false))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, spec := range []imageSpec{{}, {loose: true}, {h: 4, w: 4, loose: true, fit: true}} {
			train, test, err := readImages(context.Background(), file(t, "f", b), spec, quiet)
			if err != nil {
				continue
			}
			for _, s := range []*Set{train, test} {
				if s.N < 1 || len(s.Pixels) != s.N*s.H*s.W*s.C || len(s.Labels) != s.N ||
					int(slices.Max(s.Labels)) >= len(s.Classes) {
					t.Errorf("a set of %d images, %dx%dx%d, has %d values and %d labels", s.N, s.H, s.W, s.C, len(s.Pixels),
						len(s.Labels))
				}
			}
		}
	})
}
