package data

import (
	"math"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// SyntheticShapes is the name of the built-in colour set: ten kinds of shapes, each turned, scaled and
// shifted at random, in random colours on a shaded ground, with noise. It serves tests and first tries
// where CIFAR-10 is not at hand, is easier and says nothing about it.
const SyntheticShapes = "synthetic-shapes"

const (
	shapesTrain, shapesTest = 10000, 2000
	shapesSide              = 32
)

// shapeClasses are the kinds of shapes; shapes has what is inside each.
var shapeClasses = []string{"checkers", "circle", "crescent", "cross", "dots", "ring", "square", "star", "stripes",
	"triangle"}

// shapes tell whether (u, v) is inside a shape about the origin that reaches out to about 1.
var shapes = []func(u, v float64) bool{
	func(u, v float64) bool { // checkers: 4 x 4 fields
		return within(u, v, 0.8) && (int(math.Floor(u*2.5))+int(math.Floor(v*2.5)))&1 == 0
	},
	func(u, v float64) bool { return u*u+v*v < 0.8 },                                                  // circle
	func(u, v float64) bool { return u*u+v*v < 0.9 && (u-0.45)*(u-0.45)+v*v > 0.5 },                   // crescent
	func(u, v float64) bool { return within(u, v, 0.95) && (math.Abs(u) < 0.3 || math.Abs(v) < 0.3) }, // cross
	func(u, v float64) bool { // dots: one in each quadrant
		u, v = math.Abs(u)-0.55, math.Abs(v)-0.55
		return u*u+v*v < 0.12
	},
	func(u, v float64) bool { r := u*u + v*v; return 0.3 < r && r < 0.9 }, // ring
	func(u, v float64) bool { return within(u, v, 0.75) },                 // square
	func(u, v float64) bool { // star: five points, each a triangle mirrored at its axis
		if u*u+v*v > 1.1 { // beyond its tips
			return false
		}
		const fifth = 2 * math.Pi / 5
		angle := math.Atan2(v, u)
		angle -= fifth * math.Round(angle/fifth)
		sin, cos := math.Sincos(math.Abs(angle))
		r := math.Sqrt(u*u + v*v)
		return starEdgeX*r*cos+starEdgeY*r*sin < starEdgeX
	},
	func(u, v float64) bool { return within(u, v, 0.85) && int(math.Floor(u*3.5+0.5))&1 == 0 }, // stripes: three
	func(u, v float64) bool { return v > -0.5 && v < 1-math.Sqrt(3)*math.Abs(u) },              // triangle
}

// The edge of a star's point runs from its tip (1, 0) to the notch at radius 0.42 and half a fifth of
// the circle: (starEdgeX, starEdgeY) is normal to it.
var starEdgeX, starEdgeY = func() (x, y float64) {
	sin, cos := math.Sincos(math.Pi / 5)
	return 0.42 * sin, 1 - 0.42*cos
}()

func within(u, v, half float64) bool { return math.Abs(u) < half && math.Abs(v) < half }

// drawShapes draws n shapes; image i depends on part and i alone.
func drawShapes(part string, n int) *Set {
	s := &Set{N: n, H: shapesSide, W: shapesSide, C: 3, Pixels: make([]uint8, n*shapesSide*shapesSide*3),
		Labels: make([]int32, n), Classes: shapeClasses}
	kernel.Run(&shapeDrawing{s, SyntheticShapes + "/" + part}, n)
	return s
}

type shapeDrawing struct {
	set     *Set
	purpose string // of the random numbers
}

// Chunk draws image i.
func (d *shapeDrawing) Chunk(i int) {
	r := rng.New(syntheticSeed, d.purpose, 0, uint64(i))
	uniform := func(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }
	label := r.IntN(len(shapes))
	d.set.Labels[i] = int32(label)
	inside := shapes[label]

	// Colours: the shape's is far from the ground's in every channel; the ground gets lighter or
	// darker across the image.
	var ground, ink, across, down [3]float64
	for c := range 3 {
		ground[c] = uniform(0, 255)
		ink[c] = math.Mod(ground[c]+uniform(80, 175), 255)
		across[c], down[c] = uniform(-1.5, 1.5), uniform(-1.5, 1.5)
	}
	// The map from a pixel to the shape: shift, turn, scale.
	const middle = (shapesSide - 1) / 2.
	size := uniform(8, 14) // pixels from the shape's middle to its end
	dx, dy := uniform(-1, 1)*(17-size), uniform(-1, 1)*(17-size)
	sin, cos := math.Sincos(uniform(0, 2*math.Pi))
	sin, cos = sin/size, cos/size
	noise := uniform(4, 40) / 255

	px := d.set.Pixels[i*shapesSide*shapesSide*3 : (i+1)*shapesSide*shapesSide*3]
	for y := range shapesSide {
		for x := range shapesSide {
			gx, gy := float64(x)-middle, float64(y)-middle
			cover := 0.0
			for q := range 4 { // 2 x 2 points a pixel
				px, py := gx-dx+0.5*float64(q&1)-0.25, gy-dy+0.5*float64(q>>1)-0.25
				if inside(cos*px+sin*py, cos*py-sin*px) {
					cover += 0.25
				}
			}
			bits := r.Uint32() // a byte of noise for each channel
			for c := range 3 {
				v := ground[c] + across[c]*gx + down[c]*gy
				v += cover*(ink[c]-v) + noise*(float64(bits>>(8*c)&255)-127.5)
				px[(y*shapesSide+x)*3+c] = uint8(max(0, min(255, v)))
			}
		}
	}
}
