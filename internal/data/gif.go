package data

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
)

// decodeGIF decodes the first image of a GIF on its canvas, as Pillow shows it: what the image leaves free has the
// transparent colour, or the first one where none is transparent. A transparent colour is one like all others here, as
// alpha is dropped. The library makes it black; the file's palette has the colour, but a palette of the first image
// alone is not given, and its transparent colour stays black.
func decodeGIF(b []byte) (image.Image, error) {
	cfg, err := gif.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	decoded, err := gif.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	img, ok := decoded.(*image.Paletted)
	if !ok {
		return decoded, nil // unreachable: the library gives palettes only
	}
	palette, transparent := append(color.Palette{}, img.Palette...), 0
	global, _ := cfg.ColorModel.(color.Palette)
	for i, c := range palette {
		if c != (color.RGBA{}) {
			continue
		}
		transparent = i
		if len(global) == len(palette) {
			palette[i] = global[i]
		}
	}
	canvas := image.NewPaletted(image.Rect(0, 0, cfg.Width, cfg.Height), palette)
	for i := range canvas.Pix {
		canvas.Pix[i] = uint8(transparent)
	}
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		copy(canvas.Pix[canvas.PixOffset(img.Rect.Min.X, y):], img.Pix[img.PixOffset(img.Rect.Min.X, y):][:img.Rect.Dx()])
	}
	return canvas, nil
}
