// Package data finds, checks, reads and batches data sets. A set is 8-bit images and labels in
// memory; batches are float32 in [0,1], row by row in NHWC order.
//
// MNIST's images are in the published order, that of the idx files, and so are the sentences of each class of
// Rotten Tomatoes, all of the negative class before those of the positive. The images of every other set that
// is read are, part by part, in ascending order of the SHA-256 of their H x W x 3 pixels (then of their labels,
// then of their places): the one order that all forms of a set have in common. Splits, seeds and the numbers
// of images in records and figures count in it. Origin says where each image was published: by its place in
// the published order, counted through data_batch_1 to data_batch_5, as torchvision counts, or in test_batch;
// in CIFAR-100's train.bin and test.bin; in SVHN's arrays; or, of a folder of images, by its file.
// CIFAR-10's files of images have the names that the batches in Python's form list as filenames.
//
// To add a set: an entry in catalogue.go with its title, its mean and standard deviation where they are published, and
// its forms, each with files and checksums and a reader. A reader of image folders is in images.go, of idx files in
// mnist.go.
package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"

	"dla/internal/rng"
)

// Set holds N images of H x W pixels in C channels, with their labels.
type Set struct {
	N, H, W, C int
	Pixels     []uint8 // NHWC
	Labels     []int32
	Classes    []string // name of each label
	Origin
}

// Dataset is a training set and a test set.
type Dataset struct {
	Name        string
	Train, Test *Set
	Val         *Set   // the validation set, where the data give one; nil: Split draws it from the training set
	Own         *Own   // of data of the user's own; nil for a set of the catalogue
	Source      string // where it was found; for a stand-in, why
	Synthetic   bool   // drawn here, not the named set
	Fingerprint string // SHA-256 (hex) of all pixels and labels
	Converted   string // how many images were made to fit, and why: see Folder
}

// sets are the parts of d, as they are written.
func (d *Dataset) sets() []*Set {
	all := []*Set{d.Train, d.Test}
	if d.Val != nil {
		all = append(all, d.Val)
	}
	return all
}

// fingerprint is that of a set of these parts.
func fingerprint(sets ...*Set) string {
	h := sha256.New()
	_ = writeSets(h, sets...) // a hash never fails
	return hex.EncodeToString(h.Sum(nil))
}

// writeSets writes of each set its dimensions, pixels and labels, all numbers but the pixels as
// little-endian uint32. The SHA-256 of that is the fingerprint; a decoded copy ends with it.
func writeSets(w io.Writer, sets ...*Set) error {
	for _, s := range sets {
		var head, labels []byte
		for _, d := range []int{s.N, s.H, s.W, s.C} {
			head = binary.LittleEndian.AppendUint32(head, uint32(d))
		}
		for _, l := range s.Labels {
			labels = binary.LittleEndian.AppendUint32(labels, uint32(l))
		}
		for _, b := range [][]byte{head, s.Pixels, labels} {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// Subset is a selection of the images of a set, by index.
type Subset struct {
	Set   *Set
	Index []int32
}

// All returns the whole of s.
func All(s *Set) Subset {
	idx := make([]int32, s.N)
	for i := range idx {
		idx[i] = int32(i)
	}
	return Subset{s, idx}
}

// First returns the first n images of s, or all of them if there are fewer.
func (s Subset) First(n int) Subset { return Subset{s.Set, s.Index[:min(n, len(s.Index))]} }

// Split holds out val images of the training set for validation. Each class gives as many as its share, drawn by
// seed; both splits keep the order of the set. val is reduced so that at least one image is left to train on. A
// validation set that the data give is taken as it is.
func (d *Dataset) Split(val int, seed uint64) (train, valid Subset) {
	if d.Val != nil {
		return All(d.Train), All(d.Val)
	}
	s := d.Train
	isVal := drawByClass(s.Labels, len(s.Classes), max(0, min(val, s.N-1)), seed, "split", false)
	train, valid = Subset{Set: s}, Subset{Set: s}
	for i, v := range isVal {
		if v {
			valid.Index = append(valid.Index, int32(i))
		} else {
			train.Index = append(train.Index, int32(i))
		}
	}
	return train, valid
}

// drawByClass marks n of the images with these labels. Each class gives as many as its share, drawn by seed and
// purpose, but where keep is set never all of its images, so that they can be fewer than n.
func drawByClass(labels []int32, classes, n int, seed uint64, purpose string, keep bool) []bool {
	byClass := make([][]int32, classes)
	for i, l := range labels {
		byClass[l] = append(byClass[l], int32(i))
	}
	drawn := make([]bool, len(labels))
	taken, seen := 0, 0
	for c, idx := range byClass {
		seen += len(idx)
		want := n*seen/len(labels) - taken // cumulative, so that the shares add up to n
		taken += want
		if keep {
			want = min(want, max(0, len(idx)-1))
		}
		perm := make([]int32, len(idx))
		r := rng.New(seed, purpose, 0, uint64(c))
		r.Perm(perm)
		for _, p := range perm[:want] {
			drawn[idx[p]] = true
		}
	}
	return drawn
}
