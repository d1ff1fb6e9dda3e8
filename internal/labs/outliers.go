package labs

import (
	"context"
	"fmt"
	"strings"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/record"
)

// images is a subset of a data set with its description in records.
type images struct {
	record.OODSet
	data.Subset
}

// named returns s with a name and a description.
func named(name, about, source string, s data.Subset) images {
	return images{record.OODSet{Name: name, About: about, Source: source, N: len(s.Index), Fingerprint: hashImages(s)},
		s}
}

// converted returns a suffix for the description of s where its images were converted, for reasons; "" if none were.
func converted(s *data.Set, reasons string) string {
	if reasons == "" {
		return ""
	}
	kind := "RGB"
	if s.C == 1 {
		kind = "grey"
	}
	return fmt.Sprintf("; converted to %dx%d %s: %s", s.W, s.H, kind, reasons)
}

// oodData holds the images that detectors need.
type oodData struct {
	train, val images // splits of the classifier's training; see heldOut
	in         images // its test set
	out        []images
	tuneIn     images // the first of val
	tuneOut    images // distorted copies of tuneIn: hyper-parameters are chosen on both
}

// readOOD reads all images. It leaves out of a set the images that are in the classifier's data or among the outliers
// it was trained on: they are not out of distribution.
func readOOD(ctx context.Context, n *Network, ds *data.Dataset, cfg config.OOD, opt Options) (*oodData, error) {
	training := n.Config.Training
	val, about := heldOut(n)
	training.Data.Limit, training.Data.Val = cfg.Limit, val
	split := split(ds, training)
	p := &oodData{
		train:  named(ds.Name, "training images", ds.Source, split.train),
		val:    named(ds.Name, about, ds.Source, split.val),
		in:     named(ds.Name, fmt.Sprintf("%s, test set", data.Title(ds.Name)), ds.Source, split.test),
		tuneIn: named(ds.Name, about, ds.Source, split.val.First(cfg.Tuning)),
	}
	if n.Config.Data.Val == 0 {
		opt.Say("the classifier was trained on all training images: %d of them take the place of validation images",
			len(split.val.Index))
	}
	p.tuneOut = named("distorted", "distorted "+about, "drawn",
		data.All(data.Distort(p.tuneIn.Subset, cfg.Seed)))
	var err error
	if p.out, err = outlierSets(ctx, "sets", cfg.Sets, cfg.Seed, ds.Test, opt); err != nil {
		return nil, err
	}
	var known pictures
	known.addData(ds)
	if err := known.addExposure(n); err != nil {
		return nil, err
	}
	for i, s := range p.out {
		if err := s.sizedLike(ds, "leave it out with --set sets.names=[…]"); err != nil {
			return nil, err
		}
		if s, err = known.leaveOut(s, opt); err != nil {
			return nil, err
		}
		p.out[i] = s.atMost(cfg.Limit)
		opt.Say("against: %s, %d images%s", s.About, p.out[i].N, converted(s.Set, s.Converted))
	}
	return p, nil
}

// heldOut returns the number of validation images of n's training, on which detectors are tuned and which KL matching
// averages over. A training on all images held none out: images that it was trained on then take their place, and are
// called so. The network is surer of them than of new images.
func heldOut(n *Network) (images int, about string) {
	if val := n.Config.Data.Val; val > 0 {
		return val, "validation images"
	}
	return config.DefaultResnet().Data.Val, "training images, as none were held out"
}

// outlierSets reads sets. key is the prefix of their settings in errors; seed is that of the noise. Noise and the
// images of folders get the size of like.
func outlierSets(ctx context.Context, key string, sets config.OODSets, seed uint64, like *data.Set,
	opt Options) (all []images, err error) {
	for _, name := range sets.Names {
		s, err := outliers(ctx, name, sets.Fake, seed, like, opt)
		if err != nil {
			return nil, fmt.Errorf("%w; or leave it out with --set %s.names=[…]", err, key)
		}
		all = append(all, s)
	}
	for _, f := range sets.Folders {
		name, path, _ := strings.Cut(f, "=")
		set, err := data.Folder(ctx, name, path, like, opt.Data)
		if err != nil {
			return nil, fmt.Errorf("the set %s: %w", name, err)
		}
		s := named(name, fmt.Sprintf("%s, a folder of images", name), path, data.All(set.Test))
		s.Converted = set.Converted
		all = append(all, s)
	}
	return all, nil
}

// outliers returns the set called name: fake, which is noise, or a set of the catalogue.
func outliers(ctx context.Context, name string, fake int, seed uint64, like *data.Set, opt Options) (images, error) {
	if name == data.FakeName {
		return named(name, fmt.Sprintf("FakeData, uniform noise of seed %d", seed), "drawn",
			data.All(data.Fake(fake, seed, like))), nil
	}
	ds, err := data.Load(ctx, name, opt.Data)
	if err != nil {
		return images{}, err
	}
	switch name {
	case peopleName: // five classes of the training split
		return named(name, fmt.Sprintf("CIFAR-100 people, training part: %s", strings.Join(ds.Train.Classes, ", ")),
			ds.Source, data.All(ds.Train)), nil
	case "cifar10-jpeg":
		s := named(name, "CIFAR-10, test set as JPEG of quality 75", ds.Source, data.All(ds.Test))
		s.Shift = true
		return s, nil
	}
	return named(name, data.Title(name)+", test set", ds.Source, data.All(ds.Test)), nil
}
