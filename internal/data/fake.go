package data

import (
	"encoding/binary"

	"dla/internal/kernel"
	"dla/internal/rng"
)

// FakeName is what the noise images are called as a set of outliers.
const FakeName = "fake"

// Fake draws n images with the size and channels of like, nil standing for 32x32 pixels in colour. Every value is
// uniform in 0 … 255. Image i depends on seed and i alone: a larger n only adds images.
//
// It serves as torchvision.datasets.FakeData, which is another noise: that draws each value from the
// standard normal distribution, multiplies by 255 and keeps the low byte, which comes out nearly uniform;
// it gives labels of ten classes at random, here there is one.
func Fake(n int, seed uint64, like *Set) *Set {
	of := shapeOf(like)
	s := &Set{N: n, H: of.h, W: of.w, C: of.c, Pixels: make([]uint8, n*of.values()), Labels: make([]int32, n),
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
	values := shapeOf(d.set).values()
	var word [4]byte
	for px := d.set.Pixels[i*values:][:values]; len(px) > 0; px = px[min(4, len(px)):] {
		binary.LittleEndian.PutUint32(word[:], r.Uint32())
		copy(px, word[:])
	}
}
