package data

import "dla/internal/rng"

// Augment describes how training images are changed at random, anew in each epoch. An image is cropped, then flipped,
// then a square is cut out; pixels from outside the image are black. The zero value changes nothing.
type Augment struct {
	Flip   bool // mirror half of the images, left to right
	Crop   int  // pixels of black border, from which a window of the image's own size is cropped (He et al. 2016 use 4); 0: off
	Copies int  // number of augmented copies of each image, used in turn; 0: a new one each epoch
	Cutout int  // side of a black square centred on any pixel and clipped at the edges (DeVries and Taylor 2017); 0: off
}

// change is how one image is changed.
type change struct {
	flip           bool
	dy, dx         int // row y of the crop is row y+dy of the image
	y0, y1, x0, x1 int // what is cut out of the result, ends exclusive
}

// draw gives the change of image index of a set of h x w images in an epoch. Each part of it is drawn
// whether it is used or not, so that switching one on leaves the others as they were.
func (a Augment) draw(seed uint64, epoch, index, h, w int) (c change) {
	if a.Copies > 0 {
		epoch %= a.Copies
	}
	r := rng.New(seed, "augment", uint64(epoch), uint64(index))
	flip := r.Uint32()&1 == 1
	pad := max(0, a.Crop)
	c.flip = a.Flip && flip
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
		if y+c.dy < 0 || y+c.dy >= h || lo >= hi {
			clear(out)
			continue
		}
		in := src[(y+c.dy)*w*ch : (y+c.dy+1)*w*ch]
		clear(out[:lo*ch])
		clear(out[hi*ch:])
		if c.flip {
			from := w - hi + c.dx // the column that comes last
			toUnitFlipped(out[lo*ch:hi*ch], in[from*ch:(from+hi-lo)*ch], ch)
		} else {
			toUnit(out[lo*ch:hi*ch], in[(lo+c.dx)*ch:(hi+c.dx)*ch])
		}
	}
	for y := c.y0; y < c.y1; y++ {
		clear(dst[(y*w+c.x0)*ch : (y*w+c.x1)*ch])
	}
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
