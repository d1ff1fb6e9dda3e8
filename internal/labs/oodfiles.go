package labs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/model"
	"dla/internal/npz"
	"dla/internal/ood"
	"dla/internal/plainfile"
	"dla/internal/record"
)

// Files for detectors of other programs: what one is made of, and the scores that it gives.
//
// SaveOOD writes train.npz, val.npz, in.npz and, for each set of outliers, out-SET.npz, with
//
//	features [n, width] float32  pooled features, which the last layer takes
//	logits   [n, classes] float32
//	labels   [n] int32           classes; of outliers their own
//	index    [n] int32           rows of the split as it is read here
//
// beside each, where it is known, a .csv that says of each image where it was published, and scores.npz, in the layout
// that readScores reads: DETECTOR/in and DETECTOR/out-SET, float64 [n], in the order of the images in in.npz and
// out-SET.npz. A larger score means more out of distribution.

// Names of files and of scores.
const (
	scoresName = "scores.npz"
	inName     = "in"
	outPrefix  = "out-"
)

// givenScores are those that a detector of another program gave.
type givenScores struct {
	record.OODDetector
	in  []float64
	out [][]float64 // [set][image]
}

// maxGiven bounds the detectors of a file.
const maxGiven = 64

// readScores reads the scores in the file at path of the images of p, in the order of the names of its detectors, and
// returns the SHA-256 (hex) of the file. If want is not empty, another content is an error. Scores that are missing,
// too few or too many, and what is no score, are errors.
func readScores(path, want string, p *oodData) (all []givenScores, sha string, err error) {
	fail := func(format string, args ...any) ([]givenScores, string, error) {
		return nil, "", fmt.Errorf("%s: %s; `dla lab4 ood --save FOLDER` writes what detectors need, and %s in the layout "+
			"that is read", path, fmt.Sprintf(format, args...), scoresName)
	}
	sets, images := []string{inName}, p.in.N
	lengths := map[string]int{inName: p.in.N}
	for _, s := range p.out {
		sets, images = append(sets, outPrefix+s.Name), images+s.N
		lengths[outPrefix+s.Name] = s.N
	}
	most := int64(maxGiven) * (8*int64(images) + 1<<12)
	b, err := plainfile.Read(path, most)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(b)
	if sha = hex.EncodeToString(sum[:]); want != "" && sha != want {
		return fail("the content has the SHA-256 %.12s…, want %.12s… (scores_sha256)", sha, want)
	}
	arrays, err := npz.Read(bytes.NewReader(b), int64(len(b)), most)
	if err != nil {
		return fail("%v", err)
	}
	given := map[string]map[string][]float64{}
	for _, a := range arrays {
		name, set, ok := strings.Cut(a.Name, "/")
		n, known := lengths[set]
		switch {
		case !ok || !known:
			return fail("%q is no score of these sets; names are DETECTOR/ and one of %s", a.Name, strings.Join(sets, ", "))
		case strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_ .") != "" || name == "" ||
			len(name) > 40:
			return fail("a detector has the name %q, want up to 40 letters, digits, spaces, -, _ and .", name)
		case slices.Contains(ood.Names(), name):
			return fail("a detector has the name %q, which is that of one here; give it another", name)
		case len(a.Shape) != 1 || a.Shape[0] != n:
			return fail("%s has the shape %v, and the set %d images", a.Name, a.Shape, n)
		}
		scores := numbersOf(a)
		if i := slices.IndexFunc(scores, func(v float64) bool { return v-v != 0 }); i >= 0 {
			return fail("score %d of %s is %g, not a finite number", i, a.Name, scores[i])
		}
		if given[name] == nil {
			given[name] = map[string][]float64{}
		}
		given[name][set] = scores
	}
	if len(given) == 0 || len(given) > maxGiven {
		return fail("it has %d detectors, want 1 to %d", len(given), maxGiven)
	}
	var names []string
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		g := givenScores{OODDetector: record.OODDetector{Name: name, Label: name, Source: "scores of a file, SHA-256 " + sha,
			File: filepath.Base(path)}, in: given[name][inName]}
		for _, set := range sets {
			if given[name][set] == nil {
				return fail("it has no %s/%s", name, set)
			}
			if set != inName {
				g.out = append(g.out, given[name][set])
			}
		}
		all = append(all, g)
	}
	return all, sha, nil
}

// SaveOOD computes the features of the classifier and the sets that cfg names and the scores of its detectors, and
// writes them to the new folder dir. It returns the names of the files.
func SaveOOD(ctx context.Context, cfg config.OOD, dir string, opt Options) ([]string, error) {
	if err := model.Unused(dir); err != nil {
		return nil, err
	}
	opt = opt.begun()
	job, err := openOOD(ctx, cfg, opt)
	if err != nil {
		return nil, err
	}
	return job.(*oodJob).save(ctx, dir, opt)
}

func (j *oodJob) save(ctx context.Context, dir string, opt Options) (files []string, err error) {
	methods, err := detectorsOf(j.cfg)
	if err != nil {
		return nil, err
	}
	d, err := detect(ctx, j.net, j.auto, methods, j.parts, opt)
	if err != nil {
		return nil, err
	}
	p := j.parts
	type split struct {
		name string
		images
		features *ood.Features
	}
	splits := []split{{"train", p.train, d.train}, {"val", p.val, d.val}, {inName, p.in, d.features[&p.in]}}
	for i := range p.out {
		splits = append(splits, split{outPrefix + p.out[i].Name, p.out[i], d.features[&p.out[i]]})
	}
	var scores []npz.Array
	for k, about := range d.detectors {
		scores = append(scores, npz.Array{Name: about.Name + "/" + inName, Shape: []int{p.in.N}, Data: d.in[k]})
		for i, s := range p.out {
			scores = append(scores, npz.Array{Name: about.Name + "/" + outPrefix + s.Name, Shape: []int{s.N},
				Data: d.out[i][k]})
		}
	}
	err = atomicfile.NewFolder(dir, 0o777, func(tmp string) error {
		for _, s := range splits {
			f := s.features
			if err := writeNPZ(filepath.Join(tmp, s.name+".npz"), []npz.Array{
				{Name: "features", Shape: []int{f.N, len(f.Pooled) / max(1, f.N)}, Data: f.Pooled},
				{Name: "logits", Shape: []int{f.N, len(f.Logits) / max(1, f.N)}, Data: f.Logits},
				{Name: "labels", Shape: []int{f.N}, Data: f.Labels}, {Name: "index", Shape: []int{f.N}, Data: s.Index},
			}); err != nil {
				return err
			}
			files = append(files, s.name+".npz")
			places := s.Places()
			if places == nil {
				continue
			}
			if _, _, err := atomicfile.Write(filepath.Join(tmp, s.name+".csv"), func(w io.Writer) error {
				return data.WritePlaces(w, places)
			}); err != nil {
				return err
			}
			files = append(files, s.name+".csv")
		}
		files = append(files, scoresName)
		return writeNPZ(filepath.Join(tmp, scoresName), scores)
	})
	if err != nil {
		return nil, fmt.Errorf("%w; free some space there or name another folder", err)
	}
	return files, nil
}
