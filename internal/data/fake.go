package data

import (
	"encoding/binary"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// FakeName is what the noise images are called as a set of outliers.
const FakeName = "fake"

// Fake draws n images of 32x32 pixels in colour of which every value is uniform in 0 … 255. Image i depends
// on seed and i alone: a larger n only adds images.
//
// It serves as torchvision.datasets.FakeData, which is another noise: that draws each value from the
// standard normal distribution, multiplies by 255 and keeps the low byte, which comes out nearly uniform;
// it gives labels of ten classes at random, here there is one.
func Fake(n int, seed uint64) *Set {
	s := &Set{N: n, H: cifarSide, W: cifarSide, C: 3, Pixels: make([]uint8, n*3*cifarPlane), Labels: make([]int32, n),
		Classes: []string{"noise"}}
	kernel.Run(&noise{s, seed}, n)
	return s
}

type noise struct {
	set  *Set
	seed uint64
}

// Chunk draws image i.
func (d *noise) Chunk(i int) {
	r := rng.New(d.seed, FakeName, 0, uint64(i))
	for px := d.set.Pixels[i*3*cifarPlane:][:3*cifarPlane]; len(px) > 0; px = px[4:] {
		binary.LittleEndian.PutUint32(px, r.Uint32())
	}
}
