package data

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// mnistFiles are MNIST's images and labels, of the training and of the test set.
var mnistFiles = []File{
	{"train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
	{"train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
	{"t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
	{"t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"},
}

var digits = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// readMNIST reads the four files in dir.
func readMNIST(_ context.Context, dir string, _ func(n, total int64)) (train, test *Set, err error) {
	for i, dst := range []**Set{&train, &test} {
		n := []int{60000, 10000}[i]
		images, names := filepath.Join(dir, mnistFiles[2*i].Name), filepath.Join(dir, mnistFiles[2*i+1].Name)
		pixels, err := readIDXFile(images, n, 28, 28)
		if err != nil {
			return nil, nil, err
		}
		labels, err := readIDXFile(names, n)
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

// readIDXFile reads the idx file at path with the dimensions shape.
func readIDXFile(path string, shape ...int) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	elements, err := readIDX(b, shape...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return elements, nil
}
