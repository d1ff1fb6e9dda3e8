package data

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// smallCIFAR is a set like CIFAR-10 with 5 x 4 + 2 images a class, in its binary form, which is in no
// order, and as an image folder.
var smallCIFAR = sync.OnceValues(func() (binary, images tree) {
	binary = tree{"cifar-10-batches-bin/batches.meta.txt": []byte(strings.Join(cifarClasses, "\n") + "\n\n"),
		"cifar-10-batches-bin/readme.html": []byte("passed over")}
	images = tree{}
	for f, name := range cifarBatches {
		part, n := "train", 4
		if name == "test_batch.bin" {
			part, n = "test", 2
		}
		var records []byte
		for i := range 10 * n {
			label := i * 3 % 10
			img := rgb(32, 32, uint8(f*40+i))
			img.Pix[0] = uint8(f*40 + i) // no two alike
			records = append(records, byte(label))
			for c := range 3 {
				for p := range 1024 {
					records = append(records, img.Pix[4*p+c])
				}
			}
			images[fmt.Sprintf("%s/%s/%d_%d.png", part, cifarClasses[label], f, i)] = pngOf(img)
		}
		binary["cifar-10-batches-bin/"+name] = records
	}
	return binary, images
})

// TestCIFARForms: the binary form and the image folder give the same set, in any packing.
func TestCIFARForms(t *testing.T) {
	binary, images := smallCIFAR()
	want := ""
	for name, path := range map[string]string{
		"binary, tar.gz": file(t, "b.tar.gz", zip(binary.tar(false))),
		"binary, folder": binary.folder(t.TempDir()),
		"images, tar":    file(t, "i.tar", images.tar(true)),
		"images, folder": images.folder(t.TempDir()),
	} {
		train, test, err := readCIFAR(context.Background(), path, quiet)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if train.N != 200 || test.N != 20 {
			t.Errorf("%s: %d + %d images", name, train.N, test.N)
		}
		fp := fingerprint(train, test)
		if want == "" {
			want = fp
		}
		if fp != want {
			t.Errorf("%s: another content or order", name)
		}
	}
}

// TestOrderIsAFairSample: the first images of a set are of all classes, though they came class by class.
func TestOrderIsAFairSample(t *testing.T) {
	_, images := smallCIFAR()
	train, _, err := readCIFAR(context.Background(), images.folder(t.TempDir()), quiet)
	if err != nil {
		t.Fatal(err)
	}
	count := make([]int, 10)
	for _, l := range train.Labels[:100] {
		count[l]++
	}
	if slices.Min(count) < 3 {
		t.Errorf("of the first 100 images the classes have %v", count)
	}
}

// cifarRecord is the size of a record of CIFAR-10.
const cifarRecord = 1 + 3*cifarPlane

// TestHostileCIFAR: each is one error that names the file.
func TestHostileCIFAR(t *testing.T) {
	binary, images := smallCIFAR()
	const at = "cifar-10-batches-bin/data_batch_3.bin"
	label := bytes.Clone(binary[at])
	label[2*cifarRecord] = 10
	for name, tc := range map[string]struct {
		tree tree
		want string
	}{
		"truncated":   {binary.with(at, binary[at][:5000]), at + ": truncated: 5000 bytes"},
		"wrong label": {binary.with(at, label), at + ": label 10 of image 2"},
		"missing":     {binary.with(at, nil), "holds no data_batch_3.bin"},
		"empty":       {binary.with("cifar-10-batches-bin/test_batch.bin", []byte{}), "holds no images in test/CLASS/"},
		"CIFAR-100":   {tree{"cifar-100-binary/train.bin": binary[at]}, "train.bin: is not a file of CIFAR-10"},
		"there twice": {binary.with("copy/data_batch_3.bin", binary[at]),
			"data_batch_3.bin: is not a file of CIFAR-10, or occurs twice"},
		"other classes": {binary.with("cifar-10-batches-bin/batches.meta.txt", []byte("cat\ndog\n")), "lists other classes"},
		"missing class": {images.with("train/emu/0.png", images["train/cat/0_1.png"]),
			`unknown class "emu"; known are airplane`},
		"other size": {images.with("train/cat/0_1.png", pngOf(image.NewRGBA(image.Rect(0, 0, 64, 64)))),
			"train/cat/0_1.png: is 64x64 pixels, want 32x32"},
	} {
		path := file(t, "cifar.tgz", zip(tc.tree.tar(false)))
		_, _, err := readCIFAR(context.Background(), path, quiet)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: error %v, want one with the path and %q", name, err, tc.want)
		}
	}
}

// TestCIFAR10 reads the real archive: once from the beginning and once from the decoded copy.
func TestCIFAR10(t *testing.T) {
	dir := os.Getenv("DLA_DATA")
	e, err := Lookup("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := e.find(filepath.Join(dir, e.Folder), ""); dir == "" || !ok {
		t.Skip("DLA_DATA is not set or has no cifar10")
	}
	opt := Options{Cache: t.TempDir(), Offline: true, Say: t.Errorf}
	began := time.Now()
	ds, err := Load(context.Background(), "cifar10", opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("decoded in %v, from %s", time.Since(began), ds.Source)
	if ds.Train.N != 50000 || ds.Test.N != 10000 || ds.Synthetic || ds.Fingerprint != e.Fingerprint {
		t.Errorf("%d + %d images, fingerprint %s", ds.Train.N, ds.Test.N, ds.Fingerprint)
	}
	for _, s := range []*Set{ds.Train, ds.Test} {
		count := make([]int, 10)
		for _, l := range s.Labels {
			count[l]++
		}
		if slices.Min(count) != s.N/10 {
			t.Errorf("images of each class: %v", count)
		}
	}
	// The published mean and deviation of each channel of the training set.
	mean, deviation := [3]float64{0.49139968, 0.48215841, 0.44653091}, [3]float64{0.24703223, 0.24348513, 0.26158784}
	var count [3][256]int
	for i, p := range ds.Train.Pixels {
		count[i%3][p]++
	}
	for c := range 3 {
		n, m, square := float64(len(ds.Train.Pixels)/3), 0.0, 0.0
		for v, k := range count[c] {
			m += float64(k) * float64(v) / 255 / n
			square += float64(k) * float64(v*v) / 255 / 255 / n
		}
		if d := math.Sqrt(square - m*m); math.Abs(m-mean[c]) > 1e-8 || math.Abs(d-deviation[c]) > 1e-8 {
			t.Errorf("channel %d: mean %.8f, deviation %.8f, want %.8f and %.8f", c, m, d, mean[c], deviation[c])
		}
	}
	began = time.Now()
	again, err := Load(context.Background(), "cifar10", opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded again in %v", time.Since(began))
	for _, part := range []struct {
		name      string
		got, want *Set
	}{{"train", again.Train, ds.Train}, {"test", again.Test, ds.Test}} {
		if !bytes.Equal(part.got.Pixels, part.want.Pixels) {
			t.Errorf("%s: the decoded copy has other images", part.name)
		}
		if !slices.Equal(part.got.Labels, part.want.Labels) {
			t.Errorf("%s: the decoded copy has other labels", part.name)
		}
	}
	if again.Source != ds.Source {
		t.Errorf("the decoded copy is of %q, want %q", again.Source, ds.Source)
	}
	if again.Fingerprint != ds.Fingerprint {
		t.Errorf("the decoded copy has the fingerprint %s, want %s", again.Fingerprint, ds.Fingerprint)
	}
}

// smallCIFAR100 has two training images and one test image of each class, and its names.
func smallCIFAR100() (t tree, names []string) {
	records := func(each int, seed uint8) (b []byte) {
		for i := range each * 100 {
			b = append(b, 99, uint8(i%100)) // a coarse label, which nobody reads, and a fine one
			for j := range 3 * cifarPlane {
				b = append(b, uint8(j/cifarPlane*50)+uint8(i)*seed)
			}
		}
		return b
	}
	for i := range 100 {
		names = append(names, fmt.Sprintf("class_%02d", i))
	}
	return tree{"cifar-100-binary/train.bin": records(2, 1), "cifar-100-binary/test.bin": records(1, 3),
		"cifar-100-binary/fine_label_names.txt": []byte(strings.Join(names,
			"\n") + "\n"), "cifar-100-binary/coarse_label_names.txt": []byte("fish\n")}, names
}

func TestCIFAR100(t *testing.T) {
	files, names := smallCIFAR100()
	path := file(t, "cifar.tgz", zip(files.tar(true)))
	train, test, err := readCIFAR100(context.Background(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if train.N != 200 || test.N != 100 || !slices.Equal(train.Classes, names) || !slices.Equal(test.Classes, names) {
		t.Fatalf("%d + %d images of %v", train.N, test.N, train.Classes)
	}
	for i, label := range test.Labels { // red, green and blue lie side by side
		if px, red := test.Pixels[i*3*cifarPlane:][:3], uint8(3*label); px[0] != red || px[1] != red+50 || px[2] != red+100 {
			t.Fatalf("an image of class %d begins with %v", label, px)
		}
		if test.Published[i] != label {
			t.Fatalf("the published number %d is said to be number %d", label, test.Published[i])
		}
	}
	const at = "cifar-100-binary/train.bin"
	label := bytes.Clone(files[at])
	label[3*(2+3*cifarPlane)+1] = 100
	for name, tc := range map[string]struct {
		tree tree
		want string
	}{
		"truncated":   {files.with(at, files[at][:5000]), at + ": truncated: 5000 bytes"},
		"wrong label": {files.with(at, label), at + ": label 100 of image 3"},
		"missing":     {files.with(at, nil), "holds no train.bin"},
		"no names":    {files.with("cifar-100-binary/fine_label_names.txt", nil), "holds no fine_label_names.txt"},
		"a name missing": {files.with("cifar-100-binary/fine_label_names.txt", []byte("cat dog cat")),
			"lists 3 classes, 2 different ones, want 100"},
		"there twice": {files.with("copy/train.bin", files[at]), "train.bin: occurs twice"},
		"empty class": {files.with("cifar-100-binary/test.bin", files["cifar-100-binary/test.bin"][:(2+3*cifarPlane)*99]),
			"holds no images in test/class_99/"},
	} {
		path := file(t, "cifar.tgz", zip(tc.tree.tar(false)))
		_, _, err := readCIFAR100(context.Background(), path, quiet)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: error %v, want one with the path and %q", name, err, tc.want)
		}
	}
}

// FuzzCIFARRecords: whatever the file, an error or as many images as it has records.
func FuzzCIFARRecords(f *testing.F) {
	binary, _ := smallCIFAR()
	good := binary["cifar-10-batches-bin/test_batch.bin"][:2*cifarRecord]
	f.Add(good)
	f.Add(good[:cifarRecord+1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		pictures, err := cifarRecords(b, 1, 0, 10, false)
		if err == nil && len(pictures) != len(b)/cifarRecord {
			t.Errorf("%d images of %d bytes", len(pictures), len(b))
		}
		for _, p := range pictures {
			if len(p.pixels) != 3072 || p.label < 0 || p.label > 9 {
				t.Errorf("an image of %d values with label %d", len(p.pixels), p.label)
			}
		}
	})
}
