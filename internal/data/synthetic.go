package data

import (
	"fmt"
	"image"
	"math"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationmonobold"
	"codeberg.org/go-fonts/liberation/liberationmonoregular"
	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansitalic"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"codeberg.org/go-fonts/liberation/liberationserifbold"
	"codeberg.org/go-fonts/liberation/liberationserifitalic"
	"codeberg.org/go-fonts/liberation/liberationserifregular"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// SyntheticDigits is the name of the built-in set: digits of eight typefaces, each rotated, scaled,
// sheared, shifted, faded and sprinkled with noise at random. It stands in for MNIST where that
// cannot be had, and serves tests. It is easier than MNIST and says nothing about it.
const SyntheticDigits = "synthetic-digits"

const (
	syntheticTrain, syntheticTest = 20000, 4000
	syntheticSeed                 = 1 // each set is one set, whatever a run's seed is
	glyphSide                     = 64
)

// glyph is one digit of one typeface, drawn large.
type glyph struct {
	coverage               [glyphSide * glyphSide]uint8 // 0 … 255
	left, top, right, foot float64                      // at is 0 outside this box
}

var glyphs = sync.OnceValues(func() ([][10]glyph, error) {
	var all [][10]glyph
	for _, ttf := range [][]byte{liberationsansregular.TTF, liberationsansbold.TTF, liberationsansitalic.TTF,
		liberationserifregular.TTF,
		liberationserifbold.TTF, liberationserifitalic.TTF, liberationmonoregular.TTF, liberationmonobold.TTF} {
		f, err := opentype.Parse(ttf)
		if err != nil {
			return nil, fmt.Errorf("synthetic digits: %w", err)
		}
		face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: 66, DPI: 72})
		if err != nil {
			return nil, fmt.Errorf("synthetic digits: %w", err)
		}
		var ten [10]glyph
		for d := range ten {
			img := image.NewAlpha(image.Rect(0, 0, glyphSide, glyphSide))
			text := string(rune('0' + d))
			b, _ := font.BoundString(face, text)
			mid := func(lo, hi fixed.Int26_6) fixed.Int26_6 { return fixed.I(glyphSide/2) - (lo+hi)/2 }
			(&font.Drawer{Dst: img, Src: image.Opaque, Face: face,
				Dot: fixed.Point26_6{X: mid(b.Min.X, b.Max.X), Y: mid(b.Min.Y, b.Max.Y)}}).DrawString(text)
			ten[d] = newGlyph(img.Pix)
		}
		all = append(all, ten)
	}
	return all, nil
})

// drawDigits draws n digits; image i depends on part and i alone.
func drawDigits(part string, n int) *Set {
	faces, err := glyphs()
	if err != nil {
		panic(err) // the typefaces are part of the program
	}
	s := &Set{N: n, H: 28, W: 28, C: 1, Pixels: make([]uint8, n*28*28), Labels: make([]int32, n), Classes: digits}
	kernel.Run(&drawing{s, faces, part}, n)
	return s
}

type drawing struct {
	set   *Set
	faces [][10]glyph
	part  string
}

// Chunk draws image i.
func (d *drawing) Chunk(i int) {
	r := rng.New(syntheticSeed, SyntheticDigits+"/"+d.part, 0, uint64(i))
	uniform := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	label := r.IntN(10)
	g := &d.faces[r.IntN(len(d.faces))][label]
	d.set.Labels[i] = int32(label)

	// The inverse map, from a pixel to the glyph: shift, rotate, shear, scale. Each digit is about
	// 20 pixels high, as in MNIST.
	angle, shear := uniform(-0.35, 0.35), uniform(-0.3, 0.3)
	sx, sy := uniform(1.9, 3.2), uniform(1.9, 2.9) // glyph pixels a pixel
	dx, dy := uniform(-3, 3), uniform(-3, 3)
	sin, cos := math.Sincos(angle)
	ink, noise := uniform(140, 255), uniform(0, 18)
	waveX, waveY, phase := uniform(0, 2.5), uniform(0, 2.5), uniform(0, 2*math.Pi)
	px := d.set.Pixels[i*28*28 : (i+1)*28*28]
	for y := range 28 {
		for x := range 28 {
			// Where the pixel's middle lies in the glyph, and how far its stroke is bent there.
			u, v := float64(x)-13.5-dx, float64(y)-13.5-dy
			u, v = (cos+shear*-sin)*u+(sin+shear*cos)*v, cos*v-sin*u
			u, v = u*sx+glyphSide/2, v*sy+glyphSide/2
			sum := 0.0
			if g.near(u, v, waveX+sx, waveY+sy) {
				u, v = u+waveX*math.Sin(v/9+phase), v+waveY*math.Sin(u/9+phase)
				for q := range 4 { // 2 x 2 points a pixel
					sum += g.at(u+sx*(0.5*float64(q&1)-0.25), v+sy*(0.5*float64(q>>1)-0.25))
				}
			}
			val := ink*sum/(4*255) + noise*(r.Float64()+r.Float64()-1)*2.4
			px[y*28+x] = uint8(max(0, min(255, val)))
		}
	}
}

// newGlyph is the glyph of a coverage [glyphSide, glyphSide].
func newGlyph(coverage []uint8) glyph {
	g := glyph{left: glyphSide, top: glyphSide}
	copy(g.coverage[:], coverage)
	for i, c := range g.coverage {
		if c > 0 {
			x, y := float64(i%glyphSide), float64(i/glyphSide)
			g.left, g.right = min(g.left, x-1), max(g.right, x+1)
			g.top, g.foot = min(g.top, y-1), max(g.foot, y+1)
		}
	}
	return g
}

// near says whether the glyph's box reaches a point at most dx and dy from (u, v). Most pixels are far from it.
func (g *glyph) near(u, v, dx, dy float64) bool {
	return u+dx >= g.left && u-dx <= g.right && v+dy >= g.top && v-dy <= g.foot
}

// at interpolates the glyph's coverage at (u, v); 0 outside.
func (g *glyph) at(u, v float64) float64 {
	x, y := math.Floor(u), math.Floor(v)
	if x < 0 || y < 0 || x >= glyphSide-1 || y >= glyphSide-1 {
		return 0
	}
	i, fx, fy := int(y)*glyphSide+int(x), u-x, v-y
	top := float64(g.coverage[i])*(1-fx) + float64(g.coverage[i+1])*fx
	bottom := float64(g.coverage[i+glyphSide])*(1-fx) + float64(g.coverage[i+glyphSide+1])*fx
	return top*(1-fy) + bottom*fy
}
