package data

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"dla/internal/plainfile"
)

// mnistFiles are MNIST's images and labels, of the training and of the test set.
var mnistFiles = []File{
	{"train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
	{"train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
	{"t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
	{"t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"},
}

// mnistContents are what they unpack to, in the same order.
var mnistContents = []File{
	{"train-images-idx3-ubyte", 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
	{"train-labels-idx1-ubyte", 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
	{"t10k-images-idx3-ubyte", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
	{"t10k-labels-idx1-ubyte", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
}

// mnistFolders are where the files lie in the set's folder, or in one to be imported: beside each other, or as
// torchvision keeps them.
var mnistFolders = []string{"", "raw", "MNIST/raw"}

// mnistPlaces are where the file called name may lie: packed or not, under the published name or the one with a
// point that some tools make of it, or in a folder of its own name as on Kaggle.
func mnistPlaces(name string) (places []string) {
	point := strings.Replace(name, "-idx", ".idx", 1)
	for _, folder := range mnistFolders {
		for _, n := range []string{name + ".gz", name, point + ".gz", point, name + "/" + name} {
			places = append(places, filepath.FromSlash(folder+"/"+n))
		}
	}
	return places
}

var digits = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// readMNIST checks and reads the four files in dir.
func readMNIST(_ context.Context, dir string, _ func(n, total int64)) (train, test *Set, err error) {
	for i, dst := range []**Set{&train, &test} {
		n := []int{60000, 10000}[i]
		pixels, _, err := readIDXFile(dir, 2*i, n, 28, 28)
		if err != nil {
			return nil, nil, err
		}
		labels, names, err := readIDXFile(dir, 2*i+1, n)
		if err != nil {
			return nil, nil, err
		}
		s := &Set{N: n, H: 28, W: 28, C: 1, Pixels: pixels, Labels: make([]int32, n), Classes: digits, Origin: inOrder(n)}
		for j, l := range labels {
			if l > 9 {
				return nil, nil, fmt.Errorf("%s: label %d of image %d is not a digit", names, l, j)
			}
			s.Labels[j] = int32(l)
		}
		*dst = s
	}
	return train, test, nil
}

// maxIDXFile bounds a file of MNIST: the largest holds 60,000 images of 784 bytes.
const maxIDXFile = 64 << 20

// readIDXFile finds, checks and reads file number i of dir, which has the dimensions shape.
func readIDXFile(dir string, i int, shape ...int) (elements []byte, path string, err error) {
	path, _, err = mnistFiles[i].locate(dir, mnistContents[i], mnistPlaces)
	if err != nil {
		return nil, "", err
	}
	b, err := plainfile.Read(path, maxIDXFile)
	if err != nil {
		return nil, "", err
	}
	if elements, err = readIDX(b, shape...); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return elements, path, nil
}
