package labs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dla/internal/atomicfile"
	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/metrics"
	"dla/internal/plainfile"
	"dla/internal/plot"
	"dla/internal/train"
)

// Pictures are a user's own image files: classified by any network, and attacked.

// Picture is an image file to classify.
type Picture struct {
	File    string // its path; -: standard input
	Class   string // name of the folder that it lies in, below a folder that was named; empty: none
	content []byte // of standard input
	err     error  // why it cannot be read, where that is known already
}

// StandardInput is the name of the picture that is read from standard input.
const StandardInput = "-"

// Pictures lists the pictures that names name: files, the image files below folders in sorted order, and for
// StandardInput the image in. What cannot be read has a Picture as well: classifying it gives its error. say prints
// what is left out in folders. A cancelled ctx is an error.
func Pictures(ctx context.Context, names []string, in io.Reader, say func(string, ...any)) ([]Picture, error) {
	var all []Picture
	for _, name := range names {
		if name == StandardInput {
			b, err := io.ReadAll(io.LimitReader(in, data.MaxPicture+1))
			if err == nil && len(b) > data.MaxPicture {
				err = fmt.Errorf("has more than %d bytes", data.MaxPicture)
			}
			all = append(all, Picture{File: name, content: b, err: err})
			continue
		}
		if st, err := os.Stat(name); err != nil || !st.IsDir() {
			all = append(all, Picture{File: name, err: err})
			continue
		}
		files, over, err := data.ImageFiles(ctx, name)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if over != "" {
			say("%s: passed over: %s", name, over)
		}
		if err == nil && len(files) == 0 {
			err = errors.New("holds no images (png, jpg, jpeg, webp, bmp, gif)")
		}
		if err != nil {
			all = append(all, Picture{File: name, err: err})
		}
		for _, f := range files {
			p := Picture{File: f.Path, err: f.Err}
			if dir := path.Dir(f.Name); dir != "." {
				p.Class = path.Base(dir)
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// fit returns the pixels of p as f converts them.
func (p Picture) fit(f *data.Fitter) ([]uint8, error) {
	b, err := p.content, p.err
	if err == nil && p.File != StandardInput {
		b, err = plainfile.Read(p.File, data.MaxPicture)
	}
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, errors.New("is empty")
	}
	return f.Fit(b)
}

// because returns the text of err for a line that begins with the name of p.
func (p Picture) because(err error) string {
	if at := (*fs.PathError)(nil); errors.As(err, &at) && at.Path == p.File {
		err = at.Err
	}
	text := strings.TrimPrefix(err.Error(), p.File)
	return strings.TrimLeft(text, ": ")
}

// PictureOptions holds how pictures are classified.
type PictureOptions struct {
	Views  config.Views   // of each picture, whose logits are averaged
	Top    int            // classes of each picture to return, the most probable first
	Attack *PictureAttack // nil: none
	Save   string         // with Attack: a new folder for the attacked pictures; empty: they are not written
}

// PicturePrediction is the prediction for a picture. Label and Probability are nil for a picture that cannot be read.
type PicturePrediction struct {
	File        string           `json:"file"`
	Label       *string          `json:"label"`
	Probability *float64         `json:"probability"`
	Top         []ClassScore     `json:"top,omitempty"`   // the most probable classes, where more than one was asked for
	Class       string           `json:"class,omitempty"` // its true class, if its folder names one
	Attacked    *AttackedPicture `json:"attacked,omitempty"`
	Error       string           `json:"error,omitempty"`
}

// Share is a fraction of pictures.
type Share struct {
	N     int        `json:"n"`
	Count int        `json:"count"`
	Value float64    `json:"value"`
	CI95  [2]float64 `json:"ci95"`
}

func (s *Share) add(counts bool) {
	s.N++
	if counts {
		s.Count++
	}
}

// closed returns s with its value; nil if it has no picture.
func (s Share) closed() *Share {
	if s.N == 0 {
		return nil
	}
	s.Value = float64(s.Count) / float64(s.N)
	s.CI95[0], s.CI95[1] = metrics.Wilson(s.Count, s.N)
	return &s
}

// PicturePredictions holds the predictions of pictures, in order.
type PicturePredictions struct {
	All        []PicturePrediction
	Classified int
	Seconds    float64 // to read, convert and classify, without loading the network
	Converted  string  // what was converted to the network's size and channels; empty: nothing

	Accuracy         *Share   // on the pictures whose folders name a class; nil: there are none
	AttackedAccuracy *Share   // on these after the attack
	Success          *Share   // of the attack, on the pictures that it had to change; nil: there are none
	OtherFolders     []string // names that are no class, if others are
	Sheet            []string // files of the contact sheet
}

// Classify classifies pictures of any size and kind, converted to the size and the channels of n's images, and attacks
// them if o says so. An untargeted attack leads away from the true class where a folder names it, else from the class
// that is predicted without attack. The result for a
// picture does not depend on the others. A picture that cannot be read has a prediction with its error. A cancelled ctx
// is an error, and then nothing is written.
func (n *Network) Classify(ctx context.Context, pictures []Picture, o PictureOptions,
	opt Options) (PicturePredictions, error) {
	began := time.Now()
	c, err := newPictureClassifier(n, len(pictures), o)
	if err != nil {
		return PicturePredictions{}, err
	}
	run := func(dir string) error {
		c.dir = dir
		if err := c.classify(ctx, pictures, opt.Sink); err != nil {
			return err
		}
		if dir != "" && c.out.Classified == 0 {
			return errNoPicture
		}
		return c.sheet()
	}
	if o.Save == "" {
		err = run("")
	} else if err = vacant(o.Save); err == nil {
		err = atomicfile.NewFolder(o.Save, 0o777, run)
		if err != nil && !errors.Is(err, errNoPicture) && ctx.Err() == nil {
			err = fmt.Errorf("%w; free some space there or name another folder", err)
		}
	}
	if err != nil && !errors.Is(err, errNoPicture) {
		return PicturePredictions{}, err
	}
	c.out.Accuracy, c.out.AttackedAccuracy, c.out.Success = c.clean.closed(), c.after.closed(), c.success.closed()
	if c.clean.N == 0 {
		c.out.OtherFolders = nil
	}
	slices.Sort(c.out.OtherFolders)
	c.out.Converted = c.fitter.String()
	c.out.Seconds = time.Since(began).Seconds()
	return c.out, nil
}

// errNoPicture means that there is nothing to save.
var errNoPicture = errors.New("no picture was attacked")

// vacant returns an error if dir exists and is not an empty folder.
func vacant(dir string) error {
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists and is not an empty folder; name another", dir)
	}
	return nil
}

// pictureClassifier classifies pictures and attacks them.
type pictureClassifier struct {
	*Network
	PictureOptions
	names  []string // of the classes
	rows   int      // of a batch
	scorer *train.Scorer
	fitter data.Fitter

	attack attack.Attack // nil: none
	graph  *attack.Target
	at     attackRadius
	goal   int32 // the target class, if at.targeted

	dir                   string // where to write the attacked pictures; empty: nowhere
	digits                int    // of their numbers
	rowsOfSheet           []plot.GridRow
	out                   PicturePredictions
	clean, after, success Share
}

// maxPixels bounds the values of a batch of images: those of evalBatch images of CIFAR-10.
const maxPixels = evalBatch * 32 * 32 * 3

func newPictureClassifier(n *Network, pictures int, o PictureOptions) (*pictureClassifier, error) {
	i := n.Images
	if i.C != 1 && i.C != 3 {
		return nil, fmt.Errorf("%s takes images of %d channels, which no image file has", n.Source, i.C)
	}
	c := &pictureClassifier{Network: n, PictureOptions: o, names: n.ClassNames(),
		rows:   max(1, min(pictures, evalBatch, maxPixels/(i.H*i.W*i.C))),
		fitter: data.Fitter{H: i.H, W: i.W, C: i.C}, digits: len(fmt.Sprint(pictures))}
	if o.Attack != nil {
		if err := c.prepareAttack(*o.Attack); err != nil {
			return nil, err
		}
	}
	var err error
	c.scorer, err = n.Scorer(c.rows)
	return c, err
}

// classify classifies all pictures, batch by batch.
func (c *pictureClassifier) classify(ctx context.Context, pictures []Picture, sink train.Sink) error {
	c.out.All = make([]PicturePrediction, 0, len(pictures))
	steps := (len(pictures) + c.rows - 1) / c.rows
	_, err := train.EachBatch(ctx, "pictures", steps, sink, func(step int) (train.Stats, error) {
		part := pictures[step*c.rows : min(len(pictures), (step+1)*c.rows)]
		return train.Counted(len(part)), c.batch(ctx, part)
	})
	return err
}

// batch classifies pictures, at most c.rows.
func (c *pictureClassifier) batch(ctx context.Context, pictures []Picture) error {
	pixels, failed := c.read(ctx, pictures)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	set := c.set()
	var numbers []int // of the readable pictures in c.out.All
	for i, p := range pictures {
		one := PicturePrediction{File: p.File}
		if failed[i] != nil {
			one.Error = p.because(failed[i])
		} else {
			set.Pixels, numbers = append(set.Pixels, pixels[i]...), append(numbers, len(c.out.All))
			c.trueClass(&one, p.Class)
		}
		c.out.All = append(c.out.All, one)
	}
	if set.N = len(numbers); set.N == 0 {
		return nil
	}
	set.Labels = make([]int32, set.N)
	scores, err := c.scores(ctx, set)
	if err != nil {
		return err
	}
	c.out.Classified += set.N
	for i, at := range numbers {
		one := &c.out.All[at]
		first := scores[i][0]
		one.Label, one.Probability, one.Top = &c.names[first.class], &first.p, c.top(scores[i])
		if one.Class != "" {
			c.clean.add(one.Class == *one.Label)
		}
	}
	if c.attack == nil {
		return nil
	}
	return c.attackBatch(ctx, set, scores, numbers)
}

// trueClass enters the class that the folder of a picture names.
func (c *pictureClassifier) trueClass(one *PicturePrediction, folder string) {
	switch {
	case slices.Contains(c.names, folder):
		one.Class = folder
	case folder != "" && !slices.Contains(c.out.OtherFolders, folder):
		c.out.OtherFolders = append(c.out.OtherFolders, folder)
	}
}

// read reads pictures in parallel. failed says why one cannot be read.
func (c *pictureClassifier) read(ctx context.Context, pictures []Picture) (pixels [][]uint8, failed []error) {
	pixels, failed = make([][]uint8, len(pictures)), make([]error, len(pictures))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(kernel.Threads(), len(pictures)) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(pictures) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				pixels[i], failed[i] = pictures[i].fit(&c.fitter)
			}
		})
	}
	all.Wait()
	return pixels, failed
}

// set returns an empty set of images of the network's size.
func (c *pictureClassifier) set() *data.Set {
	return &data.Set{H: c.Images.H, W: c.Images.W, C: c.Images.C}
}

// classScore is the probability of the class with a number.
type classScore struct {
	class int
	p     float64
}

// scores returns the probabilities of the classes for each image of set, the most probable first.
func (c *pictureClassifier) scores(ctx context.Context, set *data.Set) ([][]classScore, error) {
	v, err := train.EvaluateViews(ctx, c.scorer, viewsOf(c.Views, c.scorer, data.All(set)), nil)
	if errors.Is(err, train.ErrDiverged) {
		err = fmt.Errorf("the network of %s gives no numbers for these pictures (%w); its weights are damaged",
			c.Source, err)
	}
	if err != nil {
		return nil, err
	}
	all := make([][]classScore, set.N)
	classes := len(c.names)
	for i := range all {
		row := v.Logits[i*classes : (i+1)*classes]
		best, sum := slices.Max(row), 0.0
		for _, x := range row {
			sum += math.Exp(x - best)
		}
		for class, x := range row {
			all[i] = append(all[i], classScore{class, math.Exp(x-best) / sum})
		}
		// By the logits: probabilities of 0 are not ordered.
		slices.SortStableFunc(all[i], func(a, b classScore) int { return cmp.Compare(row[b.class], row[a.class]) })
	}
	return all, nil
}

// top returns the first classes of scores; nil if only one was asked for.
func (c *pictureClassifier) top(scores []classScore) (top []ClassScore) {
	if c.Top <= 1 {
		return nil
	}
	for _, s := range scores[:min(c.Top, len(scores))] {
		top = append(top, ClassScore{Label: c.names[s.class], Probability: s.p})
	}
	return top
}

// maxSheet bounds the pictures of a contact sheet.
const maxSheet = 24
