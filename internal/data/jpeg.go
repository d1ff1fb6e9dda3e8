package data

import (
	"image"
	"runtime"
)

// A JPEG mostly holds its two colour planes at half the width and height, and how these are widened is left
// to the decoder. The standard library repeats each value. libjpeg-turbo, and with it Pillow and torchvision,
// weighs each with its neighbours (jdsample.c, "fancy upsampling"). Between the two, CIFAR-10 as JPEG differs
// by 1.2 levels on average and by dozens at edges. So the planes that the standard library gives are widened and
// turned into RGB here, by libjpeg's integers, rounding by rounding.
//
// What remains is the inverse cosine transform, which the standard library rounds in other places. Of 5,000 of
// those images 2.3 % of the values differ from Pillow's by one level, 0.4 % by two or three: 0.03 levels on
// average (Pillow 13.0 with libjpeg-turbo 3.2).

// decoder names what a set of JPEGs was decoded by: another may give other pixels. The version of Go is that of
// the standard library's part, the number is to be raised where ours or fitImage changes.
var decoder = runtime.Version() + ", 2"

// fromYCbCr writes the values of img into dst, whose pixels are size bytes apart.
func fromYCbCr(img *image.YCbCr, dst []uint8, size int) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	rx, ry := ratios(img.SubsampleRatio)
	cw, ch := (w+rx-1)/rx, (h+ry-1)/ry
	cb, cr, sums := make([]uint8, rx*cw), make([]uint8, rx*cw), make([]int32, cw)
	for y := range h {
		p := plane{img.Cb, img.CStride, cw, ch, rx, ry}
		p.row(y, sums, cb)
		p.values = img.Cr
		p.row(y, sums, cr)
		for x, luma := range img.Y[y*img.YStride:][:w] {
			o := dst[(y*w+x)*size:][:3]
			o[0], o[1], o[2] = fromLuma(luma, cb[x], cr[x])
		}
	}
}

// ratios are by how much the colour planes are narrower and lower than the image.
func ratios(r image.YCbCrSubsampleRatio) (x, y int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// plane is a colour plane of w x h values, without what pads it to whole blocks.
type plane struct {
	values         []uint8
	stride         int
	w, h           int
	narrower, less int // times, than the image's width and height
}

// row writes row y of the image into dst. sums is scratch of w values.
func (p plane) row(y int, sums []int32, dst []uint8) {
	at := y / p.less
	beside := at + 1 // the row that the lower half of this one is next to
	if y%p.less == 0 {
		beside = at - 1
	}
	near, far := p.values[at*p.stride:][:p.w], p.values[min(max(beside, 0), p.h-1)*p.stride:][:p.w]
	switch fancy := p.narrower == 2 && p.w > 2; {
	case p.narrower == 1 && p.less == 2:
		bias := 1 + int32(y%2)
		for x, v := range near {
			dst[x] = uint8((3*int32(v) + int32(far[x]) + bias) >> 2)
		}
	case fancy && p.less == 2:
		for x, v := range near {
			sums[x] = 3*int32(v) + int32(far[x])
		}
		widen(sums, dst, 4, 8, 7)
	case fancy:
		for x, v := range near {
			sums[x] = int32(v)
		}
		widen(sums, dst, 2, 1, 2)
	default: // libjpeg repeats these as well
		for x, v := range near {
			for i := range p.narrower {
				dst[p.narrower*x+i] = v
			}
		}
	}
}

// widen writes two values for each of in: three parts of it and one of the neighbour on that side. What is
// added before the shift differs left and right, so that halves are not all rounded the same way.
func widen(in []int32, dst []uint8, shift uint, left, right int32) {
	last := len(in) - 1
	for x, v := range in {
		dst[2*x] = uint8((3*v + in[max(x-1, 0)] + left) >> shift)
		dst[2*x+1] = uint8((3*v + in[min(x+1, last)] + right) >> shift)
	}
}

// fromLuma is libjpeg's colour conversion (jdcolor.c): factors of 16 bits, where the standard library adds
// another rounding.
func fromLuma(luma, cb, cr uint8) (r, g, b uint8) {
	const half = 1 << 15
	y, u, v := int32(luma), int32(cb)-128, int32(cr)-128
	return clip(y + (91881*v+half)>>16), clip(y + (-22554*u-46802*v+half)>>16), clip(y + (116130*u+half)>>16)
}

func clip(v int32) uint8 { return uint8(min(max(v, 0), 255)) }
