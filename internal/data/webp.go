package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"

	"golang.org/x/image/webp"
)

// A lossy WebP image holds luma from 16 to 235 and two colour planes of half the width and height (RFC 6386). The
// library gives these planes, and image/color would take them for a JPEG's, whose luma is from 0 to 255: pale pictures.
// libwebp, and with it Pillow, widens the colour planes by weighing neighbours and converts by the integers below,
// which are repeated here to the last bit (upsampling.c and yuv.h).

func isWebP(b []byte) bool {
	return len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP"
}

// webpChunk returns the first chunk of the WebP file b that is called name, nil where there is none.
func webpChunk(b []byte, name string) []byte {
	for b = b[12:]; len(b) >= 8; {
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		if n > int64(len(b))-8 {
			return nil
		}
		if string(b[:4]) == name {
			return b[8 : 8+n]
		}
		b = b[min(8+n+n%2, int64(len(b))):]
	}
	return nil
}

// webpSize returns the size of the picture in the WebP file b. The header may say another one, and memory is taken for
// this one.
func webpSize(b []byte) (w, h int) {
	if c := webpChunk(b, "VP8 "); len(c) >= 10 {
		return int(binary.LittleEndian.Uint16(c[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(c[8:]) & 0x3fff)
	}
	if c := webpChunk(b, "VP8L"); len(c) >= 5 {
		v := binary.LittleEndian.Uint32(c[1:])
		return int(v&0x3fff) + 1, int(v>>14&0x3fff) + 1
	}
	return 0, 0
}

// decodeWebP decodes a still image. Its colours are those of libwebp.
func decodeWebP(b []byte) (image.Image, error) {
	cfg, err := webp.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	if w, h := webpSize(b); w != cfg.Width || h != cfg.Height {
		return nil, fmt.Errorf("the header says %dx%d pixels, the picture has %dx%d (of an animation it may be one step; "+
			"save a still image)", cfg.Width, cfg.Height, w, h)
	}
	img, err := webp.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	switch img := img.(type) {
	case *image.YCbCr:
		out := image.NewRGBA(image.Rect(0, 0, cfg.Width, cfg.Height))
		fromStudio(img, out.Pix)
		return out, nil
	case *image.NYCbCrA:
		out := image.NewNRGBA(image.Rect(0, 0, cfg.Width, cfg.Height))
		fromStudio(&img.YCbCr, out.Pix)
		return out, nil
	case *image.NRGBA:
		if img.Opaque() {
			return &image.RGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}, nil
		}
	}
	return img, nil
}

// fromStudio writes the values of img, whose colour planes have half its size, into dst, four bytes a pixel.
func fromStudio(img *image.YCbCr, dst []uint8) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	ch := (h + 1) / 2
	cb, cr := make([]uint8, w), make([]uint8, w)
	for y := range h {
		near, far := y/2, y/2-1 // rows of the colour planes; the nearer of the two neighbours is the far one
		if y%2 == 1 {
			far = y/2 + 1
		}
		if far < 0 || far >= ch {
			far = near
		}
		widenStudio(img.Cb[near*img.CStride:], img.Cb[far*img.CStride:], cb)
		widenStudio(img.Cr[near*img.CStride:], img.Cr[far*img.CStride:], cr)
		for x, luma := range img.Y[y*img.YStride:][:w] {
			o := dst[4*(y*w+x):][:4]
			l, u, v := 19077*int32(luma)>>8, int32(cb[x]), int32(cr[x])
			o[0] = studio(l + 26149*v>>8 - 14234)
			o[1] = studio(l - 6419*u>>8 - 13320*v>>8 + 8708)
			o[2] = studio(l + 33050*u>>8 - 17685)
			o[3] = 255
		}
	}
}

// studio takes a colour with six bits behind the point.
func studio(v int32) uint8 {
	if v < 0 {
		return 0
	}
	return uint8(min(v>>6, 255))
}

// widenStudio fills dst with a row of a colour plane at twice its width: nine parts of the value above or below, three
// of each neighbour and one of the diagonal one, rounded twice as libwebp does.
func widenStudio(near, far, dst []uint8) {
	last := (len(dst)+1)/2 - 1
	edge := func(x int) uint8 { return uint8((3*int(near[x]) + int(far[x]) + 2) >> 2) }
	dst[0] = edge(0)
	if len(dst)%2 == 0 {
		dst[len(dst)-1] = edge(last)
	}
	for x := 1; x <= last; x++ {
		a, b, c, d := int(near[x-1]), int(near[x]), int(far[x-1]), int(far[x])
		sum := a + b + c + d + 8
		dst[2*x-1] = uint8(((sum+2*(b+c))>>3 + a) >> 1)
		dst[2*x] = uint8(((sum+2*(a+d))>>3 + b) >> 1)
	}
}
