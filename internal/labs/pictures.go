package labs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

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

// PictureAttack is an attack on pictures. Its steps, restarts and queries are the defaults of lab4 fgsm.
type PictureAttack struct {
	Name   string  `json:"attack"` // of AttackNames, without -targeted
	Eps    float64 `json:"eps"`    // L-infinity: in units of 1/255; L2: in pixel values
	Target string  `json:"target,omitempty"`
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

// AttackedPicture is what a network predicts for a picture after an attack, rounded to 8 bits.
type AttackedPicture struct {
	Label        string       `json:"label"`
	Probability  float64      `json:"probability"`
	Top          []ClassScore `json:"top,omitempty"`
	Success      bool         `json:"success"`        // the target is predicted; without one, another class than before
	Largest      int          `json:"largest_change"` // of a value, in steps of 8 bits
	Image        string       `json:"image,omitempty"`
	Perturbation string       `json:"perturbation,omitempty"` // the file of the change: see attack.Example.Contrast
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

// prepareAttack compiles the attack a.
func (c *pictureClassifier) prepareAttack(a PictureAttack) error {
	kind := a.Name
	if a.Target != "" {
		if kind += "-targeted"; !slices.Contains(AttackNames(), kind) && slices.Contains(AttackNames(), a.Name) {
			var can []string
			for _, name := range AttackNames() {
				if name, ok := strings.CutSuffix(name, "-targeted"); ok {
					can = append(can, name)
				}
			}
			return fmt.Errorf("%s takes no target class; %s do", a.Name, strings.Join(can, " and "))
		}
		class := slices.Index(c.names, a.Target)
		if class < 0 {
			return fmt.Errorf("target: no class is called %q; the classes are %v", a.Target, c.names)
		}
		c.goal = int32(class)
	}
	m, at, err := attackCalled(kind)
	if err != nil {
		return err
	}
	at.eps = a.Eps
	c.at, c.attack = at, m.New(settingsAt(config.DefaultFGSM(), c.Images, at))
	c.graph, err = attack.NewTarget(c.Model, c.Params, c.row(), c.Images.Classes, c.rows)
	return err
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

// attackBatch attacks the images of set, which are the pictures with these numbers and have these scores.
func (c *pictureClassifier) attackBatch(ctx context.Context, set *data.Set, before [][]classScore,
	numbers []int) error {
	b := data.Batch{X: make([]float32, len(set.Pixels)), Y: make([]int32, set.N)}
	data.NewLoader(data.All(set), set.N, false, 0).Batch(0, 0, &b)
	for i := range b.Y {
		if b.Y[i] = c.goal; !c.at.targeted {
			b.Y[i] = c.from(c.out.All[numbers[i]], before[i])
		}
	}
	adv, rounded := make([]float32, len(b.X)), make([]float32, len(b.X))
	// All have the index 0, so that the random start of a picture does not depend on the others.
	in := attack.Batch{X: b.X, Y: b.Y, Index: make([]int32, set.N)}
	if err := c.attack.Run(ctx, c.graph, in, adv); err != nil {
		return err
	}
	limit := math.Inf(1)
	if c.at.norm == attack.Linf {
		limit = c.at.eps / 255
	}
	attack.Round(rounded, adv, b.X, limit)
	changed := c.set()
	changed.N, changed.Labels, changed.Pixels = set.N, set.Labels, levels(rounded)
	after, err := c.scores(ctx, changed)
	if err != nil {
		return err
	}
	px := set.H * set.W * set.C
	for i, at := range numbers {
		one := &c.out.All[at]
		e := attack.Example{Targeted: c.at.targeted, Label: c.from(*one, before[i]), Goal: c.goal,
			H: set.H, W: set.W, C: set.C, Image: set.Pixels[i*px : (i+1)*px], Changed: changed.Pixels[i*px : (i+1)*px],
			Before: attack.Prediction{Class: before[i][0].class, P: before[i][0].p},
			After:  attack.Prediction{Class: after[i][0].class, P: after[i][0].p}}
		one.Attacked = &AttackedPicture{Label: c.names[e.After.Class], Probability: e.After.P, Top: c.top(after[i]),
			Success: e.Success(), Largest: e.LargestChange()}
		if !c.at.targeted && e.Before.Class == int(e.Label) || c.at.targeted && e.Before.Class != int(c.goal) {
			c.success.add(e.Success())
		}
		if one.Class != "" {
			c.after.add(one.Class == one.Attacked.Label)
		}
		if c.dir != "" {
			if err := c.write(one, e, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// from returns the class that an untargeted attack leads away from: the true one where it is known.
func (c *pictureClassifier) from(one PicturePrediction, scores []classScore) int32 {
	if one.Class != "" {
		return int32(slices.Index(c.names, one.Class))
	}
	return int32(scores[0].class)
}

// maxSheet bounds the pictures of a contact sheet.
const maxSheet = 24

// write writes the attacked picture number at and its change, and enters it in the contact sheet.
func (c *pictureClassifier) write(one *PicturePrediction, e attack.Example, at int) error {
	name := fmt.Sprintf("%0*d-%s", c.digits, at+1, stem(one.File))
	change := e.Contrast()
	for _, f := range []struct {
		what   string
		pixels []byte
		path   *string
	}{{"attacked", e.Changed, &one.Attacked.Image}, {"perturbation", change, &one.Attacked.Perturbation}} {
		file := name + "-" + f.what + ".png"
		*f.path = filepath.Join(c.Save, file)
		b, err := encodePNG(f.pixels, e.H, e.W)
		if err == nil {
			err = atomicfile.WriteBytes(filepath.Join(c.dir, file), b)
		}
		if err != nil {
			return err
		}
	}
	if len(c.rowsOfSheet) == maxSheet {
		return nil
	}
	picture := func(b []byte) plot.Picture { return plot.Picture{H: e.H, W: e.W, Pixels: b} }
	says := func(what string, p attack.Prediction) string {
		return fmt.Sprintf("%s\n%s, %.1f %%", what, printable(c.names[p.Class]), 100*p.P)
	}
	scale := "no change"
	if e.LargestChange() > 0 {
		scale = fmt.Sprintf("%d/255, × %.3g", e.LargestChange(), 127.5/float64(e.LargestChange()))
	}
	c.rowsOfSheet = append(c.rowsOfSheet, plot.GridRow{Label: printable(shortened(filepath.Base(one.File), 24)),
		Cells: []plot.Cell{
			{Picture: picture(e.Image), Caption: says("original", e.Before)},
			{Picture: picture(change), Caption: "perturbation\n" + scale},
			{Picture: picture(e.Changed), Caption: says("attacked", e.After), Alert: e.Success()},
		}})
	return nil
}

// sheet writes the contact sheet: each picture, its change and the attacked picture, with the predictions.
func (c *pictureClassifier) sheet() error {
	if len(c.rowsOfSheet) == 0 {
		return nil
	}
	title := outcomeName(attack.Outcome{Attack: attack.Label(strings.TrimSuffix(c.Attack.Name, "-l2")), Norm: c.at.norm,
		Eps: c.at.eps})
	if c.at.targeted {
		title += ", target " + printable(c.Attack.Target)
	}
	about := fmt.Sprintf("%s · predictions with probability", c.Name)
	if c.out.Classified > len(c.rowsOfSheet) {
		about += fmt.Sprintf(" · the first %d of %d pictures", len(c.rowsOfSheet), c.out.Classified)
	}
	g := plot.Grid{Title: title, Subtitle: about, Rows: c.rowsOfSheet}
	files, err := g.Save(filepath.Join(c.dir, "sheet"))
	for _, f := range files {
		c.out.Sheet = append(c.out.Sheet, filepath.Join(c.Save, filepath.Base(f)))
	}
	return err
}

// encodePNG returns h x w pixels, RGB or grey, as a PNG file.
func encodePNG(pixels []byte, h, w int) ([]byte, error) {
	var img image.Image
	if len(pixels) == h*w {
		img = &image.Gray{Pix: pixels, Stride: w, Rect: image.Rect(0, 0, w, h)}
	} else {
		rgb := image.NewNRGBA(image.Rect(0, 0, w, h))
		for p := range h * w {
			rgb.SetNRGBA(p%w, p/w, color.NRGBA{pixels[3*p], pixels[3*p+1], pixels[3*p+2], 255})
		}
		img = rgb
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// stem returns a name for files made from the picture file: its own without folders and suffix.
func stem(file string) string {
	if file == StandardInput {
		return "stdin"
	}
	name := filepath.Base(file)
	return shortened(strings.TrimSuffix(name, filepath.Ext(name)), 100)
}

// shortened returns at most n bytes of the beginning of s, whole characters.
func shortened(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// printable returns s for a figure: without control characters and invalid bytes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
