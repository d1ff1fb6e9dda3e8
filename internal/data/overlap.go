package data

import "crypto/sha256"

// Hash is the SHA-256 of image i's pixels: images with the same hash are the same picture, whatever their
// labels and files.
func (s *Set) Hash(i int) [sha256.Size]byte {
	px := s.H * s.W * s.C
	return sha256.Sum256(s.Pixels[i*px : (i+1)*px])
}

// Match is an image that is in two sets, by its index in each.
type Match struct{ A, B int32 }

// Overlap lists the images of b that are also in a, pixel by pixel, each with the first image of a that equals it. A
// network must not be evaluated on what it was trained on.
func Overlap(a, b Subset) []Match {
	if a.Set.H != b.Set.H || a.Set.W != b.Set.W || a.Set.C != b.Set.C {
		return nil
	}
	first := make(map[[sha256.Size]byte]int32, len(a.Index))
	for _, i := range a.Index {
		h := a.Set.Hash(int(i))
		if _, ok := first[h]; !ok {
			first[h] = i
		}
	}
	var all []Match
	for _, i := range b.Index {
		if j, ok := first[b.Set.Hash(int(i))]; ok {
			all = append(all, Match{j, i})
		}
	}
	return all
}
