package data

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// cifarRows are the records of n images as testdata/cifar.py has them, each with its labels.
func cifarRows(n, batch int, labels func(i int) []byte) []byte {
	var b []byte
	for i := range n {
		b = append(b, labels(i)...)
		for at := range 3072 {
			b = append(b, uint8(at/1024*50+at%1024/512*5+13*i+29*batch))
		}
	}
	return b
}

// TestCIFARPython: the pickles of Python 2 and 3 give the sets that the binary form gives, in its order, from an
// archive and from a folder, as sets of the catalogue and by path.
func TestCIFARPython(t *testing.T) {
	ten := tree{"batches.meta.txt": []byte(strings.Join(cifarClasses, "\n"))}
	for b, name := range cifarBatches {
		ten[name] = cifarRows(10, b, func(i int) []byte { return []byte{byte(i)} })
	}
	hundred := tree{}
	for b, name := range []string{"train.bin", "test.bin"} {
		hundred[name] = cifarRows(100, b, func(i int) []byte { return []byte{byte(i % 20), byte(i)} })
	}
	var fineNames, coarseNames []string
	for i := range 100 {
		fineNames = append(fineNames, fmt.Sprintf("fine%d", i))
	}
	for i := range 20 {
		coarseNames = append(coarseNames, fmt.Sprintf("coarse%d", i))
	}
	hundred["fine_label_names.txt"] = []byte(strings.Join(fineNames, "\n"))
	hundred["coarse_label_names.txt"] = []byte(strings.Join(coarseNames, "\n"))
	type reader func(context.Context, string, func(n, total int64)) (*Set, *Set, error)
	for name, tc := range map[string]struct {
		read         reader
		binary, path string
		as           Reading
		classes      int
	}{
		"10":  {readCIFAR, ten.folder(t.TempDir()), "testdata/cifar-10-python.tar.gz", Reading{}, 10},
		"100": {readCIFAR100, hundred.folder(t.TempDir()), "testdata/cifar-100-python.tar.gz", Reading{}, 100},
		"100, coarse": {readCIFAR100Coarse, hundred.folder(t.TempDir()), "testdata/cifar-100-python.tar.gz",
			Reading{Part: "coarse"}, 20},
	} {
		train, test, err := tc.read(context.Background(), tc.binary, quiet)
		if err != nil {
			t.Fatal(err)
		}
		want := fingerprint(train, test)
		if len(train.Classes) != tc.classes {
			t.Errorf("%s: %d classes", name, len(train.Classes))
		}
		python, pythonTest, err := tc.read(context.Background(), tc.path, quiet)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if fingerprint(python, pythonTest) != want || !slices.Equal(python.Published, train.Published) ||
			!slices.Equal(python.Classes, train.Classes) {
			t.Errorf("%s: other images, classes or places than in the binary form", name)
		}
		for _, path := range []string{tc.path, tc.binary} {
			if ds, err := read(t, path, tc.as); err != nil || ds.Fingerprint != want {
				t.Errorf("%s: %s named by its path: %v", name, path, err)
			}
		}
	}
}

// TestHostilePickles: a pickle of something else, one that names a function, one cut short: an error with the file.
func TestHostilePickles(t *testing.T) {
	for want, b := range map[string][]byte{
		"posix.system":       []byte("cposix\nsystem\n(S'echo'\ntR."),
		"something else":     []byte("(lp0\n."),
		"its data are no":    []byte("(dp0\nS'data'\nI3\ns."),
		"cut short":          []byte("\x80\x02}U\x04data"),
		"is longer than wha": []byte("\x80\x02}T\xff\xff\xff\x7fxx"),
	} {
		path := file(t, "x.tar", tree{"data_batch_1": b}.tar(false))
		_, _, err := readCIFAR(context.Background(), path, quiet)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "data_batch_1") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// FuzzCIFARPickle: whatever the pickle, there is an error or whole images.
func FuzzCIFARPickle(f *testing.F) {
	archive, err := os.ReadFile("testdata/cifar-10-python.tar.gz")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("\x80\x02}q\x00(X\x04\x00\x00\x00dataK\x01X\x06\x00\x00\x00labels]u."))
	f.Add(archive[:64])
	f.Fuzz(func(t *testing.T, b []byte) {
		pictures, err := cifarPickle(b, "labels", 10, false)
		if err != nil {
			return
		}
		for _, p := range pictures {
			if len(p.pixels) != 3072 || p.label < 0 || p.label > 9 || bytes.Equal(p.digest[:], make([]byte, 32)) {
				t.Errorf("an image of %d values with the label %d", len(p.pixels), p.label)
			}
		}
	})
}
