package data

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
)

// Origin says where the images of a set were published, one entry an image. A form has either the places or
// the names. Neither is known of sets that are drawn, and of decoded copies that an earlier version made.
type Origin struct {
	Published []int32  `json:"published,omitempty"` // place in the published order of the split, from 0
	Files     []string `json:"files,omitempty"`     // of a form of image files: train/CLASS/NAME
}

// Known says whether there is a place or a name for each image.
func (o Origin) Known() bool { return o.Published != nil || o.Files != nil }

// Reordered says whether the images are in another order than the published one, or in one of their own.
func (o Origin) Reordered() bool {
	for i, at := range o.Published {
		if int(at) != i {
			return true
		}
	}
	return o.Files != nil
}

// inOrder is the origin of n images in the published order.
func inOrder(n int) Origin { return Origin{Published: All(&Set{N: n}).Index} }

// ImageName is what to call image i so that a reader can find it: its file, or its place and class.
func (s *Set) ImageName(i int) string {
	class := s.Classes[s.Labels[i]]
	switch {
	case s.Files != nil:
		return s.Files[i]
	case s.Published != nil:
		return fmt.Sprintf("published number %d (%s)", s.Published[i], class)
	}
	return fmt.Sprintf("number %d (%s)", i, class)
}

// Place says where an image or a sentence was published.
type Place struct {
	Index     int    `json:"index"` // in the part, as everything here counts: the first is 0
	Label     int32  `json:"label"`
	Published *int32 `json:"published,omitempty"` // place in the published order of the part; of a sentence, line of its file: from 0
	File      string `json:"file,omitempty"`
}

// Places are those of the images of s, in their order, where the set's origin is known.
func (s Subset) Places() []Place {
	all := make([]Place, len(s.Index))
	for k, i := range s.Index {
		p := Place{Index: k, Label: s.Set.Labels[i]}
		if s.Set.Published != nil {
			p.Published = &s.Set.Published[i]
		}
		if s.Set.Files != nil {
			p.File = s.Set.Files[i]
		}
		all[k] = p
	}
	return all
}

// Places are those of the sentences at index: the published files, a class each, hold a sentence a line.
func (s *Sentences) Places(index []int32) []Place {
	line, lines := make([]int32, len(s.Labels)), make([]int32, len(s.Classes))
	for i, label := range s.Labels {
		line[i] = lines[label]
		lines[label]++
	}
	all := make([]Place, len(index))
	for k, i := range index {
		all[k] = Place{Index: k, Label: s.Labels[i], Published: &line[i], File: "rt-polarity." + s.Classes[s.Labels[i]]}
	}
	return all
}

// WritePlaces writes places as CSV: index, label, and what is known of published and file.
func WritePlaces(w io.Writer, places []Place) error {
	out := csv.NewWriter(w)
	for i, p := range places {
		head, row := []string{"index", "label"}, []string{strconv.Itoa(p.Index), strconv.Itoa(int(p.Label))}
		if p.Published != nil {
			head, row = append(head, "published"), append(row, strconv.Itoa(int(*p.Published)))
		}
		if p.File != "" {
			head, row = append(head, "file"), append(row, p.File)
		}
		if i == 0 {
			if err := out.Write(head); err != nil {
				return err
			}
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
