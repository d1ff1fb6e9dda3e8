package labs

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"dla/internal/data"
	"dla/internal/record"
)

// Outliers are of none of the classes, and what is trained on must not be evaluated. But sets that were gathered
// apart share a picture now and then: CIFAR-100's test set has two of CIFAR-10. Such copies are found by their
// pixels, left out, counted and named in the record:
//
//   - of a set that is evaluated, those of the classifier's data, and those it was trained on as outliers;
//   - of a set that is trained on, those of the classifier's data, and those of the sets that are evaluated, which
//     so stay the same for all networks.
//
// A set with more copies than maxCopies is refused: then it is no set of its own but one of the others, or made
// of it, and where so many pictures are the same bit by bit, more are nearly so, which nobody finds by comparing.

// maxCopies is the largest share of a set of outliers that may be left out. Sets gathered apart share less than a
// thousandth; sets made of one another share most.
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

// add makes the images of s known, under the name of.
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

// addData makes all images of ds known, whatever part of them is used.
func (p *pictures) addData(ds *data.Dataset) {
	p.add(ds.Name+", training set", data.All(ds.Train))
	p.add(ds.Name+", test set", data.All(ds.Test))
}

// addExposure makes the outliers known that n was trained on.
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

// find says which of p the image with the hash h is.
func (p *pictures) find(h [sha256.Size]byte) (of, image string, ok bool) {
	if k, ok := p.at[h]; ok {
		return k.of, k.s.ImageName(int(k.i)), true
	}
	return p.exposer, "", p.exposed[[record.HashSize]byte(h[:])]
}

// leaveOut is s without the images that are in p, and says which. Where they are too many it is an error.
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
		return s, fmt.Errorf("the set %s is no set of outliers: %d of its %d images are copies, pixel by pixel, the first %s; up to %g %% are left out, more say that it is one of the sets it must be apart from: take them out, or name another set",
			s.Name, n, s.N, s.LeftOut[0], 100*maxCopies)
	}
	s = s.with(kept)
	opt.Say("%s: %s", s.Name, s.Copies())
	return s, nil
}

// with is s with the images of another subset.
func (s images) with(of data.Subset) images {
	s.Subset = of
	s.N, s.Fingerprint = len(of.Index), hashImages(of)
	return s
}

// atMost is s cut to its first n images, where n is not 0.
func (s images) atMost(n int) images {
	if n == 0 || n >= s.N {
		return s
	}
	return s.with(s.First(n))
}

// sizedLike is an error where the images of s have another size than those of ds; key names the settings.
func (s images) sizedLike(ds *data.Dataset, key string) error {
	if a, b := s.Set, ds.Test; a.H != b.H || a.W != b.W || a.C != b.C {
		return fmt.Errorf("the images of the set %s are %dx%d with %d channels, those of %s %dx%d with %d; %s", s.Name, a.W,
			a.H, a.C, ds.Name, b.W, b.H, b.C, key)
	}
	return nil
}
