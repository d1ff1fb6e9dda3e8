package data

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// smallIDX is a set of two files like MNIST's, and what they unpack to.
func smallIDX() (e Entry, contents tree) {
	contents = tree{"train-images-idx3-ubyte": []byte("the images, of which there are some"),
		"train-labels-idx1-ubyte": []byte("the labels")}
	f := Form{Name: "idx", places: mnistPlaces}
	for _, name := range []string{"train-images-idx3-ubyte", "train-labels-idx1-ubyte"} {
		f.Files = append(f.Files, published(name+".gz", zip(contents[name])))
		f.contents = append(f.contents, published(name, contents[name]))
	}
	return Entry{Name: "small", Folder: "small", Aka: "SMALL", Forms: []Form{f}}, contents
}

// stored is b as a gzip file that is no published one: with a name in it.
func stored(t *testing.T, b []byte) []byte {
	t.Helper()
	z := zip(b)
	named := append(bytes.Clone(z[:10]), "a name\x00"...)
	named[3] = 8 // FNAME
	return append(named, z[10:]...)
}

// TestFilesByAnyName: files are the set's by what they unpack to, under the names and in the folders in use. They
// are found, verified, imported and found again.
func TestFilesByAnyName(t *testing.T) {
	e, contents := smallIDX()
	images, labels := contents["train-images-idx3-ubyte"], contents["train-labels-idx1-ubyte"]
	for name, files := range map[string]tree{
		"published": {"small/train-images-idx3-ubyte.gz": zip(images),
			"small/train-labels-idx1-ubyte.gz": zip(labels)},
		"packed anew": {"small/train-images-idx3-ubyte.gz": stored(t, images),
			"small/train-labels-idx1-ubyte.gz": zip(labels)},
		"plain":            {"small/train-images-idx3-ubyte": images, "small/train-labels-idx1-ubyte": labels},
		"plain, so called": {"small/train-images-idx3-ubyte.gz": images, "small/train-labels-idx1-ubyte.gz": labels},
		"with points":      {"small/train-images.idx3-ubyte": images, "small/train-labels.idx1-ubyte.gz": stored(t, labels)},
		"Kaggle": {"small/train-images-idx3-ubyte/train-images-idx3-ubyte": images,
			"small/train-labels-idx1-ubyte/train-labels-idx1-ubyte": labels},
		"torchvision": {"SMALL/raw/train-images-idx3-ubyte": images,
			"SMALL/raw/train-images-idx3-ubyte.gz": zip(images), "SMALL/raw/train-labels-idx1-ubyte": labels},
		"torchvision below": {"small/MNIST/raw/train-images-idx3-ubyte": images,
			"small/MNIST/raw/train-labels-idx1-ubyte": labels},
		"one is damaged": {"small/train-images-idx3-ubyte.gz": zip(images)[:20], "small/train-images-idx3-ubyte": images,
			"small/train-labels-idx1-ubyte": labels},
	} {
		root, cache := files.folder(t.TempDir()), t.TempDir()
		opt := Options{Dir: root, Cache: t.TempDir()}
		at, found, err := e.Find(opt)
		if !found || err != nil {
			t.Errorf("%s: found %v, %v", name, found, err)
			continue
		}
		if err := at.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if missing := e.Forms[0].missing(at.Dir); len(missing) != 0 {
			t.Errorf("%s: %s lacks %v", name, at.Dir, missing)
		}
		if at.Source != "$DLA_DATA" {
			t.Errorf("%s: found in %s, want $DLA_DATA", name, at.Source)
		}
		dir := filepath.Join(cache, e.Folder)
		if err := e.Import(context.Background(), at.Dir, dir, nil); err != nil {
			t.Errorf("%s: import: %v", name, err)
			continue
		}
		again, found, err := e.Find(Options{Dir: t.TempDir(), Cache: cache})
		if !found || err != nil || again.Check() != nil {
			t.Errorf("%s: imported and found %v, %v; check: %v", name, found, err, again.Check())
		}
		for i, want := range [][]byte{images, labels} {
			path, as, err := e.Forms[0].locate(dir, i)
			b, readErr := os.ReadFile(path)
			if err != nil || readErr != nil {
				t.Errorf("%s: file %d: %v %v", name, i, err, readErr)
			}
			if got := published(as.Name, b); got != as {
				t.Errorf("%s: file %d is %+v, said to be %+v", name, i, got, as)
			}
			if filepath.Base(path) != as.Name {
				t.Errorf("%s: file %d is kept as %s, said to be %s", name, i, path, as.Name)
			}
			if !bytes.Equal(b, want) && !strings.HasSuffix(as.Name, ".gz") {
				t.Errorf("%s: file %d, %s, has another content", name, i, path)
			}
		}
		if source, err := e.Pull(context.Background(), dir, nil); source != "" || err != nil {
			t.Errorf("%s: pulled what is there from %q, %v", name, source, err)
		}
	}
}

// TestWrongFilesByAnyName: the error names the file and says what is wrong, and nothing is imported.
func TestWrongFilesByAnyName(t *testing.T) {
	e, contents := smallIDX()
	images, labels := contents["train-images-idx3-ubyte"], contents["train-labels-idx1-ubyte"]
	other := bytes.Clone(labels)
	other[0]++
	for name, tc := range map[string]struct {
		files tree
		want  string
	}{
		"cut": {tree{"train-images-idx3-ubyte": images[:9], "train-labels-idx1-ubyte": labels},
			"train-images-idx3-ubyte does not hold what train-images-idx3-ubyte is to: 9 bytes, want 35"},
		"other": {tree{"raw/train-images.idx3-ubyte": images, "raw/train-labels.idx1-ubyte": other},
			"train-labels.idx1-ubyte does not hold what train-labels-idx1-ubyte is to: its SHA-256"},
		"longer": {tree{"train-images-idx3-ubyte": append(bytes.Clone(images), 0), "train-labels-idx1-ubyte": labels},
			"more than 35 bytes"},
		"missing": {tree{"train-images-idx3-ubyte": images}, "train-labels-idx1-ubyte.gz: "},
		"cut gzip": {tree{"train-images.idx3-ubyte.gz": zip(images)[:30], "train-labels-idx1-ubyte": labels},
			"train-images.idx3-ubyte.gz: truncated in the file"},
		"damaged": {tree{"train-images-idx3-ubyte.gz": zip(images)[:30], "train-labels-idx1-ubyte": labels},
			"train-images-idx3-ubyte.gz is damaged: 30 bytes, want"},
		"a gzip bomb": {tree{"train-images.idx3-ubyte.gz": zip(make([]byte, 1<<24)), "train-labels-idx1-ubyte": labels},
			"more than 35 bytes"},
		"gzip, longer": {tree{"train-images.idx3-ubyte.gz": append(zip(images), 7), "train-labels-idx1-ubyte": labels},
			"train-images.idx3-ubyte.gz: "},
	} {
		root := t.TempDir()
		dir, cache := tc.files.folder(filepath.Join(root, "small")), t.TempDir()
		at, found, err := e.Find(Options{Dir: root, Cache: t.TempDir()})
		if !found || err != nil {
			t.Errorf("%s: found %v, %v", name, found, err)
			continue
		}
		for what, err := range map[string]error{"check": at.Check(),
			"import": e.Import(context.Background(), dir, cache, nil)} {
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %s: %v, want one with the folder and %q", name, what, err, tc.want)
			}
		}
		if list, _ := os.ReadDir(cache); len(list) != 0 {
			t.Errorf("%s: %v was copied", name, list)
		}
	}
}

// TestMNISTByAnyName reads the real images, as torchvision keeps them and as other tools call them.
func TestMNISTByAnyName(t *testing.T) {
	from := filepath.Join(os.Getenv("DLA_DATA"), "mnist")
	published := tree{}
	for _, f := range mnistFiles {
		b, err := os.ReadFile(filepath.Join(from, f.Name))
		if os.Getenv("DLA_DATA") == "" || err != nil {
			t.Skip("DLA_DATA is not set or has no mnist: no real MNIST to read")
		}
		published[f.Name] = b
	}
	want, err := Load(context.Background(), "mnist", Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Lookup("mnist")
	if err != nil {
		t.Fatal(err)
	}
	torchvision, points := tree{}, tree{}
	for i, f := range mnistFiles {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, f.Name), published[f.Name], 0o600); err != nil {
			t.Fatal(err)
		}
		plain, err := readAll(filepath.Join(dir, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		name := mnistContents[i].Name
		torchvision["MNIST/raw/"+name] = plain
		points["mnist/"+strings.Replace(name, "-idx", ".idx", 1)] = plain
	}
	for name, files := range map[string]tree{"torchvision": torchvision, "points": points} {
		root, cache := files.folder(t.TempDir()), t.TempDir()
		opt := Options{Dir: root, Cache: t.TempDir(), Offline: true, Say: t.Errorf}
		ds, err := Load(context.Background(), "mnist", opt)
		if err != nil || ds.Synthetic || ds.Fingerprint != want.Fingerprint {
			t.Errorf("%s: %+v, %v", name, ds, err)
		}
		src := root
		if name == "points" {
			src = filepath.Join(root, "mnist")
		}
		if err := e.Import(context.Background(), src, filepath.Join(cache, "mnist"), nil); err != nil {
			t.Errorf("%s: import: %v", name, err)
		}
		if ds, err := Load(context.Background(), "mnist", Options{Dir: t.TempDir(), Cache: cache,
			Offline: true}); err != nil || ds.Fingerprint != want.Fingerprint {
			t.Errorf("%s, imported: %v", name, err)
		}
	}
}

// TestOtherFilesAreNoReasonForSyntheticDigits: where files lie in the place of mnist that are none of its, they are
// named, with what is wanted, and nothing takes the set's place. Where it is found elsewhere, they are said.
func TestOtherFilesAreNoReasonForSyntheticDigits(t *testing.T) {
	t.Setenv("DLA_DATA", "")
	page := []byte("<!DOCTYPE html><title>404</title>")
	for name, tc := range map[string]struct {
		data, cache tree
		want        []string
	}{
		"a web page": {data: tree{"mnist/train-images.gz": page},
			want: []string{"mnist holds train-images.gz (33 bytes, text/html; charset=utf-8); wanted: train-images-idx3-ubyte.gz, ", ", packed or not", "get it with `dla data pull mnist`"}},
		"torchvision": {data: tree{"MNIST/processed/training.pt": page}, want: []string{"MNIST holds processed (a folder)"}},
		"many": {data: tree{"mnist/a": nil, "mnist/b": nil, "mnist/c": nil, "mnist/d": nil, "mnist/e": nil,
			"mnist/.f": nil}, want: []string{"holds a (0 bytes, text/plain; charset=utf-8), b (",
			"d (0 bytes, text/plain; charset=utf-8), 1 more; wanted"}},
		"in the cache": {cache: tree{"mnist/mnist.zip": []byte("PK\x03\x04")},
			want: []string{"holds mnist.zip (4 bytes, application/zip)"}},
		"beside": {data: tree{"train-images.idx3-ubyte": nil, "train-labels.idx1-ubyte": nil, "t10k-images.idx3-ubyte": nil,
			"t10k-labels.idx1-ubyte": nil},
			want: []string{"itself, not in its folder mnist"}},
	} {
		opt := Options{Dir: tc.data.folder(t.TempDir()), Cache: tc.cache.folder(t.TempDir()), Offline: true}
		ds, err := Load(context.Background(), "mnist", opt)
		for _, w := range append(tc.want, "$DLA_DATA is "+opt.Dir) {
			if err == nil || !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %+v, error %v, want one line with %q", name, ds, err, w)
			}
		}
	}

	// Nothing of the set's neighbours, of systems or of a broken transfer is in its place.
	nothing := tree{"mnist/.DS_Store": nil, "mnist/.train-images-idx3-ubyte.gz.tmp-1": nil,
		"cifar10/cifar10-png.tar.gz": nil}
	if ds, err := Load(context.Background(), "mnist", Options{Dir: nothing.folder(t.TempDir()), Cache: t.TempDir(),
		Offline: true}); err != nil || !ds.Synthetic {
		t.Errorf("%+v, %v", ds, err)
	}
	jpeg := tree{"cifar10/cifar10-images.tar.gz": nil, "cifar10/notes": nil}
	_, err := Load(context.Background(), "cifar10", Options{Dir: jpeg.folder(t.TempDir()), Cache: t.TempDir(),
		Offline: true})
	if err == nil || !strings.Contains(err.Error(),
		"cifar10 holds notes (0 bytes, text/plain; charset=utf-8); wanted: cifar-10-binary.tar.gz, or cifar10-png.tar.gz, or cifar-10-python.tar.gz, or the folder cifar-10-batches-py, or the folder cifar-10-batches-bin, or the folders train and test of images by class") {
		t.Errorf("cifar10: %v", err)
	}
	reviews := tree{"rotten_tomatoes/reviews.csv": []byte("a,b")}
	_, err = LoadSentences(context.Background(), "rotten_tomatoes",
		Options{Dir: reviews.folder(t.TempDir()), Cache: t.TempDir(), Offline: true})
	if err == nil || !strings.Contains(err.Error(), "rotten_tomatoes holds reviews.csv (3 bytes, ") ||
		!strings.Contains(err.Error(), "train.parquet, validation.parquet, test.parquet") {
		t.Errorf("rotten_tomatoes: %v", err)
	}

	e, contents := smallIDX()
	cache := tree{}
	for name, b := range contents {
		cache["small/"+name+".gz"] = zip(b)
	}
	var said []string
	opt := Options{Dir: tree{"small/x.zip": []byte("PK\x03\x04")}.folder(t.TempDir()), Cache: cache.folder(t.TempDir()),
		Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
	at, found, err := e.Find(opt)
	if !found || err != nil {
		t.Fatalf("%v, %v", found, err)
	}
	at.sayPassedOver(opt)
	if want := "small is taken from the cache: " + filepath.Join(opt.Dir,
		"small") + " holds x.zip (4 bytes, application/zip); wanted: train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, packed or not"; !slices.Equal(said, []string{want}) {
		t.Errorf("said %q, want %q", said, want)
	}
}

// readAll unpacks the gzip file at path.
func readAll(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
