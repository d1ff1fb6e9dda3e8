package data

import "path/filepath"

// drawn is a set that the program draws itself. Its drawing takes seconds, so a copy is kept in the cache.
type drawn struct {
	name        string
	fingerprint string // of what draw draws
	draw        func() (train, test *Set)
}

// drawnSets are all of them.
var drawnSets = []drawn{
	{SyntheticDigits, "f75bbc15641df5e3393fa38807ece749f31973ece26a642ff752fe6b2e532f8a",
		func() (train, test *Set) {
			return drawDigits("train", syntheticTrain), drawDigits("test", syntheticTest)
		}},
	{SyntheticShapes, "98dd4bd1e654ab04fdacb4376c8a1fe3928f2c9a0e3878ce708293d7408c0926",
		func() (train, test *Set) { return drawShapes("train", shapesTrain), drawShapes("test", shapesTest) }},
}

// copyIn is where the copy of d is, cache being the user's cache folder of data sets.
func (d drawn) copyIn(cache string) string { return filepath.Join(cache, d.name, d.name+".decoded") }

// load loads the copy of d, if it has what d draws, and otherwise draws d and leaves a copy. A copy that cannot be
// read or written is no error.
func (d drawn) load(source string, opt Options) *Dataset {
	ds := &Dataset{Name: d.name, Source: source, Synthetic: true, Fingerprint: d.fingerprint}
	cache, err := opt.cache()
	if err == nil {
		copyPath := d.copyIn(cache)
		ours := func(h decodedHeader) bool { return h.Fingerprint == d.fingerprint }
		if kept, err := readDecoded(copyPath, ours); err == nil {
			used(copyPath)
			ds.Train, ds.Test = kept.Train, kept.Test
			return ds
		}
	}
	ds.Train, ds.Test = d.draw()
	if cache != "" {
		if err := writeDecoded(d.copyIn(cache), "", 0o666, ds); err != nil && opt.Say != nil {
			opt.Say("%s will be drawn again the next time, as a copy cannot be stored: %v", d.name, err)
		}
	}
	return ds
}

// DrawnCopies returns the paths of the copies of drawn sets in the user's cache, by name.
func DrawnCopies(opt Options) (map[string]string, error) {
	cache, err := opt.cache()
	if err != nil {
		return nil, err
	}
	copies := map[string]string{}
	for _, d := range drawnSets {
		if path := d.copyIn(cache); !absent(path) {
			copies[d.name] = path
		}
	}
	return copies, nil
}
