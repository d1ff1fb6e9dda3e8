// Package distill keeps a teacher's soft labels: its logits for every training image, computed once and
// kept on disk, so that any student, temperature and weight can be trained against them.
//
// What is kept are logits, not probabilities, for that reason. A set is bound to what it was made of:
// the teacher's weights, the images and their order, and how they were changed. Any difference is
// refused, and the first is named.
package distill

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"dla/internal/weights"
)

// Source is what soft labels were made of. Two sets with equal sources are equal.
type Source struct {
	Teacher string `json:"teacher"` // SHA-256 of the teacher's weights and running statistics
	Network string `json:"network"` // the teacher's variant
	Data    string `json:"data"`    // fingerprint of the data set
	Images  string `json:"images"`  // SHA-256 of the indices of the images, in order
	Augment string `json:"augment"` // how they were changed: flip, crop, cutout, seed and so on
	Kernel  string `json:"kernel"`  // instruction set and convolutions: logits differ in the last bits
}

// Fingerprint is the SHA-256 (hex) of what a set of so many copies, images and classes was made of.
func (s Source) Fingerprint(copies, n, classes int) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %d %d", s, copies, n, classes)
	return hex.EncodeToString(h.Sum(nil))
}

// differences names, in words, what makes have another source than want.
func differences(have, want Source) string {
	for _, d := range []struct{ what, have, want string }{
		{"the teacher's weights", have.Teacher, want.Teacher},
		{"the teacher", have.Network, want.Network},
		{"the data set", have.Data, want.Data},
		{"the images or their order", have.Images, want.Images},
		{"the augmentation", have.Augment, want.Augment},
		{"the kernels", have.Kernel, want.Kernel},
	} {
		if d.have != d.want {
			return fmt.Sprintf("%s: %.40s, not %.40s", d.what, d.have, d.want)
		}
	}
	return ""
}

// SoftLabels are a teacher's logits.
type SoftLabels struct {
	Source
	Copies, N, Classes int
	Logits             []float32 // [Copies, N, Classes]; copy c is of the images as changed in epoch c
}

// New makes room for the logits of n images in copies copies.
func New(src Source, copies, n, classes int) *SoftLabels {
	return &SoftLabels{Source: src, Copies: copies, N: n, Classes: classes, Logits: make([]float32, copies*n*classes)}
}

const (
	tensorName = "logits"
	metaSource = "soft_labels"
)

// Set stores logits [rows, Classes] of the images with the given places, in copy c.
func (s *SoftLabels) Set(c int, places []int32, logits []float32) {
	for row, p := range places {
		copy(s.at(c, p), logits[row*s.Classes:(row+1)*s.Classes])
	}
}

// Fill writes the logits of the images with the given places, as changed in epoch, to dst [rows, Classes].
func (s *SoftLabels) Fill(dst []float32, epoch int, places []int32) {
	for row, p := range places {
		copy(dst[row*s.Classes:], s.at(epoch%s.Copies, p))
	}
}

func (s *SoftLabels) at(c int, place int32) []float32 {
	return s.Logits[(c*s.N+int(place))*s.Classes:][:s.Classes]
}

// Accuracy is the part of copy 0 whose largest logit is the label's.
func (s *SoftLabels) Accuracy(labels []int32) float64 {
	right := 0
	for i, label := range labels {
		row, best := s.at(0, int32(i)), 0
		for j, v := range row {
			if v > row[best] {
				best = j
			}
		}
		if best == int(label) {
			right++
		}
	}
	return float64(right) / float64(max(1, len(labels)))
}

// Save writes s to path, replacing it whole or not at all, and returns the file's SHA-256.
func (s *SoftLabels) Save(path string) (string, error) {
	src, err := json.Marshal(s.Source)
	if err != nil {
		return "", err
	}
	return weights.Save(path, []weights.Tensor{{Name: tensorName, Shape: []int{s.Copies, s.N, s.Classes}, Data: s.Logits}},
		map[string]string{metaSource: string(src)})
}

// Load reads soft labels that were made of want, in copies copies of n images. A missing file is
// fs.ErrNotExist; a damaged one, and one made of anything else, is an error that says so.
func Load(path string, want Source, copies, n, classes int) (*SoftLabels, error) {
	f, err := weights.Load(path, "")
	if err != nil {
		return nil, fmt.Errorf("soft labels: %w", err)
	}
	refuse := func(why string) error {
		return fmt.Errorf("soft labels %s are not used (%s); remove the file to have them made anew", path, why)
	}
	var have Source
	if err := json.Unmarshal([]byte(f.Meta[metaSource]), &have); err != nil || len(f.Tensors) != 1 ||
		f.Tensors[0].Name != tensorName || len(f.Tensors[0].Shape) != 3 {
		return nil, refuse("it is a file of something else")
	}
	if d := differences(have, want); d != "" {
		return nil, refuse("made of another source, " + d)
	}
	t := f.Tensors[0]
	if t.Shape[0] != copies || t.Shape[1] != n || t.Shape[2] != classes {
		return nil, refuse(fmt.Sprintf("%v copies, images and classes, not %v", t.Shape, []int{copies, n, classes}))
	}
	for i, v := range t.Data {
		if v-v != 0 {
			return nil, refuse(fmt.Sprintf("logit %d is not finite", i))
		}
	}
	return &SoftLabels{Source: have, Copies: copies, N: n, Classes: classes, Logits: t.Data}, nil
}
