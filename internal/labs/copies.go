package labs

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"dla/internal/data"
	"dla/internal/record"
)

// Outliers belong to none of the classes, and no image may be both trained on and evaluated. But independent data sets
// share a few images: CIFAR-100's test set has two of CIFAR-10. Such copies are found by their pixels, left out,
// counted and named in the record:
//
//   - an evaluated set loses images of the classifier's data and outliers that the classifier was trained on;
//   - a set of training outliers loses images of the classifier's data and of the evaluated sets, so that the evaluated
//     sets are the same for all networks.
//
// A set with a larger fraction of copies than maxCopies is refused: it is one of the other sets or derived from it, and
// would hold near copies too, which a comparison of pixels does not find.

// maxCopies is the largest fraction of a set of outliers that may be left out. Independent sets share less than a
// thousandth; derived sets share most.
const maxCopies = 0.05

// pictures finds images by their pixels.
type pictures struct {
	at      map[[sha256.Size]byte]entry
	exposed map[[record.HashSize]byte]bool // by less of their hash
	exposer string                         // the network that was trained on these
}

// entry is image i of a set.
type entry struct {
	of string
	s  *data.Set
	i  int32
}

// add adds the images of s, under the name of.
func (p *pictures) add(of string, s data.Subset) {
	if p.at == nil {
		p.at = map[[sha256.Size]byte]entry{}
	}
	for _, i := range s.Index {
		h := s.Set.Hash(int(i))
		if _, ok := p.at[h]; !ok {
			p.at[h] = entry{of, s.Set, i}
		}
	}
}

// addData adds all images of ds, whichever of them are used.
func (p *pictures) addData(ds *data.Dataset) {
	p.add(ds.Name+", training set", data.All(ds.Train))
	p.add(ds.Name+", test set", data.All(ds.Test))
}

// addExposure adds the outliers that n was trained on.
func (p *pictures) addExposure(n *Network) error {
	b, err := n.exposure()
	if err != nil || b == nil {
		return err
	}
	var trained []string
	for _, t := range n.Result.Robust.Trained {
		trained = append(trained, t.Name)
	}
	p.exposer = fmt.Sprintf("the outliers that %s was trained on (%s)", n.Source, strings.Join(trained, ", "))
	p.exposed = make(map[[record.HashSize]byte]bool, len(b)/record.HashSize)
	for ; len(b) >= record.HashSize; b = b[record.HashSize:] {
		p.exposed[[record.HashSize]byte(b)] = true
	}
	return nil
}

// find returns the entry of p for the image with the hash h.
func (p *pictures) find(h [sha256.Size]byte) (of, image string, ok bool) {
	if k, ok := p.at[h]; ok {
		return k.of, k.s.ImageName(int(k.i)), true
	}
	return p.exposer, "", p.exposed[[record.HashSize]byte(h[:])]
}

// leaveOut returns s without the images in p and lists them. Too many are an error.
func (p *pictures) leaveOut(s images, opt Options) (images, error) {
	kept := data.Subset{Set: s.Set}
	for _, i := range s.Index {
		of, image, ok := p.find(s.Set.Hash(int(i)))
		if !ok {
			kept.Index = append(kept.Index, i)
			continue
		}
		s.LeftOut = append(s.LeftOut, record.Copy{Image: s.Set.ImageName(int(i)), Of: of, OfImage: image})
	}
	n := len(s.LeftOut)
	if n == 0 {
		return s, nil
	}
	if float64(n) > maxCopies*float64(s.N) {
		return s, fmt.Errorf("the set %s is not a set of outliers: %d of its %d images have the same pixels as "+
			"images it must not share, the first %s; up to %g %% are left out; remove the copies, or name another set",
			s.Name, n, s.N, s.LeftOut[0], 100*maxCopies)
	}
	s = s.with(kept)
	opt.Say("%s: %s", s.Name, s.Copies())
	return s, nil
}

// with returns s with the images of another subset.
func (s images) with(of data.Subset) images {
	s.Subset = of
	s.N, s.Fingerprint = len(of.Index), hashImages(of)
	return s
}

// atMost returns the first n images of s, or all for n = 0.
func (s images) atMost(n int) images {
	if n == 0 || n >= s.N {
		return s
	}
	return s.with(s.First(n))
}

// sizedLike returns an error if the images of s have another size than those of ds. remedy ends its text.
func (s images) sizedLike(ds *data.Dataset, key string) error {
	if a, b := s.Set, ds.Test; a.H != b.H || a.W != b.W || a.C != b.C {
		return fmt.Errorf("the images of the set %s are %dx%d with %d channels, those of %s %dx%d with %d; %s", s.Name,
			a.W,
			a.H, a.C, ds.Name, b.W, b.H, b.C, key)
	}
	return nil
}
