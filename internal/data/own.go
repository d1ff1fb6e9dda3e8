package data

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"dla/internal/atomicfile"
)

// Data of the user's own are named by their path instead of a set's name: a folder, zip, tar or tar.gz of images by
// class, of idx files, or of CIFAR's files. They are decoded once; the copy in the cache is of the names, sizes and
// times of the files, or of the archive, and of how they were read.

// Reading says how data of the user's own are read. The zero value is the usual choice.
type Reading struct {
	// Size is the side of the square that images are scaled and cropped to. 0: as they are where all are of one size of
	// at most 64x64 pixels, else 32.
	Size int `json:"size,omitempty"`
	// Channels is 3, or 1 for grey. 0: as the images are, and 3 where these are scaled to 32x32 for want of a size.
	Channels int `json:"channels,omitempty"`
	// Test is the number of images held out as the test set where the data give none. 0: a sixth.
	Test int `json:"test,omitempty"`
	// Part names one of several idx sets in a folder: letters of emnist-letters-train-images-idx3-ubyte.
	Part string `json:"part,omitempty"`
	// SkipDamaged leaves images out that cannot be decoded.
	SkipDamaged bool `json:"skip_damaged,omitempty"`
}

// Own says where data of the user's own lie, and what is to be known of how they were read.
type Own struct {
	Path    string   // absolute
	Notes   []string // sentences for the user
	Damaged []string // files that were left out; not known of a decoded copy
}

// ownSide is the largest side that images keep, and ownFit the one that others are scaled to.
const (
	ownSide = 64
	ownFit  = 32
)

// IsOwn reports whether name is the path of data of the user's own: not the name of a set, and a path that is there or
// can be nothing else.
func IsOwn(name string) bool {
	if name == "" || slices.ContainsFunc(slices.Concat(Catalogue, BuiltIn), func(e Entry) bool { return e.Name == name }) {
		return false
	}
	if strings.ContainsRune(name, '/') || strings.ContainsRune(name, filepath.Separator) || name == "." || name == ".." {
		return true
	}
	_, err := os.Stat(name)
	return err == nil
}

// Read returns the set called name, as Load does, or the data of the user's own at the path name. as is for the latter
// only.
func Read(ctx context.Context, name string, as Reading, opt Options) (*Dataset, error) {
	if IsOwn(name) {
		return readOwn(ctx, name, as, opt, false)
	}
	if as != (Reading{}) {
		return nil, fmt.Errorf("data.size, data.channels, data.test, data.part and data.skip_damaged are for data of the "+
			"user's own, and %s is a set of the catalogue; leave them out, or name a folder", name)
	}
	return Load(ctx, name, opt)
}

// VerifyOwn reads the data of the user's own at path again, whatever the cache has.
func VerifyOwn(ctx context.Context, path string, as Reading, opt Options) (*Dataset, error) {
	return readOwn(ctx, path, as, opt, true)
}

// readOwn reads from the cache what was decoded before, unless again is set.
func readOwn(ctx context.Context, name string, as Reading, opt Options, again bool) (*Dataset, error) {
	at, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	tree, err := lookOwn(ctx, at)
	if err != nil {
		return nil, err
	}
	how, err := json.Marshal(as)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("own 1, %s, %s, %s", tree.identity, how, decoder)
	copyPath := ""
	cache, cacheErr := opt.cache()
	if cacheErr == nil {
		of := sha256.Sum256([]byte(at + "\n" + string(how)))
		copyPath = filepath.Join(cache, ownFolder, OwnName(at)+"-"+hex.EncodeToString(of[:6])+".decoded")
		if !again {
			ds, err := readDecoded(copyPath, func(h decodedHeader) bool { return h.Source == key && h.Path == at })
			if err == nil {
				used(copyPath)
				ds.Name, ds.Source = OwnName(at), at
				ds.say(opt)
				return ds, nil
			}
		}
	}
	ds, err := tree.read(ctx, at, as, opt)
	if err != nil {
		return nil, err
	}
	ds.Name, ds.Source = OwnName(at), at
	ds.Own.Path = at
	ds.say(opt)
	if cacheErr == nil {
		cacheErr = writeDecoded(copyPath, key, atomicfile.Permissions(at), ds)
	}
	if cacheErr != nil && opt.Say != nil {
		opt.Say("%s will be decoded again the next time, as a decoded copy cannot be stored: %v", at, cacheErr)
	}
	return ds, nil
}

// say tells the user what is to be known of d.
func (d *Dataset) say(opt Options) {
	if opt.Say == nil {
		return
	}
	for _, note := range d.Own.Notes {
		opt.Say("%s: %s", d.Name, note)
	}
}

// OwnName is what data of the user's own at path are called in records and figures: by the last element of the path,
// without the suffix of an archive, and never as a set of the catalogue.
func OwnName(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	name := filepath.Base(path)
	for _, suffix := range []string{".tar.gz", ".tgz", ".tar", ".zip"} {
		if len(name) > len(suffix) && strings.EqualFold(name[len(name)-len(suffix):], suffix) {
			name = name[:len(name)-len(suffix)]
			break
		}
	}
	name = strings.Trim(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.", r) {
			return r
		}
		return '-'
	}, strings.ToValidUTF8(name, "-")), ".-")
	for len(name) > 60 {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	if name == "" {
		return "images"
	}
	if slices.ContainsFunc(slices.Concat(Catalogue, BuiltIn), func(e Entry) bool { return e.Name == name }) ||
		name == FakeName {
		return "own-" + name
	}
	return name
}

// ownTree is what the data of the user's own are, by the names of their files.
type ownTree struct {
	read     func(ctx context.Context, path string, as Reading, opt Options) (*Dataset, error)
	identity string // of all files, by what can be told without reading them
}

// ownKinds are the kinds of data, in the order in which a folder is looked through.
var ownKinds = []struct {
	has  func(name string) bool // it is one of its files
	read func(ctx context.Context, path string, as Reading, opt Options) (*Dataset, error)
}{
	{func(name string) bool { _, ok := parseIDX(name); return ok }, readOwnIDX},
	{func(name string) bool { return isCIFARPython(name) || isCIFARBatch(name) }, readOwnCIFAR},
	{isCIFAR100, readOwnCIFAR100},
	{func(name string) bool { return isImage(name) && strings.Contains(name, "/") }, readOwnImages},
}

// lookOwn says what is at path.
func lookOwn(ctx context.Context, path string) (tree ownTree, err error) {
	wanted := func(name string) bool {
		for _, k := range ownKinds {
			if k.has(name) {
				return true
			}
		}
		return isImage(name)
	}
	st, err := os.Stat(path)
	if err != nil {
		return tree, fmt.Errorf("%w; name a set (%s) or a folder, zip, tar or tar.gz of images", err, listed(Names()))
	}
	sum := sha256.New()
	line := func(name string, size int64, changed fmt.Stringer) {
		fmt.Fprintf(sum, "%q %d %s\n", name, size, changed)
	}
	var names []string
	if st.IsDir() {
		w := folderWalk{want: wanted, over: new(passedOver)}
		if err := w.listAll(ctx, path); err != nil {
			return tree, fmt.Errorf("%s: %w", path, err)
		}
		for _, f := range w.files {
			line(f.name, f.size, f.changed.UTC())
			names = append(names, f.name)
		}
	} else {
		line(st.Name(), st.Size(), st.ModTime().UTC())
		err := walk(ctx, path, wanted, func(int64, int64) {}, func(name string, _ int64, _ io.Reader) error {
			if names = append(names, name); isImage(name) && !strings.Contains(name, "/") {
				return nil // it may be of a description
			}
			return fs.SkipAll // the first file tells
		})
		if err != nil {
			return tree, err
		}
	}
	tree.identity = hex.EncodeToString(sum.Sum(nil))
	for _, k := range ownKinds {
		if slices.ContainsFunc(names, k.has) {
			tree.read = k.read
			return tree, nil
		}
	}
	return tree, fmt.Errorf("%s holds no images by class: wanted are folders CLASS/ or train/CLASS/, val/CLASS/ and "+
		"test/CLASS/ of images (png, jpg, jpeg, webp, bmp or gif), idx files (train-images-idx3-ubyte, …) or those of "+
		"CIFAR", path)
}

// readOwnImages reads a folder of images of one size, or makes them fit.
func readOwnImages(ctx context.Context, at string, as Reading, opt Options) (*Dataset, error) {
	spec := imageSpec{own: true, skip: as.SkipDamaged, c: as.Channels}
	if as.Size > 0 {
		spec.h, spec.w, spec.fit = as.Size, as.Size, true
	}
	var notes []string
	for {
		r := newImageReader(spec)
		err := r.decodeTree(ctx, at, fileProgress(opt.Progress, "decoding", filepath.Base(at)))
		if r.over.link != nil && ctx.Err() == nil { // a class may be missing
			err = fmt.Errorf("%s: %w", at, r.over.link)
		}
		var other *otherForm
		switch {
		case errors.As(err, &other) && other.colour:
			spec = r.spec
			spec.c, spec.mixed = 3, false
			continue
		case errors.As(err, &other):
			spec = imageSpec{own: true, skip: as.SkipDamaged, h: ownFit, w: ownFit, c: cmp.Or(as.Channels, 3), fit: true}
			in := map[int]string{1: "grey", 3: "colour"}[spec.c]
			notes = append(notes, fmt.Sprintf("the images are scaled to %dx%d in %s, as one is %s and others are %s; choose "+
				"another size with --set data.size=64", ownFit, ownFit, in, other.has, other.was))
			continue
		case err != nil:
			return nil, err
		}
		ds, err := r.arrangeOwn(as)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if n := len(r.damaged); n > 0 {
			slices.Sort(r.damaged)
			ds.Own.Damaged = r.damaged
			notes = append(notes, fmt.Sprintf("damaged files that are left out: %d, such as %s", n, r.damaged[0]))
		}
		if ds.Converted = r.fitted.String(); ds.Converted != "" {
			notes = append(notes, "converted: "+ds.Converted)
		}
		if over := r.over.String(); over != "" {
			notes = append(notes, "passed over: "+over)
		}
		ds.Own.Notes = append(notes, ds.Own.Notes...)
		return ds, nil
	}
}

// partOf is the part that a folder called name holds, train, val or test; empty for any other folder.
func partOf(name string) string {
	switch strings.ToLower(name) {
	case "train", "training":
		return "train"
	case "val", "valid", "validation", "dev":
		return "val"
	case "test", "testing":
		return "test"
	}
	return ""
}

// layout finds the folders that tell the classes of the pictures: those at depth in their paths, or, where these are
// the parts, the ones below. Folders that all pictures lie in say nothing.
func layout(pictures []picture) (depth int, parts bool, err error) {
	if len(pictures) == 0 {
		return 0, false, errors.New("holds no images")
	}
	first := folders(pictures[0].file)
	shared := len(first)
	for _, p := range pictures {
		dirs := folders(p.file)
		n := 0
		for n < min(shared, len(dirs)) && dirs[n] == first[n] && partOf(dirs[n]) == "" {
			n++
		}
		shared = n
	}
	depth = shared
	var in, out, alone string // pictures in a part, in another folder, and in no folder of their own
	for _, p := range pictures {
		switch dirs := folders(p.file); {
		case len(dirs) <= depth:
			alone = p.file
		case partOf(dirs[depth]) == "":
			out = p.file
		default:
			in = p.file
		}
	}
	switch {
	case alone != "" && in == "" && out == "" && depth > 0:
		return 0, false, fmt.Errorf("all its images lie in the one folder %s; want a folder for each of at least two classes",
			path.Dir(alone))
	case alone != "":
		return 0, false, fmt.Errorf("%s lies in the folder of no class; want CLASS/%s, or take it out", alone,
			path.Base(alone))
	case in != "" && out != "":
		return 0, false, fmt.Errorf("%s lies beside the parts (train, val, test), where %s is; put it into one or take it "+
			"out", out, in)
	}
	return depth, in != "", nil
}

// folders are those that the file name lies in.
func folders(name string) []string {
	all := strings.Split(name, "/")
	return all[:len(all)-1]
}

// arrangeOwn makes the sets of all pictures, which their folders tell apart.
func (r *imageReader) arrangeOwn(as Reading) (*Dataset, error) {
	all := r.pictures
	depth, parts, err := layout(all)
	if err != nil {
		return nil, err
	}
	class := make([]string, len(all))
	for i := range all {
		dirs := folders(all[i].file)
		if parts {
			part := partOf(dirs[depth])
			all[i].test, all[i].val = part == "test", part == "val"
			if len(dirs) == depth+1 {
				return nil, fmt.Errorf("%s lies in the folder of no class; want %s/CLASS/%s", all[i].file,
					path.Dir(all[i].file), path.Base(all[i].file))
			}
			class[i] = dirs[depth+1]
		} else {
			class[i] = dirs[depth]
		}
		all[i].file = strings.Join(strings.Split(all[i].file, "/")[depth:], "/")
	}
	classes := slices.Compact(slices.Sorted(slices.Values(class)))
	for i := range all {
		at, _ := slices.BinarySearch(classes, class[i])
		all[i].label = int32(at)
	}
	return arrangeParts(all, classes, r.spec.shape(), as)
}

// arrangeParts makes the sets of the pictures, whose parts are known. Where there is no test set it is drawn from the
// training set, each class giving its share.
func arrangeParts(all []picture, classes []string, of shape, as Reading) (*Dataset, error) {
	if len(classes) < 2 {
		return nil, fmt.Errorf("all its images are of the one class %s; want at least two", strings.Join(classes, ""))
	}
	sortPictures(all)
	ds := &Dataset{Own: &Own{}}
	if !slices.ContainsFunc(all, func(p picture) bool { return p.test }) {
		var train []int
		var labels []int32
		for i, p := range all {
			if !p.val {
				train, labels = append(train, i), append(labels, p.label)
			}
		}
		drawn, err := drawTest(labels, len(classes), as.Test)
		if err != nil {
			return nil, err
		}
		count := 0
		for k, i := range train {
			if all[i].test = drawn[k]; drawn[k] {
				count++
			}
		}
		ds.note("it has no test set: %d of %d images are held out as one, class by class (data.test)", count, len(train))
	} else if as.Test > 0 {
		ds.note("it has a test set, so that data.test draws none")
	}
	part := func(keep func(picture) bool) *Set { return gather(all, classes, of, keep) }
	ds.Train = part(func(p picture) bool { return !p.test && !p.val })
	ds.Test = part(func(p picture) bool { return p.test })
	if slices.ContainsFunc(all, func(p picture) bool { return p.val }) {
		ds.Val = part(func(p picture) bool { return p.val })
	}
	return ds, ds.examine()
}

// drawTest marks the images with these labels that are held out to test on: n, or a sixth for 0.
func drawTest(labels []int32, classes, n int) ([]bool, error) {
	all := len(labels)
	n = cmp.Or(n, all/6)
	switch {
	case n == 0:
		return nil, fmt.Errorf("%d images are too few to hold a test set out; want at least 12", all)
	case n >= all:
		return nil, fmt.Errorf("data.test is %d, and %d images are there to train and test on; hold fewer out", n, all)
	}
	drawn := drawByClass(labels, classes, n, 0, "test set", true)
	if !slices.Contains(drawn, true) {
		return nil, errors.New("has one image of each class, so that none can be held out to test on; want more")
	}
	return drawn, nil
}

// note adds a sentence for the user.
func (d *Dataset) note(format string, args ...any) {
	d.Own.Notes = append(d.Own.Notes, fmt.Sprintf(format, args...))
}

// examine checks the parts of d, notes what is odd about them, and computes the fingerprint.
func (d *Dataset) examine() error {
	for i, s := range d.sets() {
		part := []string{"train", "test", "val"}[i]
		if s.N == 0 {
			return fmt.Errorf("holds no images to %s on", part)
		}
		count := make([]int, len(s.Classes))
		for _, l := range s.Labels {
			count[l]++
		}
		c := slices.Index(count, 0)
		switch {
		case len(s.Classes) < 2:
			return fmt.Errorf("all its images are of the one class %s; want at least two", strings.Join(s.Classes, ""))
		case c >= 0 && part == "train":
			return fmt.Errorf("the class %s has no images to train on; classes are named by their folders, with their case",
				s.Classes[c])
		case c >= 0:
			d.note("the class %s has no images in %s", s.Classes[c], part)
		}
	}
	others := All(d.Test)
	copies := len(Overlap(All(d.Train), others))
	if d.Val != nil {
		d.note("it has a validation set, so that data.val draws none")
		copies += len(Overlap(All(d.Train), All(d.Val)))
	}
	if copies > 0 {
		d.note("%d images of the test set, or of its own validation set, are also training images, pixel by pixel", copies)
	}
	d.Fingerprint = fingerprint(d.sets()...)
	return nil
}

// ownFolder is the folder of the cache with the decoded copies.
const ownFolder = "own"

// OwnCopy is a decoded copy of data of the user's own in the cache.
type OwnCopy struct {
	Name  string // of the data
	Path  string // of the data; empty where the copy is damaged
	File  string // of the copy
	Bytes int64  // of the copy
}

// OwnCopies lists the decoded copies of data of the user's own: none where there is no cache folder.
func OwnCopies(opt Options) (all []OwnCopy, err error) {
	cache, err := opt.cache()
	if err != nil {
		return nil, nil //nolint:nilerr // then nothing is kept
	}
	list, err := os.ReadDir(filepath.Join(cache, ownFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), ".decoded") {
			continue
		}
		file := filepath.Join(cache, ownFolder, e.Name())
		c := OwnCopy{Name: strings.TrimSuffix(filepath.Base(file), ".decoded"), File: file}
		if st, err := e.Info(); err == nil {
			c.Bytes = st.Size()
		}
		if f, h, _, err := openDecoded(file); err == nil { // else it is damaged, and can only be deleted
			f.Close() // read only: nothing can be lost
			c.Name, c.Path = OwnName(h.Path), h.Path
		}
		all = append(all, c)
	}
	return all, nil
}
