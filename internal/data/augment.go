package data

import "dla/internal/rng"

// Augment describes how training images are changed at random, anew in each epoch. An image is cropped, then flipped,
// then a square is cut out. The zero value changes nothing.
type Augment struct {
	Flip   bool // mirror half of the images, left to right
	Crop   int  // pixels of border, from which a window of the image's own size is cropped (He et al. 2016 use 4); 0: off
	Copies int  // number of augmented copies of each image, used in turn; 0: a new one each epoch
	Cutout int  // side of a black square centred on any pixel and clipped at the edges (DeVries and Taylor 2017); 0: off

	// Alternate makes Flip draw for the first epoch only. In every later epoch an image is mirrored where it was not in
	// the epoch before, so two epochs in a row show both of its sides (Jordan 2024, https://arxiv.org/abs/2404.00498).
	Alternate bool
	// Reflect fills the border with the image, mirrored about its outermost pixels, as PyTorch's pad(mode='reflect')
	// does. Without it the border is black.
	Reflect bool
}

// change is how one image is changed.
type change struct {
	flip           bool
	dy, dx         int // row y of the crop is row y+dy of the image
	y0, y1, x0, x1 int // what is cut out of the result, ends exclusive
	reflect        bool
}

// draw gives the change of image index of a set of h x w images in an epoch. Each part of it is drawn
// whether it is used or not, so that switching one on leaves the others as they were.
func (a Augment) draw(seed uint64, epoch, index, h, w int) (c change) {
	if a.Copies > 0 {
		epoch %= a.Copies
	}
	r := rng.New(seed, "augment", uint64(epoch), uint64(index))
	flip := r.Uint32()&1 == 1
	if a.Alternate {
		first := rng.New(seed, "augment", 0, uint64(index))
		flip = (first.Uint32()&1 == 1) != (epoch%2 == 1)
	}
	pad := max(0, a.Crop)
	c.flip, c.reflect = a.Flip && flip, a.Reflect
	c.dy, c.dx = r.IntN(2*pad+1)-pad, r.IntN(2*pad+1)-pad
	y, x := r.IntN(h), r.IntN(w)
	if a.Cutout > 0 {
		y, x = y-a.Cutout/2, x-a.Cutout/2
		c.y0, c.y1 = max(0, y), min(h, y+a.Cutout)
		c.x0, c.x1 = max(0, x), min(w, x+a.Cutout)
	}
	return c
}

// apply writes the image src, [h, w, ch], changed, into dst as values in [0,1].
func (c change) apply(dst []float32, src []uint8, h, w, ch int) {
	lo, hi := min(w, max(0, -c.dx)), max(0, min(w, w-c.dx)) // columns of the crop that the image fills
	if c.flip {
		lo, hi = w-hi, w-lo
	}
	for y := range h {
		out := dst[y*w*ch : (y+1)*w*ch]
		from := y + c.dy // the row that comes here
		if c.reflect {
			from = mirrored(from, h)
		}
		if from < 0 || from >= h {
			clear(out)
			continue
		}
		in := src[from*w*ch : (from+1)*w*ch]
		c.border(out, in, 0, lo, w, ch)
		c.border(out, in, hi, w, w, ch)
		switch {
		case lo == hi: // the crop misses the image
		case c.flip:
			from := w - hi + c.dx // the column that comes last
			toUnitFlipped(out[lo*ch:hi*ch], in[from*ch:(from+hi-lo)*ch], ch)
		default:
			toUnit(out[lo*ch:hi*ch], in[(lo+c.dx)*ch:(hi+c.dx)*ch])
		}
	}
	for y := c.y0; y < c.y1; y++ {
		clear(dst[(y*w+c.x0)*ch : (y*w+c.x1)*ch])
	}
}

// border writes the columns lo to hi of a row that the image does not fill. in is the image's row, [w, ch].
func (c change) border(out []float32, in []uint8, lo, hi, w, ch int) {
	if !c.reflect {
		clear(out[lo*ch : hi*ch])
		return
	}
	for x := lo; x < hi; x++ {
		from := x
		if c.flip {
			from = w - 1 - x
		}
		from = mirrored(from+c.dx, w)
		toUnit(out[x*ch:(x+1)*ch], in[from*ch:(from+1)*ch])
	}
}

// mirrored gives the pixel of 0 to n-1 that is seen at i when the image is mirrored about its outermost pixels, again
// and again where the border is wider than the image: 2 1 0 1 2 1 0 for n = 3.
func mirrored(i, n int) int {
	if i >= 0 && i < n {
		return i
	}
	if n == 1 {
		return 0
	}
	period := 2 * (n - 1)
	if i %= period; i < 0 {
		i += period
	}
	return min(i, period-i)
}

// toUnitFlipped is toUnit of pixels of ch values in the opposite order.
func toUnitFlipped(dst []float32, src []uint8, ch int) {
	if ch == 3 {
		for len(dst) >= 3 && len(src) >= 3 {
			s, d := src[len(src)-3:], dst[:3]
			d[0], d[1], d[2] = unit[s[0]], unit[s[1]], unit[s[2]]
			src, dst = src[:len(src)-3], dst[3:]
		}
		return
	}
	for i := 0; i < len(dst); i += ch {
		toUnit(dst[i:i+ch], src[len(src)-i-ch:len(src)-i])
	}
}
