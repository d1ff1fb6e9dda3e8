package data

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"
	"sync"

	"golang.org/x/image/draw"
)

// kind is what an image is, other than 8-bit RGB.
type kind int

const (
	plain kind = iota
	grey
	palette
	alpha
	deep
	cmyk
	kinds
)

// toRGB writes the values of img into dst, whose pixels are size bytes apart, and says what it is. They are
// those of Pillow's convert("RGB"): grey is repeated, alpha and a transparent colour are dropped, not blended,
// CMYK is multiplied out. Of 16 bits the higher 8 count, as with Pillow but for its grey images, of which it
// makes each value above 255 white.
func toRGB(img image.Image, dst []uint8, size int) (kind, error) {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	// each has set write every pixel, of n bytes.
	each := func(pix []uint8, stride, n int, set func(to, px []uint8)) {
		for y := range h {
			for x := range w {
				set(dst[(y*w+x)*size:][:3], pix[y*stride+x*n:][:n])
			}
		}
	}
	first := func(to, px []uint8) { copy(to, px) }
	repeated := func(to, px []uint8) { to[0], to[1], to[2] = px[0], px[0], px[0] }
	higher := func(to, px []uint8) { to[0], to[1], to[2] = px[0], px[2], px[4] }
	switch img := img.(type) {
	case *image.YCbCr:
		fromYCbCr(img, dst, size)
		return plain, nil
	case *image.RGBA: // of a file without alpha
		each(img.Pix, img.Stride, 4, first)
		return plain, nil
	case *image.Gray:
		each(img.Pix, img.Stride, 1, repeated)
		return grey, nil
	case *image.Paletted:
		var colours [256][3]uint8
		for i, c := range img.Palette {
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			colours[i] = [3]uint8{n.R, n.G, n.B}
		}
		each(img.Pix, img.Stride, 1, func(to, px []uint8) { copy(to, colours[px[0]][:]) })
		return palette, nil
	case *image.NRGBA:
		each(img.Pix, img.Stride, 4, first)
		return alpha, nil
	case *image.Gray16:
		each(img.Pix, img.Stride, 2, repeated)
		return deep, nil
	case *image.RGBA64: // of a file without alpha
		each(img.Pix, img.Stride, 8, higher)
		return deep, nil
	case *image.NRGBA64:
		each(img.Pix, img.Stride, 8, higher)
		return deep, nil
	case *image.CMYK:
		each(img.Pix, img.Stride, 4, func(to, px []uint8) {
			light := 255 - int(px[3])
			for i := range to {
				to[i] = uint8(light - (int(px[i])*light+127)/255)
			}
		})
		return cmyk, nil
	}
	return plain, fmt.Errorf("is an image of the type %T, which is not read", img)
}

// Bounds of images that are made to fit.
const (
	maxFitSide = 8192
	largeImage = 1 << 24 // pixels: such images are decoded one at a time, to bound the memory they take
)

var large sync.Mutex

// shape is the form in which images are wanted: h x w pixels of c values, 1 or 3.
type shape struct {
	h, w, c int
	turn    bool // as EXIF data say
}

func (s shape) values() int { return s.h * s.w * s.c }

// fitImage writes the values of the image b of any kind and size up to maxFitSide into dst in the form to, and says
// what it is and whether it was scaled. The image is turned into RGB by toRGB, into grey where that is wanted, scaled
// so that it covers the size wanted, and its middle is taken: Resize and CenterCrop of torchvision on images of Pillow,
// whose kernel is a triangle that widens as the image shrinks. Of random images 2 % of the values differ from theirs by
// a level.
func fitImage(b []byte, to shape, dst []uint8) (k kind, scaled bool, err error) {
	file, err := readHeader(b)
	if err != nil {
		return plain, false, err
	}
	if file.Width > maxFitSide || file.Height > maxFitSide || file.Width == 0 || file.Height == 0 {
		return plain, false, tooLarge(file.Config, maxFitSide)
	}
	if file.Width*file.Height > largeImage {
		large.Lock()
		defer large.Unlock()
	}
	decoded, err := file.decode(b)
	if err != nil {
		return plain, false, truncated("the image", err)
	}
	if bounds := decoded.Bounds(); bounds.Dx() != file.Width || bounds.Dy() != file.Height {
		return plain, false, fmt.Errorf("its header says %dx%d pixels, and it has %dx%d", file.Width, file.Height,
			bounds.Dx(), bounds.Dy())
	}
	turn := 1
	if to.turn {
		turn = orientation(b)
	}
	if file.Width == to.w && file.Height == to.h && to.c == 3 && turn == 1 {
		k, err = toRGB(decoded, dst, 3)
		return k, false, err
	}
	img := image.NewRGBA(image.Rect(0, 0, file.Width, file.Height))
	if k, err = toRGB(decoded, img.Pix, 4); err != nil {
		return k, false, err
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	img = orient(img, turn)
	return k, fit(img, to, dst), nil
}

// fit writes the values of img, which has no alpha, into dst in the form to, and says whether it was scaled.
func fit(img *image.RGBA, to shape, dst []uint8) (scaled bool) {
	if to.c == 1 { // before it is scaled, as Pillow rounds then
		for i := 0; i < len(img.Pix); i += 4 {
			px := img.Pix[i:][:3]
			grey := luma(px)
			px[0], px[1], px[2] = grey, grey, grey
		}
	}
	if w, h := img.Rect.Dx(), img.Rect.Dy(); w != to.w || h != to.h {
		img, scaled = cover(img, to.w, to.h), true
	}
	for i := range to.h * to.w {
		copy(dst[to.c*i:][:to.c], img.Pix[4*i:])
	}
	return scaled
}

// luma is the grey of a colour, by Pillow's convert("L").
func luma(rgb []uint8) uint8 {
	return uint8((uint32(rgb[0])*19595 + uint32(rgb[1])*38470 + uint32(rgb[2])*7471 + 0x8000) >> 16)
}

// cover scales img so that it covers w x h pixels, and takes its middle.
func cover(img *image.RGBA, w, h int) *image.RGBA {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	all := image.Pt(w, h)
	if width*h <= height*w {
		all.Y = w * height / width
	} else {
		all.X = h * width / height
	}
	// Pillow rounds to 8 bits between the two directions.
	left, top := middle(all.X, w), middle(all.Y, h)
	img = scale(img, w, height, image.Rect(-left, 0, all.X-left, height))
	return scale(img, w, h, image.Rect(0, -top, w, all.Y-top))
}

// middle is where n begin that lie in the middle of all; halves go to the even number, as in Python.
func middle(all, n int) int { return int(math.RoundToEven(float64(all-n) / 2)) }

// scale fills to with img and gives what of it lies within w x h.
func scale(img *image.RGBA, w, h int, to image.Rectangle) *image.RGBA {
	fine := image.NewRGBA64(image.Rect(0, 0, w, h)) // draw cuts the rest of 8 bits off
	draw.BiLinear.Scale(fine, to, img, img.Rect, draw.Src, nil)
	out := image.NewRGBA(fine.Rect)
	for i := range out.Pix {
		v := uint32(fine.Pix[2*i])<<8 | uint32(fine.Pix[2*i+1])
		out.Pix[i] = uint8((v*255 + 0xffff/2) / 0xffff)
	}
	return out
}

// fitted counts images by what was done to make them fit.
type fitted struct {
	images int // to which anything was
	scaled int
	kinds  [kinds]int
}

func (f *fitted) count(k kind, scaled bool) {
	f.kinds[k]++
	if scaled {
		f.scaled++
	}
	if scaled || k != plain {
		f.images++
	}
}

func (f *fitted) add(g fitted) {
	f.images += g.images
	f.scaled += g.scaled
	for k, n := range g.kinds {
		f.kinds[k] += n
	}
}

// String says what was done; it is empty where nothing was.
func (f *fitted) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{f.scaled, "of another size"}, {f.kinds[grey], "grey"}, {f.kinds[palette], "with a palette"},
		{f.kinds[alpha], "with alpha, which is dropped"}, {f.kinds[deep], "of 16 bits"}, {f.kinds[cmyk], "CMYK"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}
