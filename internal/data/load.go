package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dla/internal/atomicfile"
	"dla/internal/download"
)

// Options say where to look for a set. The zero value is the usual choice.
type Options struct {
	Dir      string // instead of $DLA_DATA
	Cache    string // instead of the user's cache folder
	Offline  bool   // use no network
	Progress func(Progress)
	Say      func(format string, args ...any) // one line to the user
}

// Progress reports how far a file is fetched, copied or decoded, in bytes of it.
type Progress = download.Progress

// fileProgress gives reports about one file.
func fileProgress(report func(Progress), verb, file string) func(done, total int64) {
	if report == nil {
		return func(int64, int64) {}
	}
	return func(done, total int64) { report(Progress{Verb: verb, File: file, Done: done, Total: total}) }
}

func (o Options) dir() string {
	if o.Dir != "" {
		return o.Dir
	}
	return os.Getenv("DLA_DATA")
}

func (o Options) cache() (string, error) {
	if o.Cache != "" {
		return o.Cache, nil
	}
	return CacheDir()
}

// Load finds the set called name: in $DLA_DATA, then in the user's cache, then on the network, whose files are kept
// in the cache. Each file is checked by its SHA-256 before use; a damaged file is an error and is never skipped. A
// set whose images take seconds to decode is also kept decoded in the cache, with a checksum of its own, and loaded
// from there the next time; so are the built-in sets, which are drawn.
//
// If mnist can be found nowhere, the synthetic digits take its place: Dataset.Synthetic is then true, and Source says
// why. For any other set that is an error which names the command that fetches it. It is also an error for mnist if
// other files lie in its place.
func Load(ctx context.Context, name string, opt Options) (*Dataset, error) {
	switch digits, shapes := drawnSets[0], drawnSets[1]; name {
	case digits.name:
		return digits.load("the built-in typefaces, seeded", opt), nil
	case shapes.name:
		return shapes.load("drawn, seeded", opt), nil
	}
	e, err := lookupImages(name)
	if err != nil {
		return nil, err
	}
	at, err := e.locate(ctx, opt)
	if Nowhere(err) {
		if d := opt.dir(); d != "" {
			err = fmt.Errorf("%w; $DLA_DATA is %s", err, d)
		}
		if there := e.Unrecognised(opt); there != "" {
			return nil, fmt.Errorf("%w; %s; %s", err, there, e.Obtain())
		}
		if e.standIn {
			return drawnSets[0].load(err.Error(), opt), nil
		}
		return nil, fmt.Errorf("%w; %s", err, e.Obtain())
	}
	if err != nil {
		return nil, err
	}
	at.sayPassedOver(opt)
	ds, err := at.load(ctx, opt)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%s: %w; %s", e.Name, err, e.Remedy(at.Dir, opt))
	}
	return ds, err
}

// sayPassedOver says what lies in $DLA_DATA where the set is not taken from there.
func (at Found) sayPassedOver(opt Options) {
	if at.Source == fromData || opt.Say == nil {
		return
	}
	if there := at.Entry.unrecognised(at.Entry.dirs(opt), opt); there != "" {
		opt.Say("%s is taken from %s: %s", at.Entry.Name, at.Source, there)
	}
}

// notFoundError says why a set could be had from nowhere.
type notFoundError struct{ err error }

func (e *notFoundError) Error() string { return e.err.Error() }
func (e *notFoundError) Unwrap() error { return e.err }

// Nowhere reports whether err says that a set is not on this machine and that no source of it could be reached.
func Nowhere(err error) bool {
	var nowhere *notFoundError
	return errors.As(err, &nowhere)
}

// fetched says whether a form of e can be had from the network.
func (e Entry) fetched() bool {
	for _, f := range e.Forms {
		if len(f.Mirrors) > 0 || f.Module != "" {
			return true
		}
	}
	return false
}

// Obtain says how to get a set that is not on this machine.
func (e Entry) Obtain() string {
	importing := fmt.Sprintf("`dla data import %s FOLDER_OR_ARCHIVE`", e.Name)
	if !e.fetched() {
		return fmt.Sprintf("%s, or use %s", e.byHand(e.Forms[0].fileNames()), importing)
	}
	return fmt.Sprintf("get it with `dla data pull %s`, on a machine without network with %s", e.Name, importing)
}

// byHand says where what is put on this machine by hand is found.
func (e Entry) byHand(what string) string {
	if d := os.Getenv("DLA_DATA"); d != "" {
		return fmt.Sprintf("put %s into $DLA_DATA/%s (%s)", what, e.Folder, filepath.Join(d, e.Folder))
	}
	return fmt.Sprintf("put %s into a folder DIR/%s and set DLA_DATA=DIR", what, e.Folder)
}

// Remedy says what to do about files in dir that are damaged or missing.
func (e Entry) Remedy(dir string, opt Options) string {
	if cache, err := opt.cache(); err == nil && dir == filepath.Join(cache, e.Folder) {
		if e.fetched() {
			return fmt.Sprintf("fetch it again with `dla data pull %s`", e.Name)
		}
		return fmt.Sprintf("fetch it again with `dla data import %s FOLDER_OR_ARCHIVE`", e.Name)
	}
	if e.fetched() {
		return fmt.Sprintf("replace the files in %s, or unset DLA_DATA and get them with `dla data pull %s`", dir, e.Name)
	}
	return fmt.Sprintf("replace the files in %s", dir)
}

// fromData is the source of what was found there.
const fromData = "$DLA_DATA"

// Found is a set as it lies on this machine.
type Found struct {
	Entry  Entry
	Form   string // which form of it
	Dir    string
	Source string // $DLA_DATA, the cache or what it was fetched from

	form *Form // nil: the decoded copy in Dir, of an import, is all there is
}

// dirs are where e lies in $DLA_DATA, if there.
func (e Entry) dirs(opt Options) (dirs []string) {
	for _, folder := range []string{e.Folder, e.Aka} {
		if d := opt.dir(); d != "" && folder != "" {
			dirs = append(dirs, filepath.Join(d, folder))
		}
	}
	return dirs
}

// find looks for a form of e in dir, or for some of the files of one.
func (e Entry) find(dir, source string) (Found, bool) {
	for i := range e.Forms {
		f := &e.Forms[i]
		if f.Folder != "" && !absent(filepath.Join(dir, f.Folder)) || len(f.missing(dir)) < len(f.Files) {
			return Found{e, f.Name, dir, source, f}, true
		}
	}
	return Found{}, false
}

// findDecoded looks in the cache's folder dir for a decoded copy with the published content.
func (e Entry) findDecoded(dir string) (Found, bool) {
	f, h, _, err := openDecoded(e.decodedPath(dir))
	if err != nil {
		return Found{}, false
	}
	f.Close() // read only: nothing can be lost
	return Found{e, "decoded", dir, "the cache", nil}, e.published(h)
}

// decodedPath is where e is kept decoded, dir being its folder in the cache.
func (e Entry) decodedPath(dir string) string { return filepath.Join(dir, e.Name+".decoded") }

// locate finds all of e's files, fetching them where it must. A folder with some of the files is
// found: reading it tells what is wrong. But in the cache, what is missing is fetched first, for
// another process may be fetching it now, or one was cut short.
func (e Entry) locate(ctx context.Context, opt Options) (Found, error) {
	for _, dir := range e.dirs(opt) {
		if at, ok := e.find(dir, fromData); ok {
			return at, nil
		}
	}
	cache, err := opt.cache()
	if err != nil && opt.Offline { // nothing is in a cache that there is not
		return Found{}, &notFoundError{fmt.Errorf("%s is not in $DLA_DATA, and %w", e.Name, err)}
	}
	if err != nil {
		return Found{}, fmt.Errorf("%s is not in $DLA_DATA, and what is fetched could not be stored: %w, or %s", e.Name, err,
			e.byHand(e.Forms[0].fileNames()))
	}
	dir := filepath.Join(cache, e.Folder)
	if at, ok := e.find(dir, "the cache"); ok {
		missing := at.form.missing(dir)
		if len(missing) == 0 || opt.Offline {
			return at, nil
		}
		rest := *at.form
		rest.Files, rest.contents = missing, nil
		at.Source, err = e.pull(ctx, &rest, dir, opt.Progress)
		var nowhere *notFoundError
		if errors.As(err, &nowhere) { // not "nowhere": part of it is here
			err = fmt.Errorf("%s lacks %s: %w; %s", dir, missing[0].Name, nowhere.err, e.Remedy(dir, opt))
		}
		return at, err
	}
	if at, ok := e.findDecoded(dir); ok {
		return at, nil
	}
	if opt.Offline {
		return Found{}, &notFoundError{fmt.Errorf("%s is neither in $DLA_DATA nor in %s, and the network is not to be used",
			e.Name, dir)}
	}
	source, err := e.Pull(ctx, dir, opt.Progress)
	if err != nil {
		return Found{}, err
	}
	at, _ := e.find(dir, cmp.Or(source, "the cache")) // empty: another process was faster
	return at, nil
}

// Find says what of e Load would read on this machine; false where there is nothing.
func (e Entry) Find(opt Options) (Found, bool, error) {
	opt.Offline = true
	at, err := e.locate(context.Background(), opt)
	if Nowhere(err) {
		return Found{}, false, nil
	}
	return at, err == nil, err
}

// Bytes is the size of the files, where it is known.
func (at Found) Bytes() int64 {
	if at.form != nil {
		return at.form.size()
	}
	if st, err := os.Stat(at.Entry.decodedPath(at.Dir)); err == nil {
		return st.Size()
	}
	return 0
}

// Unpacked says whether the set is a folder without checksums, of which Check says nothing.
func (at Found) Unpacked() bool { return at.form != nil && at.form.Folder != "" }

// Unchecked says whether what Check finds wrong may be the published content all the same, packed anew, which
// Verify tells.
func (at Found) Unchecked(wrong error) bool {
	return at.form != nil && wrong != nil && at.Entry.byContent(wrong)
}

// Check verifies the files by their checksums.
func (at Found) Check() error {
	if at.form == nil {
		_, err := readDecoded(at.Entry.decodedPath(at.Dir), at.Entry.published)
		return err
	}
	return at.form.verify(at.Dir)
}

// Verify is Check, and reads an unpacked folder of images whole, and an archive that is not the published one.
func (at Found) Verify(ctx context.Context, progress func(Progress)) error {
	if wrong := at.Check(); !at.Unpacked() && !at.Unchecked(wrong) {
		return wrong
	}
	_, err := at.read(ctx, progress)
	return err
}

// published says whether the copy under h has e's content.
func (e Entry) published(h decodedHeader) bool {
	return e.Fingerprint != "" && h.Fingerprint == e.Fingerprint
}

// load reads the set, from a decoded copy where there is one, or else leaves one.
func (at Found) load(ctx context.Context, opt Options) (*Dataset, error) {
	e := at.Entry
	if at.form != nil && !at.form.slow {
		return at.read(ctx, opt.Progress)
	}
	cache, err := opt.cache()
	copyPath := ""
	if err == nil {
		copyPath = e.decodedPath(filepath.Join(cache, e.Folder))
		accept := func(h decodedHeader) bool {
			if at.form != nil && (h.version == 1 || at.form.ordered && !h.Ordered) {
				return false // the form says more of where the images come from
			}
			return e.published(h) || h.Source != "" && h.Source == at.key()
		}
		ds, readErr := readDecoded(copyPath, accept)
		if readErr == nil {
			used(copyPath)
			return at.dataset(ds.Train, ds.Test, ds.Fingerprint), nil
		}
		if at.form == nil {
			return nil, readErr // there is nothing to decode it from again
		}
	}
	ds, readErr := at.read(ctx, opt.Progress)
	if readErr != nil {
		return nil, readErr
	}
	if err == nil {
		err = writeDecoded(copyPath, at.key(), atomicfile.Permissions(at.Dir), ds)
	}
	if err != nil && opt.Say != nil {
		opt.Say("%s will be decoded again the next time, as a decoded copy cannot be stored: %v", e.Name, err)
	}
	return ds, nil
}

func (at Found) key() string {
	if at.form == nil {
		return ""
	}
	return at.form.key()
}

// read verifies and decodes the form that was found. Files that are not the published ones, as archives that
// were packed anew, are decoded too where the content can be compared.
func (at Found) read(ctx context.Context, progress func(Progress)) (*Dataset, error) {
	var wrong error
	if at.form.contents == nil { // else reading verifies
		wrong = at.form.verify(at.Dir)
	}
	if wrong != nil && !at.Entry.byContent(wrong) {
		return nil, wrong
	}
	path := at.form.path(at.Dir)
	train, test, err := at.form.read(ctx, path, fileProgress(progress, "decoding", filepath.Base(path)))
	if err != nil {
		return nil, orElse(ctx, wrong, err)
	}
	ds := at.dataset(train, test, fingerprint(train, test))
	if (at.Unpacked() || wrong != nil) && ds.Fingerprint != at.Entry.Fingerprint {
		return nil, orElse(ctx, wrong, at.Entry.notPublished(path, ds))
	}
	return ds, nil
}

// byContent says whether files that are wrong may still have the published content, which can be compared.
func (e Entry) byContent(wrong error) bool {
	return e.Fingerprint != "" && !errors.Is(wrong, fs.ErrNotExist)
}

// orElse is err of content that was read though its files are wrong, where that is not nil.
func orElse(ctx context.Context, wrong, err error) error {
	if wrong == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w; nor is its content the published one: %w", wrong, err)
}

// notPublished is the error of a content that is whole but not e's.
func (e Entry) notPublished(path string, ds *Dataset) error {
	return fmt.Errorf("%s holds %d + %d images that are not the published ones of %s bit for bit (JPEG copies never are): their fingerprint is %.12s…, want %.12s…", path, ds.Train.N, ds.Test.N, e.Name, ds.Fingerprint, e.Fingerprint)
}

func (at Found) dataset(train, test *Set, fingerprint string) *Dataset {
	source := at.Source
	if len(at.Entry.Forms) > 1 {
		source += ", " + at.Form
	}
	return &Dataset{Name: at.Entry.Name, Source: source, Train: train, Test: test, Fingerprint: fingerprint}
}
