package data

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dla/internal/engine"
	"dla/internal/kernel"
	"dla/internal/plainfile"
)

// Many sets have MNIST's form: an idx file of images and one of labels for each part, compressed or not. They are
// called as MNIST's, with a prefix where several sets lie in one folder: emnist-letters-train-images-idx3-ubyte.gz.
// EMNIST's images lie on their side, mirrored, as its makers wrote them from MATLAB; they are turned right.

// idxName takes the name of an idx file apart: prefix, part, images or labels.
var idxName = regexp.MustCompile(`(?i)^(.*?)(train|training|t10k|test|testing|val|valid|validation)[-_.](images|labels)[-_.]idx[13][-_.]ubyte(?:\.gz)?$`)

// idxMapping is the name of a file that lists the character of each label.
var idxMapping = regexp.MustCompile(`(?i)^(.*)mapping\.txt$`)

// idxFile is what the name of an idx file says.
type idxFile struct {
	prefix, part string // part: train, val or test; empty for a mapping
	labels       bool
}

// parseIDX takes the file name apart; false where it is of no set.
func parseIDX(name string) (f idxFile, ok bool) {
	m := idxName.FindStringSubmatch(path.Base(name))
	if m == nil {
		return f, false
	}
	part := "test" // MNIST's is called t10k
	if !strings.EqualFold(m[2], "t10k") {
		part = partOf(m[2])
	}
	return idxFile{strings.ToLower(m[1]), part, strings.EqualFold(m[3], "labels")}, true
}

// idxParts are the files of a set, by what their names say.
type idxParts map[idxFile][]byte

// readOwnIDX reads a folder or archive with the idx files of one set, or of the one that as.Part names.
func readOwnIDX(ctx context.Context, at string, as Reading, opt Options) (*Dataset, error) {
	prefix, err := findIDX(ctx, at, as.Part)
	if err != nil {
		return nil, err
	}
	files, err := collectIDX(ctx, at, prefix, fileProgress(opt.Progress, "decoding", filepath.Base(at)))
	if err != nil {
		return nil, err
	}
	parts, classes, err := files.sets(prefix)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	ds := &Dataset{Train: parts["train"], Val: parts["val"], Test: parts["test"], Own: &Own{}}
	if err := ds.holdOut(as.Test, classes); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if err := ds.refit(as); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if err := ds.examine(); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return ds, nil
}

// findIDX returns the prefix of the files of the one set at path, or of the one that is called part.
func findIDX(ctx context.Context, at, part string) (prefix string, err error) {
	var prefixes []string
	is := func(name string) bool { _, ok := parseIDX(name); return ok }
	err = walk(ctx, at, is, func(int64, int64) {}, func(name string, _ int64, _ io.Reader) error {
		f, _ := parseIDX(name)
		if !slices.Contains(prefixes, f.prefix) {
			prefixes = append(prefixes, f.prefix)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	var parts, found []string
	for _, p := range prefixes {
		words := strings.FieldsFunc(p, func(r rune) bool { return strings.ContainsRune("-_. ", r) })
		parts = append(parts, strings.Join(words, "-"))
		if part == "" || slices.Contains(words, strings.ToLower(part)) || strings.EqualFold(strings.Join(words, "-"), part) {
			found = append(found, p)
		}
	}
	slices.Sort(parts)
	switch {
	case len(found) == 1:
		return found[0], nil
	case part != "":
		return "", fmt.Errorf("%s: data.part is %q, and the sets there are called %s; name one of them", at, part,
			strings.Join(parts, ", "))
	}
	last := parts[len(parts)-1]
	return "", fmt.Errorf("%s holds the idx files of several sets: %s; name one with --set data.part=%s", at,
		strings.Join(parts, ", "), last[strings.LastIndexByte(last, '-')+1:])
}

// collectIDX reads the idx files with prefix, and the mapping beside them, into memory.
func collectIDX(ctx context.Context, at, prefix string, done func(n, total int64)) (idxParts, error) {
	files := idxParts{}
	key := func(name string) (idxFile, bool) {
		if m := idxMapping.FindStringSubmatch(path.Base(name)); m != nil {
			return idxFile{prefix: prefix}, strings.EqualFold(m[1], prefix)
		}
		f, ok := parseIDX(name)
		return f, ok && f.prefix == prefix
	}
	wanted := func(name string) bool { _, ok := key(name); return ok }
	err := walk(ctx, at, wanted, done, func(name string, size int64, r io.Reader) error {
		f, _ := key(name)
		if _, there := files[f]; there { // compressed and not: the same file
			return nil
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			return truncated("the file", err)
		}
		files[f] = b
		return nil
	})
	return files, err
}

// sets decodes the files. Its labels count from 0, in the order of those in the files, which may begin at 1.
func (files idxParts) sets(prefix string) (sets map[string]*Set, classes []string, err error) {
	sets = map[string]*Set{}
	labels := map[string][]byte{}
	known := map[byte]bool{}
	for _, part := range []string{"train", "val", "test"} {
		images, ok := files[idxFile{prefix, part, false}]
		names, both := files[idxFile{prefix, part, true}]
		if !ok && !both {
			continue
		}
		if ok != both {
			missing := "labels"
			if both {
				missing = "images"
			}
			return nil, nil, fmt.Errorf("the file of %s of %s is missing", missing, strings.TrimLeft(prefix+part, "-"))
		}
		s, l, err := decodeIDX(images, names)
		if err != nil {
			return nil, nil, fmt.Errorf("%s%s: %w", prefix, part, err)
		}
		if strings.HasPrefix(prefix, "emnist") {
			s.transpose()
		}
		for _, v := range l {
			known[v] = true
		}
		sets[part], labels[part] = s, l
	}
	if sets["train"] == nil {
		return nil, nil, errors.New("the files of the training images are missing: train-images-idx3-ubyte, " +
			"train-labels-idx1-ubyte")
	}
	at := map[byte]int32{}
	var order []byte
	for v := range known {
		order = append(order, v)
	}
	slices.Sort(order)
	characters := parseMapping(files[idxFile{prefix: prefix}])
	for i, v := range order {
		at[v] = int32(i)
		name, ok := characters[int(v)]
		if !ok {
			name = strconv.Itoa(int(v))
		}
		classes = append(classes, name)
	}
	for part, s := range sets {
		s.Classes, s.Labels, s.Origin = classes, make([]int32, s.N), inOrder(s.N)
		for i, v := range labels[part] {
			s.Labels[i] = at[v]
		}
	}
	return sets, classes, nil
}

// decodeIDX decodes two idx files, of images and of their labels.
func decodeIDX(images, labels []byte) (*Set, []byte, error) {
	shape, err := idxShape(images, 3)
	if err != nil {
		return nil, nil, fmt.Errorf("the images: %w", err)
	}
	n, err := idxShape(labels, 1)
	if err != nil {
		return nil, nil, fmt.Errorf("the labels: %w", err)
	}
	if n[0] != shape[0] || n[0] == 0 || shape[1] == 0 || shape[2] == 0 {
		return nil, nil, fmt.Errorf("there are %d labels of %d images of %dx%d pixels", n[0], shape[0], shape[2], shape[1])
	}
	s := &Set{N: shape[0], H: shape[1], W: shape[2], C: 1}
	if s.Pixels, err = readIDX(images, shape...); err != nil {
		return nil, nil, fmt.Errorf("the images: %w", err)
	}
	l, err := readIDX(labels, n...)
	if err != nil {
		return nil, nil, fmt.Errorf("the labels: %w", err)
	}
	return s, l, nil
}

// transpose mirrors the images of s at their diagonal.
func (s *Set) transpose() {
	out := make([]uint8, len(s.Pixels))
	px := s.H * s.W
	for i := range s.N {
		from, to := s.Pixels[i*px:][:px], out[i*px:][:px]
		for y := range s.H {
			for x := range s.W {
				to[x*s.H+y] = from[y*s.W+x]
			}
		}
	}
	s.Pixels, s.H, s.W = out, s.W, s.H
}

// parseMapping reads lines of a label and the codes of its characters, of which the first counts: 1 65 97.
func parseMapping(b []byte) map[int]string {
	names := map[int]string{}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		label, err := strconv.Atoi(words[0])
		code, err2 := strconv.Atoi(words[1])
		if err == nil && err2 == nil && code > ' ' && code < 1<<16 {
			names[label] = string(rune(code))
		}
	}
	return names
}

// holdOut draws the test set from the training set where there is none: n images, or a sixth for 0.
func (d *Dataset) holdOut(n int, classes []string) error {
	if d.Test != nil {
		return nil
	}
	s := d.Train
	drawn, err := drawTest(s.Labels, len(classes), n)
	if err != nil {
		return err
	}
	var train, test []int32
	for i, v := range drawn {
		if v {
			test = append(test, int32(i))
		} else {
			train = append(train, int32(i))
		}
	}
	d.Train, d.Test = s.only(train), s.only(test)
	d.note("it has no test set: %d of %d images are held out as one, class by class (data.test)", len(test), s.N)
	return nil
}

// only is the set of the images of s at index.
func (s *Set) only(index []int32) *Set {
	px := s.H * s.W * s.C
	o := &Set{N: len(index), H: s.H, W: s.W, C: s.C, Classes: s.Classes}
	for _, i := range index {
		o.Pixels = append(o.Pixels, s.Pixels[int(i)*px:][:px]...)
		o.Labels = append(o.Labels, s.Labels[i])
		if s.Published != nil {
			o.Published = append(o.Published, s.Published[i])
		}
		if s.Files != nil {
			o.Files = append(o.Files, s.Files[i])
		}
	}
	return o
}

// refit gives the images of d, all of one size, the form that as wants.
func (d *Dataset) refit(as Reading) error {
	s := *d.Train // as it was
	to := shape{h: s.H, w: s.W, c: s.C}
	switch {
	case as.Size > 0:
		to.h, to.w = as.Size, as.Size
	case max(s.H, s.W) > ownSide:
		to.h, to.w = ownFit, ownFit
		d.note("the images are scaled to %dx%d, as they have %dx%d pixels; choose another size with --set data.size=64",
			ownFit, ownFit, s.W, s.H)
	}
	if as.Channels > 0 {
		to.c = as.Channels
	}
	for _, part := range d.sets() {
		if part.H != s.H || part.W != s.W {
			return fmt.Errorf("its images have %dx%d pixels to train on and %dx%d to test on; they must have one size", s.W, s.H,
				part.W, part.H)
		}
		if err := roomFor(part.N, to); err != nil {
			return err
		}
		if shapeOf(part) != to {
			part.fit(to)
		}
	}
	return nil
}

// fit makes all images of s fit to.
func (s *Set) fit(to shape) {
	f := &fitting{*s, to, make([]uint8, s.N*to.values())}
	kernel.Run(f, s.N)
	s.H, s.W, s.C, s.Pixels = to.h, to.w, to.c, f.pixels
}

// fitting makes images fit, one a chunk.
type fitting struct {
	from   Set
	to     shape
	pixels []uint8
}

// Chunk makes image i fit.
func (f *fitting) Chunk(i int) {
	s := f.from
	img := image.NewRGBA(image.Rect(0, 0, s.W, s.H))
	for p := range s.H * s.W {
		px := s.Pixels[(i*s.H*s.W+p)*s.C:][:s.C]
		o := img.Pix[4*p:][:4]
		o[0], o[1], o[2], o[3] = px[0], px[s.C/2], px[s.C-1], 255 // grey: three times the same
	}
	fit(img, f.to, f.pixels[i*f.to.values():][:f.to.values()])
}

// idxShape reads the dimensions in the header of file, an idx file of bytes with so many dimensions, compressed or not.
// Dimensions that the machine's memory cannot hold are an error.
func idxShape(file []byte, dims int) ([]int, error) {
	head, err := idxHead(file, dims)
	if err != nil {
		return nil, err
	}
	shape, n := make([]int, dims), int64(1)
	most := int64(maxBytes)
	if total := engine.Memory(); total > 0 {
		most = min(most, total/4)
	}
	for i := range shape {
		d := int64(head[i])
		if d > 0 && n > most/d {
			return nil, fmt.Errorf("the header claims dimensions %v, more than the memory holds", head)
		}
		n *= d
		shape[i] = int(d)
	}
	return shape, nil
}

// readPublishedIDX reads the four files, which have been checked, of a set in MNIST's form.
func readPublishedIDX(files []File, classes []string) func(context.Context, string, func(n, total int64)) (*Set, *Set,
	error) {
	return func(_ context.Context, dir string, _ func(n, total int64)) (train, test *Set, err error) {
		parts := idxParts{}
		for _, f := range files {
			key, _ := parseIDX(f.Name)
			if parts[key], err = plainfile.Read(filepath.Join(dir, f.Name), maxIDXFile); err != nil {
				return nil, nil, err
			}
		}
		return parts.published("", classes)
	}
}

// readPublishedEMNIST reads one of the sets of EMNIST's archive, which has been checked.
func readPublishedEMNIST(part string) func(context.Context, string, func(n, total int64)) (*Set, *Set, error) {
	return func(ctx context.Context, at string, done func(n, total int64)) (train, test *Set, err error) {
		prefix := "emnist-" + part + "-"
		files, err := collectIDX(ctx, at, prefix, done)
		if err != nil {
			return nil, nil, err
		}
		if train, test, err = files.published(prefix, nil); err != nil {
			err = fmt.Errorf("%s: %w", at, err)
		}
		return train, test, err
	}
}

// published decodes the training and the test set, in the published order. classes, if any, are its classes.
func (files idxParts) published(prefix string, classes []string) (train, test *Set, err error) {
	sets, found, err := files.sets(prefix)
	if err != nil {
		return nil, nil, err
	}
	if sets["test"] == nil {
		return nil, nil, errors.New("the files of the test images are missing")
	}
	if classes != nil && len(classes) != len(found) {
		return nil, nil, fmt.Errorf("it has %d classes, want %d", len(found), len(classes))
	}
	for _, s := range sets {
		if classes != nil {
			s.Classes = classes
		}
	}
	return sets["train"], sets["test"], nil
}
