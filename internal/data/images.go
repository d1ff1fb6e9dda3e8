package data

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"dla/internal/kernel"
)

// An image folder is train/CLASS/NAME.png and test/CLASS/NAME.png (or .jpg, .jpeg), perhaps all below
// one more folder, in a folder, a tar or a tar.gz, of which walk says what is read. One goroutine reads the
// files, as many as there are threads decode them.

// maxSide bounds the images of a set whose size is not known beforehand and which are not made to fit.
const maxSide = 1024

// imageSpec is what is known of an image folder before it is read.
type imageSpec struct {
	classes []string // nil: the folders there are, by name
	h, w    int      // 0: those of the first image
	loose   bool     // images lie wherever they like, and other files where they do
	fit     bool     // images of any size and kind are made to fit
}

// place takes a file's name apart: the folder of its part, which ends in train or test where it has one,
// and its class. It is false where no image may be.
func (s imageSpec) place(name string) (part, class string, ok bool) {
	part, class, ok = imagePlace(name)
	if !s.loose || ok {
		return part, class, ok
	}
	if class == "train" || class == "test" { // a part without classes
		part, class = path.Join(part, class), ""
	}
	return part, cmp.Or(class, noClass), true
}

// wanted says whether the file name is to be read.
func (s imageSpec) wanted(name string) bool {
	if s.loose {
		return isImage(name)
	}
	return isImagePlace(name)
}

// readImages reads the image folder at path, 8-bit RGB images of one size. Other files are passed over
// unless they stand where an image should; an image of another size or mode, a class that is unknown
// or has no images, a name that occurs twice are errors that name the file.
func readImages(ctx context.Context, path string, spec imageSpec, done func(n, total int64)) (train, test *Set,
	err error) {
	return newImageReader(spec).read(ctx, path, done)
}

func newImageReader(spec imageSpec) *imageReader {
	return &imageReader{spec: spec, known: spec.classes != nil, seen: map[string]bool{}, failedAt: -1}
}

// read is readImages, after which r says what it passed over and what it made to fit.
func (r *imageReader) read(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
	workers := kernel.Threads()
	r.free, r.full = make(chan *imageFiles, workers+2), make(chan *imageFiles, workers+2)
	for range cap(r.free) {
		r.free <- new(imageFiles)
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(r.decodeAll)
	}
	r.next = <-r.free
	err = walkAll(ctx, path, r.spec.wanted, &r.over, done, r.visit)
	if r.next != nil {
		r.full <- r.next // the last files
	}
	close(r.full)
	wg.Wait()
	if r.failure != nil { // it came before whatever ended the walk
		err = fmt.Errorf("%s: %w", path, r.failure)
	}
	if err != nil {
		return nil, nil, err
	}
	if train, test, err = r.sets(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return train, test, nil
}

// imageFiles are some files on their way to a decoder.
type imageFiles struct {
	first int // number of the first among all files
	files []imageFile
	bytes []byte // of all of them
}

type imageFile struct {
	name       string
	test       bool
	label      int32
	start, end int // in bytes
}

type imageReader struct {
	spec       imageSpec
	known      bool // the classes are
	prefix     string
	outside    bool // some file lies in no part
	seen       map[string]bool
	files      int
	free, full chan *imageFiles
	next       *imageFiles // being filled; nil after a failure
	over       passedOver

	failed   atomic.Bool
	mu       sync.Mutex
	failure  error // of the first file, in the order of the tree, that cannot be decoded
	failedAt int
	pictures []picture
	fitted   fitted
}

// picture is one image of a set that is being read.
type picture struct {
	test   bool
	label  int32
	digest [sha256.Size]byte // of pixels
	pixels []uint8           // HWC
	file   string            // its name in the tree; empty where it is no file
	at     int32             // then its place in the published order of its part
}

// isImagePlace says whether the file name is one of an image folder: an image, or in the place of one.
func isImagePlace(name string) bool {
	_, _, ok := imagePlace(name)
	return ok || isImage(name)
}

func isImage(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg":
		return true
	}
	return false
}

// imagePlace takes [PREFIX/]train/CLASS/FILE apart.
func imagePlace(name string) (part, class string, ok bool) {
	dir, _ := path.Split(name)
	dir, class = path.Split(strings.TrimSuffix(dir, "/"))
	part = strings.TrimSuffix(dir, "/")
	base := path.Base(part)
	return part, class, base == "train" || base == "test"
}

// errStop ends a walk whose failure is known.
var errStop = errors.New("stop")

// visit hands a file to the decoders.
func (r *imageReader) visit(name string, size int64, content io.Reader) error {
	if r.failed.Load() {
		return errStop
	}
	part, class, ok := r.spec.place(name)
	prefix, split := path.Split(part)
	switch {
	case !ok:
		return errors.New("is in no folder train/CLASS or test/CLASS")
	case !isImage(name):
		return errors.New("is not a PNG or JPEG file")
	case r.files > 0 && prefix != r.prefix && !r.spec.loose:
		return fmt.Errorf("lies in another folder than the files before it, which lie in %q", r.prefix)
	case r.seen[name]:
		return errors.New("occurs twice")
	}
	r.prefix, r.seen[name] = prefix, true
	r.outside = r.outside || split != "train" && split != "test"
	label := slices.Index(r.spec.classes, class)
	if label < 0 && r.known {
		return fmt.Errorf("is of the unknown class %q; known are %s", class, strings.Join(r.spec.classes, ", "))
	}
	if label < 0 {
		label = len(r.spec.classes)
		r.spec.classes = append(r.spec.classes, class)
	}
	n := r.next
	start := len(n.bytes)
	n.bytes = slices.Grow(n.bytes, int(size))[:start+int(size)]
	if _, err := io.ReadFull(content, n.bytes[start:]); err != nil {
		n.bytes = n.bytes[:start]
		return truncated("the file", err)
	}
	if r.files == 0 && r.spec.h == 0 {
		cfg, _, err := imageConfig(n.bytes[start:])
		if err != nil {
			return err
		}
		if cfg.Width > maxSide || cfg.Height > maxSide {
			return tooLarge(cfg, maxSide)
		}
		r.spec.w, r.spec.h = cfg.Width, cfg.Height
	}
	n.files = append(n.files, imageFile{name, split == "test", int32(label), start, len(n.bytes)})
	if r.files++; int64(r.files)*int64(r.spec.h)*int64(r.spec.w)*3 > maxBytes {
		return errTooMuch
	}
	if len(n.files) == 64 || len(n.bytes) > 1<<20 {
		r.full <- n
		r.next = <-r.free
		r.next.first, r.next.files, r.next.bytes = r.files, r.next.files[:0], r.next.bytes[:0]
	}
	return nil
}

// decodeAll decodes what comes until there is no more.
func (r *imageReader) decodeAll() {
	var own []picture
	var changed fitted
	var slab []uint8 // where pixels go: one allocation for many images
	for b := range r.full {
		px := r.spec.h * r.spec.w * 3
		for i, f := range b.files {
			if len(slab) < px {
				slab = make([]uint8, px*len(b.files))
			}
			pixels := slab[:px:px]
			if err := r.decode(b.bytes[f.start:f.end], pixels, &changed); err != nil {
				r.fail(b.first+i, fmt.Errorf("%s: %w", f.name, err))
				break
			}
			slab = slab[px:]
			own = append(own, picture{test: f.test, label: f.label, digest: sha256.Sum256(pixels), pixels: pixels, file: f.name})
		}
		r.free <- b
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pictures = append(r.pictures, own...)
	r.fitted.add(changed)
}

// decode writes the values of the image b into pixels and adds to changed how it was made to fit.
func (r *imageReader) decode(b []byte, pixels []uint8, changed *fitted) error {
	if !r.spec.fit {
		return decodeImage(b, r.spec.h, r.spec.w, pixels)
	}
	k, scaled, err := fitImage(b, r.spec.h, r.spec.w, pixels)
	changed.count(k, scaled)
	return err
}

// fail records the failure of file number at.
func (r *imageReader) fail(at int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failedAt < 0 || at < r.failedAt {
		r.failedAt, r.failure = at, err
	}
	r.failed.Store(true)
}

// sets brings the pictures into order, with the classes by name where they were not known.
func (r *imageReader) sets() (train, test *Set, err error) {
	classes := r.spec.classes
	if !r.known {
		classes = slices.Sorted(slices.Values(r.spec.classes))
		for i := range r.pictures {
			p := &r.pictures[i]
			at, _ := slices.BinarySearch(classes, r.spec.classes[p.label])
			p.label = int32(at)
		}
	}
	if r.spec.loose {
		return arrangeLoosely(r.pictures, classes, r.spec.h, r.spec.w, r.outside)
	}
	for i := range r.pictures {
		r.pictures[i].file = strings.TrimPrefix(r.pictures[i].file, r.prefix)
	}
	return arrange(r.pictures, classes, r.spec.h, r.spec.w)
}

// arrange makes the two sets of pictures, of which neither may lack a class.
func arrange(pictures []picture, classes []string, h, w int) (train, test *Set, err error) {
	sortPictures(pictures)
	for i, dst := range []**Set{&train, &test} {
		part := []string{"train", "test"}[i]
		s := gather(pictures, classes, h, w, func(p picture) bool { return p.test == (i == 1) })
		if s.N == 0 {
			return nil, nil, fmt.Errorf("holds no images in %s/CLASS/", part)
		}
		count := make([]int, len(classes))
		for _, l := range s.Labels {
			count[l]++
		}
		if c := slices.Index(count, 0); c >= 0 {
			return nil, nil, fmt.Errorf("holds no images in %s/%s/", part, classes[c])
		}
		*dst = s
	}
	return train, test, nil
}

// sortPictures orders pictures by the SHA-256 of their pixels (then by their labels): the order depends
// on nothing but the images, not on their names, nor on how they were packed. And as a hash knows nothing
// of what is in an image, the first n are a fair sample. Copies that even have one label keep the published
// order, or that of their names: no set depends on that, but the list of where its images come from does.
func sortPictures(pictures []picture) {
	slices.SortFunc(pictures, func(a, b picture) int {
		return cmp.Or(bytes.Compare(a.digest[:], b.digest[:]), cmp.Compare(a.label, b.label), cmp.Compare(a.at, b.at),
			cmp.Compare(a.file, b.file))
	})
}

// gather makes a set of the pictures that keep picks, in their order.
func gather(pictures []picture, classes []string, h, w int, keep func(picture) bool) *Set {
	s := &Set{H: h, W: w, C: 3, Classes: classes}
	for _, p := range pictures {
		if keep(p) {
			s.N++
		}
	}
	s.Pixels, s.Labels = make([]uint8, 0, s.N*h*w*3), make([]int32, 0, s.N)
	for _, p := range pictures {
		if keep(p) {
			s.Pixels = append(s.Pixels, p.pixels...)
			s.Labels = append(s.Labels, p.label)
			if p.file != "" {
				s.Files = append(s.Files, p.file)
			} else {
				s.Published = append(s.Published, p.at)
			}
		}
	}
	return s
}

// imageConfig reads an image's header and says what decodes the rest.
func imageConfig(b []byte) (cfg image.Config, decode func(io.Reader) (image.Image, error), err error) {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		cfg, err = png.DecodeConfig(bytes.NewReader(b))
		decode = png.Decode
	case bytes.HasPrefix(b, []byte{0xff, 0xd8}):
		cfg, err = jpeg.DecodeConfig(bytes.NewReader(b))
		decode = jpeg.Decode
	default:
		return cfg, nil, errors.New("is neither a PNG nor a JPEG image")
	}
	if err != nil {
		err = truncated("the image", err)
	}
	return cfg, decode, err
}

// decodeImage writes the h x w x 3 values of the image b into dst. Its header is looked at first: no
// memory is taken for an image that is not wanted.
func decodeImage(b []byte, h, w int, dst []uint8) error {
	cfg, decode, err := imageConfig(b)
	if err != nil {
		return err
	}
	if cfg.Width != w || cfg.Height != h {
		return fmt.Errorf("is %dx%d pixels, want %dx%d", cfg.Width, cfg.Height, w, h)
	}
	if cfg.ColorModel != color.RGBAModel && cfg.ColorModel != color.YCbCrModel {
		return errNotRGB
	}
	img, err := decode(bytes.NewReader(b))
	if err != nil {
		return truncated("the image", err)
	}
	k, err := toRGB(img, dst, 3)
	if err == nil && k != plain { // a PNG with a transparent colour
		err = errNotRGB
	}
	return err
}

func tooLarge(cfg image.Config, side int) error {
	return fmt.Errorf("is %dx%d pixels, want 1x1 to %dx%d", cfg.Width, cfg.Height, side, side)
}

var errNotRGB = errors.New("is grey, has a palette, transparency or 16 bits: want 8-bit RGB")
