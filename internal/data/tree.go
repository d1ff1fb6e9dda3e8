package data

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"dla/internal/plainfile"
)

// A set may lie in a folder, in a zip, in a tar or in a tar.gz. walk reads them alike, into memory: nothing
// of an archive is ever written to the disk, so no name in it can lead out of a folder. What an archive
// may make a reader do is bounded all the same.
const (
	maxFiles     = 1 << 20   // in a tree
	maxFileBytes = 160 << 20 // of a file; the largest that is read is CIFAR-100's training part, 153.7 MB
	maxBytes     = 64 << 30  // of all files of an archive
	maxExpansion = 100       // of a zip or tar.gz; one of small images expands by 5
)

// visitor gets a file of a tree: its name with slashes, its size and its content. fs.SkipAll ends the walk.
type visitor func(name string, size int64, r io.Reader) error

// walkOnce reads the files called names whole, wherever in a folder or archive they lie, calls read with the index of
// each name, and says which were there. A name that occurs twice is an error.
func walkOnce(ctx context.Context, tree string, names []string, done func(n, total int64),
	read func(at int, b []byte) error) (seen []bool, err error) {
	index := func(name string) int { return slices.Index(names, path.Base(name)) }
	seen = make([]bool, len(names))
	want := func(name string) bool { return !hidden(name) && index(name) >= 0 }
	err = walk(ctx, tree, want, done, func(name string, size int64, r io.Reader) error {
		at := index(name)
		if seen[at] {
			return errors.New("occurs twice")
		}
		seen[at] = true
		b := make([]byte, size)
		if _, err := io.ReadFull(r, b); err != nil {
			return truncated("the file", err)
		}
		return read(at, b)
	})
	return seen, err
}

// walk visits the files of the folder, zip, tar or tar.gz at path whose names want wants: those of a folder
// in the order of their names, those of an archive in its own. done hears how many bytes of how many
// have been read. Hidden files and those that systems put beside the user's are never wanted. Links in a
// folder are followed, wherever they lead; a wanted file of an archive that is a link is an error, and so is
// a device.
func walk(ctx context.Context, path string, want func(name string) bool, done func(n, total int64),
	visit visitor) error {
	return walkAll(ctx, path, want, new(passedOver), done, visit)
}

// walkAll is walk, and adds what is not visited to over.
func walkAll(ctx context.Context, path string, want func(name string) bool, over *passedOver, done func(n, total int64),
	visit visitor) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	counted := func(name string, size int64, r io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(name, size, r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	if st.IsDir() {
		err = walkFolder(ctx, path, want, over, done, counted)
	} else {
		err = walkArchiveFile(path, want, over, done, counted)
	}
	if err != nil && !errors.Is(err, fs.SkipAll) && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return ctx.Err()
}

// passedOver counts what a walk leaves out.
type passedOver struct {
	unwanted map[string]int      // files by their suffix
	hidden   map[uint64]struct{} // hashes of the names of files, and of folders with all that is in them
	loops    int                 // links to a folder that they lie in
	link     error               // of the first link that may hide wanted files
}

func (o *passedOver) addUnwanted(name string) {
	if o.unwanted == nil {
		o.unwanted = map[string]int{}
	}
	o.unwanted[suffix(name)]++
}

// hashSeed is any: hashes are only counted.
var hashSeed = maphash.MakeSeed()

func (o *passedOver) addHidden(name string) {
	if o.hidden == nil {
		o.hidden = map[uint64]struct{}{}
	}
	o.hidden[maphash.String(hashSeed, name)] = struct{}{}
}

// suffix is that of name, as .webp; empty where it has none or one that no kind of file has.
func suffix(name string) string {
	ext := strings.ToLower(path.Ext(name))
	odd := func(r rune) bool { return r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	if len(ext) > 10 || strings.ContainsFunc(ext, odd) {
		return ""
	}
	return ext
}

// String counts by reason, the most frequent suffixes first; it is empty where nothing was left out.
func (o *passedOver) String() string {
	const listed = 6 // suffixes
	var parts []string
	others := o.unwanted[""]
	kinds := slices.DeleteFunc(slices.Collect(maps.Keys(o.unwanted)), func(k string) bool { return k == "" })
	slices.SortFunc(kinds, func(a, b string) int { return cmp.Or(o.unwanted[b]-o.unwanted[a], cmp.Compare(a, b)) })
	for i, k := range kinds {
		if i < listed {
			parts = append(parts, fmt.Sprintf("%d %s", o.unwanted[k], k))
		} else {
			others += o.unwanted[k]
		}
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("%d of other kinds", others))
	}
	if n := len(o.hidden); n > 0 {
		parts = append(parts, fmt.Sprintf("%d hidden or of the operating system", n))
	}
	if o.loops > 0 {
		parts = append(parts, fmt.Sprintf("%d linked back to a folder above", o.loops))
	}
	return strings.Join(parts, ", ")
}

// hidden says whether name, or a folder in its path, is hidden or one that systems put beside the user's files.
func hidden(name string) bool { return hiddenPart(name) != "" }

// hiddenPart is name up to the first such part of its path; empty where there is none.
func hiddenPart(name string) string {
	end := 0
	for part := range strings.SplitSeq(name, "/") {
		end += len(part)
		if strings.HasPrefix(part, ".") { // also .DS_Store and the ._NAME of macOS
			return name[:end]
		}
		switch strings.ToLower(part) {
		case "__macosx", "thumbs.db", "desktop.ini":
			return name[:end]
		}
		end++
	}
	return ""
}

// folderWalk lists the wanted files below a folder.
type folderWalk struct {
	want    func(string) bool
	over    *passedOver
	lenient bool // what cannot be read is listed with its error, and ends nothing
	files   []walkFile
	folders int
	total   int64 // bytes
	inParts bool  // files are not read whole, so they may have any size
}

type walkFile struct {
	name, path string // with slashes, below the folder; on this machine
	size       int64
	changed    time.Time
	err        error // of a lenient walk
}

// listAll adds the files of the folder dir.
func (w *folderWalk) listAll(ctx context.Context, dir string) error {
	above, err := foldersAbove(dir)
	if err != nil {
		return err
	}
	return w.list(ctx, dir, "", above)
}

// list adds the files of the folder dir, called name; above are the folders that it lies in.
func (w *folderWalk) list(ctx context.Context, dir, name string, above []fs.FileInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	self, err := os.Stat(dir)
	if err != nil {
		return w.unreadable(dir, name, err)
	}
	if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, self) }) {
		w.over.loops++
		return nil
	}
	if w.folders++; w.folders > maxFiles { // links can make many of few
		return fmt.Errorf("holds more than %d folders", maxFiles)
	}
	above = append(slices.Clip(above), self)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return w.unreadable(dir, name, err)
	}
	for _, e := range entries {
		name, at := path.Join(name, e.Name()), filepath.Join(dir, e.Name())
		if hidden(e.Name()) {
			w.over.addHidden(name)
			continue
		}
		if err := w.entry(ctx, e, at, name, above); err != nil {
			return err
		}
	}
	return nil
}

// unreadable ends the walk with err, or lists the file or folder at path with it.
func (w *folderWalk) unreadable(at, name string, err error) error {
	if !w.lenient {
		return err
	}
	w.files = append(w.files, walkFile{name: name, path: at, err: err})
	return checkFile(name, 0, len(w.files))
}

// entry adds the file e, or what is in the folder e, which links may lead to.
func (w *folderWalk) entry(ctx context.Context, e fs.DirEntry, at, name string, above []fs.FileInfo) error {
	if !e.IsDir() && e.Type()&fs.ModeSymlink == 0 && !w.want(name) {
		w.over.addUnwanted(name)
		return nil
	}
	info, err := os.Stat(at)
	if err != nil && e.Type()&fs.ModeSymlink != 0 {
		err = fmt.Errorf("%s is a link that leads nowhere (%w); mend it or take it out", name, err)
		if w.want(name) || w.lenient && suffix(name) == "" { // perhaps of a folder of images
			return w.unreadable(at, name, err)
		}
		w.over.link = cmp.Or(w.over.link, err)
		return nil
	}
	switch {
	case err != nil:
		return w.unreadable(at, name, err)
	case info.IsDir():
		return w.list(ctx, at, name, above)
	case !w.want(name):
		w.over.addUnwanted(name)
		return nil
	case !info.Mode().IsRegular():
		return w.unreadable(at, name, fmt.Errorf("%s is not a regular file; remove it", name))
	case w.lenient && info.Size() > maxFileBytes:
		return w.unreadable(at, name, checkFile(name, info.Size(), 1))
	}
	w.files = append(w.files, walkFile{name: name, path: at, size: info.Size(), changed: info.ModTime()})
	w.total += info.Size()
	if w.inParts {
		return checkFile(name, min(info.Size(), maxFileBytes), len(w.files))
	}
	return checkFile(name, info.Size(), len(w.files))
}

func walkFolder(ctx context.Context, dir string, want func(string) bool, over *passedOver, done func(n, total int64),
	visit visitor) error {
	w := folderWalk{want: want, over: over}
	if err := w.listAll(ctx, dir); err != nil {
		return err
	}
	var read int64
	for _, f := range w.files {
		r, _, err := plainfile.Open(f.path)
		if err != nil {
			return err
		}
		err = visit(f.name, f.size, io.LimitReader(r, f.size))
		r.Close() // read only: nothing can be lost
		if err != nil {
			return err
		}
		before := read
		if read += f.size; read>>20 != before>>20 || read == w.total {
			done(read, w.total)
		}
	}
	return nil
}

// foldersAbove are those that dir lies in. A link from dir to one of them is one back to itself.
func foldersAbove(dir string) (above []fs.FileInfo, err error) {
	if dir, err = filepath.Abs(dir); err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	for err == nil && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		if info, statErr := os.Stat(dir); statErr == nil { // one that may not be looked at leads to nothing
			above = append(above, info)
		}
	}
	return above, err
}

func walkArchiveFile(path string, want func(string) bool, over *passedOver, done func(n, total int64),
	visit visitor) error {
	f, size, err := plainfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := f.ReadAt(magic, 0); err == nil && isZip(magic) {
		return walkZip(f, size, want, over, done, visit)
	}
	r := bufio.NewReaderSize(&counting{r: f, done: func(n int64) { done(n, size) }}, 1<<20)
	return walkArchive(r, size, want, over, visit)
}

// walkArchive reads a tar or tar.gz of size bytes.
func walkArchive(r *bufio.Reader, size int64, want func(string) bool, over *passedOver, visit visitor) error {
	limit, beyond := size, errors.New("truncated: its files are said to be longer than it is")
	var content io.Reader = r
	if magic, _ := r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		limit, beyond = min(maxBytes, size*maxExpansion+1<<20), errTooMuch
		content = &capped{z, limit}
	}
	in := tar.NewReader(content)
	var total int64
	last := "its start"
	for n := 1; ; n++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if n == 1 && (errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return errors.New("is neither a folder nor a zip, tar or tar.gz archive")
		}
		if err != nil {
			return truncated("the archive, after "+last, err)
		}
		name := path.Clean(h.Name)
		if last = name; h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := checkName(h.Name, want); err != nil {
			return err
		}
		if err := checkFile(name, h.Size, n); err != nil {
			return err
		}
		if total += h.Size; total > limit { // in a sparse file more than there is to be read
			return beyond
		}
		if part := hiddenPart(name); part != "" {
			over.addHidden(part)
			continue
		}
		switch symbolic, wanted := h.Typeflag == tar.TypeSymlink, want(name); {
		case wanted && (symbolic || h.Typeflag == tar.TypeLink):
			return archivedLink(name)
		case symbolic: // perhaps to a folder of wanted files
			over.link = cmp.Or(over.link, archivedLink(name))
			continue
		case !wanted:
			over.addUnwanted(name)
			continue
		case h.Typeflag != tar.TypeReg:
			return fmt.Errorf("%s is not a regular file; remove it", name)
		}
		if err := visit(name, h.Size, in); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, content) // to the end, where gzip's checksum is
	if err != nil {
		return truncated("its end", err)
	}
	return nil
}

func archivedLink(name string) error {
	return fmt.Errorf("%s is a link, and those of an archive are not followed; pack what it leads to (tar --dereference --hard-dereference)", name)
}

// checkFile says whether the nth file of a tree may be read.
func checkFile(name string, size int64, n int) error {
	switch {
	case n > maxFiles:
		return fmt.Errorf("holds more than %d files", maxFiles)
	case size > maxFileBytes:
		return fmt.Errorf("%s has %d bytes, more than the %d a file may have", name, size, maxFileBytes)
	}
	return nil
}

var errTooMuch = fmt.Errorf("expands to more than %d times its size or to more than %d GiB: this is not a set of images", maxExpansion, maxBytes>>30)

// capped fails once left bytes have been read.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}

// counting reports how many bytes were read through it, and keeps the error that ended the reading.
type counting struct {
	r    io.Reader
	n    int64
	done func(n int64)
	err  error
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.done(c.n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// checkName says whether name, of a file in an archive, is that of a file below the archive's top. Any bytes may
// stand in it, as they may in a file system: names of old are in Latin-1 or Shift JIS.
func checkName(name string, want func(string) bool) error {
	switch slashes := strings.ReplaceAll(name, "\\", "/"); {
	case path.IsAbs(name) || slices.Contains(strings.Split(name, "/"), ".."):
		return fmt.Errorf("holds a file with the name %q, which leads out of it", name)
	case name == "" || strings.ContainsRune(name, 0):
		return fmt.Errorf("holds a file with the name %q, which no file can have", name)
	case slashes != name && want(path.Clean(slashes)):
		return fmt.Errorf("holds a file with the name %q, in which backslashes part the folders; pack it again with slashes",
			name)
	}
	return nil
}
