package labs

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"dla/internal/atomicfile"
	"dla/internal/attack"
	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/plot"
)

// PictureAttack is an attack on pictures. Its steps, restarts and queries are the defaults of lab4 fgsm.
type PictureAttack struct {
	Name   string  `json:"attack"` // of AttackNames, without -targeted
	Eps    float64 `json:"eps"`    // L-infinity: in units of 1/255; L2: in pixel values
	Target string  `json:"target,omitempty"`
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
