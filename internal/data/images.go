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
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"

	"dla/internal/engine"
	"dla/internal/kernel"
)

// An image folder is train/CLASS/NAME.png and test/CLASS/NAME.png (or .jpg, .jpeg, .webp, .bmp, .gif), perhaps all
// below one more folder, in a folder, a zip, a tar or a tar.gz, of which walk says what is read. One goroutine reads
// the files, as many as there are threads decode them. The sets of the catalogue have a fixed form; those of the user's
// own are read by readOwnImages, which finds theirs.

// maxSide bounds the images of a set whose size is not known beforehand and which are not made to fit.
const maxSide = 1024

// imageSpec is what is known of an image folder before it is read.
type imageSpec struct {
	classes []string // nil: the folders there are, by name
	h, w    int      // 0: those of the first image
	c       int      // values of a pixel, 1 or 3; 0: three, and of the user's own one where the first image is grey
	loose   bool     // images lie wherever they like, and other files where they do
	fit     bool     // images of any size and kind are made to fit
	mixed   bool     // own: c is that of the first image, and others may have colours
	turn    bool     // images are turned as EXIF data say
	own     bool     // of the user's own: as loose, of any kind, turned, and of one size where not fit
	skip    bool     // own: damaged files are left out
}

// shape is the form of the images.
func (s imageSpec) shape() shape { return shape{s.h, s.w, cmp.Or(s.c, 3), s.own || s.turn} }

// place takes a file's name apart: the folder of its part, which ends in train or test where it has one,
// and its class. It is false where no image may be.
func (s imageSpec) place(name string) (part, class string, ok bool) {
	part, class, ok = imagePlace(name)
	if s.own { // arrangeOwn tells when all are known
		return "", "", true
	}
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
	if s.loose || s.own {
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
	return &imageReader{spec: spec, classes: slices.Clone(spec.classes), seen: map[string]bool{}, failedAt: -1}
}

// read is readImages, after which r says what it passed over and what it made to fit.
func (r *imageReader) read(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error) {
	if err := r.decodeTree(ctx, path, done); err != nil {
		return nil, nil, err
	}
	if train, test, err = r.sets(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return train, test, nil
}

// decodeTree reads all images at path into r.pictures, in no order.
func (r *imageReader) decodeTree(ctx context.Context, path string, done func(n, total int64)) error {
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
	err := walkAll(ctx, path, r.spec.wanted, &r.over, done, r.visit)
	if r.next != nil {
		r.full <- r.next // the last files
	}
	close(r.full)
	wg.Wait()
	if r.failure != nil { // it came before whatever ended the walk
		err = fmt.Errorf("%s: %w", path, r.failure)
	}
	return err
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
	spec       imageSpec // whole before the first files are on their way to a decoder
	classes    []string  // those of spec, or the ones found so far
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
	damaged  []string // names of the files that were left out, in no order
}

// picture is one image of a set that is being read.
type picture struct {
	test   bool
	val    bool // own: of the validation set
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
	case ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif":
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
		return errors.New("is no image file (png, jpg, jpeg, webp, bmp or gif)")
	case r.files > 0 && prefix != r.prefix && !r.spec.loose && !r.spec.own:
		return fmt.Errorf("lies in another folder than the files before it, which lie in %q", r.prefix)
	case r.seen[name]:
		return errors.New("occurs twice")
	}
	r.prefix, r.seen[name] = prefix, true
	r.outside = r.outside || split != "train" && split != "test"
	label := slices.Index(r.classes, class)
	if label < 0 && r.spec.classes != nil {
		return fmt.Errorf("is of the unknown class %q; known are %s", class, strings.Join(r.spec.classes, ", "))
	}
	if label < 0 && !r.spec.own {
		label = len(r.classes)
		r.classes = append(r.classes, class)
	}
	n := r.next
	start := len(n.bytes)
	n.bytes = slices.Grow(n.bytes, int(size))[:start+int(size)]
	if _, err := io.ReadFull(content, n.bytes[start:]); err != nil {
		n.bytes = n.bytes[:start]
		return truncated("the file", err)
	}
	if r.spec.own && (r.spec.h == 0 || r.spec.c == 0) {
		if err := r.spec.ask(n.bytes[start:]); err != nil {
			var other *otherForm
			if errors.As(err, &other) {
				return err
			}
			if r.spec.skip {
				n.bytes = n.bytes[:start]
				r.leaveOut([]string{name})
				return nil
			}
			return damagedImage(err)
		}
	}
	if r.files == 0 && r.spec.h == 0 {
		file, err := readHeader(n.bytes[start:])
		if err != nil {
			return err
		}
		if file.Width > maxSide || file.Height > maxSide {
			return tooLarge(file.Config, maxSide)
		}
		r.spec.w, r.spec.h = file.Width, file.Height
	}
	n.files = append(n.files, imageFile{name, split == "test", int32(label), start, len(n.bytes)})
	r.files++
	if err := roomFor(r.files, r.spec.shape()); err != nil {
		return err
	}
	if len(n.files) == 64 || len(n.bytes) > 1<<20 {
		r.full <- n
		r.next = <-r.free
		r.next.first, r.next.files, r.next.bytes = r.files, r.next.files[:0], r.next.bytes[:0]
	}
	return nil
}

// ask fills in the form of the user's own images from the first of them, b.
func (s *imageSpec) ask(b []byte) error {
	file, err := readHeader(b)
	if err != nil {
		return err
	}
	if h, w := file.size(b); s.h == 0 && max(h, w) > ownSide {
		return &otherForm{false, fmt.Sprintf("to be at most %dx%d", ownSide, ownSide), fmt.Sprintf("%dx%d", w, h)}
	} else if s.h == 0 {
		s.h, s.w = h, w
	}
	if s.c == 0 {
		s.c = 3
		if file.grey {
			s.c, s.mixed = 1, true
		}
	}
	return nil
}

// size is that of the image b when it is turned.
func (h header) size(b []byte) (height, width int) {
	if orientation(b) >= 5 {
		return h.Width, h.Height
	}
	return h.Height, h.Width
}

// roomFor returns an error if so many images take more memory than the machine has. There they are twice: as they come,
// and in order.
func roomFor(images int, s shape) error {
	bytes := 2 * int64(images) * int64(s.values())
	if total := engine.Memory(); total > 0 && bytes > total {
		return fmt.Errorf("%d images of %dx%d pixels in %d channels and more take %.1f GB while they are read, and this "+
			"machine has %.1f GB of memory; make them smaller, of the user's own with --set data.size=32", images, s.h, s.w,
			s.c, float64(bytes)/1e9, float64(total)/1e9)
	}
	return nil
}

// damagedImage says what to do about a damaged file of the user's own.
func damagedImage(err error) error {
	return fmt.Errorf("%w; put a good copy in its place or take it out, or leave out all such files with --set "+
		"data.skip_damaged=true", err)
}

// otherForm is the error of an image of another form than those before it.
type otherForm struct {
	colour   bool // it has colours
	was, has string
}

func (e *otherForm) Error() string { return fmt.Sprintf("is %s, others are %s", e.has, e.was) }

// leaveOut notes damaged files that are left out.
func (r *imageReader) leaveOut(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damaged = append(r.damaged, names...)
}

// decodeAll decodes what comes until there is no more.
func (r *imageReader) decodeAll() {
	var own []picture
	var damaged []string
	var changed fitted
	var slab []uint8 // where pixels go: one allocation for many images
	for b := range r.full {
		px := r.spec.shape().values()
		for i, f := range b.files {
			if len(slab) < px {
				slab = make([]uint8, px*len(b.files))
			}
			pixels := slab[:px:px]
			err := r.decode(b.bytes[f.start:f.end], pixels, &changed)
			var other *otherForm
			if err != nil && r.spec.own && !errors.As(err, &other) {
				if r.spec.skip {
					damaged = append(damaged, f.name)
					continue
				}
				err = damagedImage(err)
			}
			if err != nil {
				r.fail(b.first+i, fmt.Errorf("%s: %w", f.name, err))
				break
			}
			slab = slab[px:]
			own = append(own, picture{test: f.test, label: f.label, digest: sha256.Sum256(pixels), pixels: pixels, file: f.name})
		}
		r.free <- b
	}
	r.leaveOut(damaged)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pictures = append(r.pictures, own...)
	r.fitted.add(changed)
}

// decode writes the values of the image b into pixels and adds to changed how it was made to fit.
func (r *imageReader) decode(b []byte, pixels []uint8, changed *fitted) error {
	if !r.spec.fit && !r.spec.own {
		return decodeImage(b, r.spec.h, r.spec.w, pixels)
	}
	if err := r.spec.check(b); err != nil {
		return err
	}
	k, scaled, err := fitImage(b, r.spec.shape(), pixels)
	if k == grey && r.spec.c == 1 { // as it is wanted
		k = plain
	}
	if err == nil {
		changed.count(k, scaled)
	}
	return err
}

// check returns an otherForm if the image b is not of the form that all of the user's own seemed to have.
func (s imageSpec) check(b []byte) error {
	if !s.own || s.fit && s.c == 3 {
		return nil
	}
	file, err := readHeader(b)
	if err != nil {
		return err
	}
	h, w := file.size(b)
	switch {
	case !s.fit && (h != s.h || w != s.w):
		return &otherForm{false, fmt.Sprintf("%dx%d", s.w, s.h), fmt.Sprintf("%dx%d", w, h)}
	case s.c == 1 && s.mixed && !file.grey:
		return &otherForm{true, "grey", "in colour"}
	}
	return nil
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
	classes := r.classes
	if r.spec.classes == nil {
		classes = slices.Sorted(slices.Values(r.classes))
		for i := range r.pictures {
			p := &r.pictures[i]
			at, _ := slices.BinarySearch(classes, r.classes[p.label])
			p.label = int32(at)
		}
	}
	if r.spec.loose {
		return arrangeLoosely(r.pictures, classes, r.spec.shape(), r.outside)
	}
	for i := range r.pictures {
		r.pictures[i].file = strings.TrimPrefix(r.pictures[i].file, r.prefix)
	}
	return arrange(r.pictures, classes, r.spec.shape())
}

// arrange makes the two sets of pictures, of which neither may lack a class.
func arrange(pictures []picture, classes []string, of shape) (train, test *Set, err error) {
	sortPictures(pictures)
	for i, dst := range []**Set{&train, &test} {
		part := []string{"train", "test"}[i]
		s := gather(pictures, classes, of, func(p picture) bool { return p.test == (i == 1) })
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
func gather(pictures []picture, classes []string, of shape, keep func(picture) bool) *Set {
	s := &Set{H: of.h, W: of.w, C: of.c, Classes: classes}
	for _, p := range pictures {
		if keep(p) {
			s.N++
		}
	}
	s.Pixels, s.Labels = make([]uint8, 0, s.N*of.values()), make([]int32, 0, s.N)
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

// header is what a file says of its image, before the pixels are decoded.
type header struct {
	image.Config
	decode func(b []byte) (image.Image, error)
	grey   bool // no pixel has a colour
}

const pngMagic = "\x89PNG\r\n\x1a\n"

// readHeader reads the header of the image file b. What kind of file it is the first bytes say, not the name.
func readHeader(b []byte) (h header, err error) {
	from := func(decode func(io.Reader) (image.Image, error)) func([]byte) (image.Image, error) {
		return func(b []byte) (image.Image, error) { return decode(bytes.NewReader(b)) }
	}
	r := bytes.NewReader(b)
	switch {
	case bytes.HasPrefix(b, []byte(pngMagic)):
		h.Config, err = png.DecodeConfig(r)
		h.decode = from(png.Decode)
		h.grey = len(b) > 25 && b[25]&2 == 0 // the kind: 0 is grey, 4 grey with alpha
	case bytes.HasPrefix(b, []byte{0xff, 0xd8}):
		h.Config, err = jpeg.DecodeConfig(r)
		h.decode = from(jpeg.Decode)
		h.grey = h.ColorModel == color.GrayModel
	case isWebP(b):
		h.Config, err = webp.DecodeConfig(r)
		h.decode = decodeWebP
	case bytes.HasPrefix(b, []byte("BM")):
		h.Config, err = bmp.DecodeConfig(r)
		h.decode = from(bmp.Decode)
	case bytes.HasPrefix(b, []byte("GIF8")):
		h.Config, err = gif.DecodeConfig(r)
		h.decode = decodeGIF
	default:
		return h, errors.New("is not a PNG, JPEG, WebP, BMP or GIF image")
	}
	if err != nil {
		return h, truncated("the image", err)
	}
	if p, ok := h.ColorModel.(color.Palette); ok && len(p) > 0 {
		h.grey = !slices.ContainsFunc(p, func(c color.Color) bool {
			r, g, b, _ := c.RGBA()
			return r != g || g != b
		})
	}
	return h, nil
}

// decodeImage writes the h x w x 3 values of the image b into dst. Its header is looked at first: no
// memory is taken for an image that is not wanted.
func decodeImage(b []byte, h, w int, dst []uint8) error {
	file, err := readHeader(b)
	if err != nil {
		return err
	}
	if file.Width != w || file.Height != h {
		return fmt.Errorf("is %dx%d pixels, want %dx%d", file.Width, file.Height, w, h)
	}
	if file.ColorModel != color.RGBAModel && file.ColorModel != color.YCbCrModel {
		return errNotRGB
	}
	img, err := file.decode(b)
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
