package data

import (
	"bytes"
	"encoding/binary"
	"image"
)

// A camera that was held upright or upside down stores the picture as its sensor saw it and notes in the EXIF data how
// to turn it. Of all that EXIF data holds only this one number is wanted, a tag in the first table of a TIFF header.
// The lines below read no more than that; a library would bring the parsing of all other tags, of makers' notes and
// previews.

// orientation returns how the image file b is to be turned, as EXIF numbers it: 1 is as it is, 2 to 8 see orient. Files
// without EXIF data, or with damaged ones, are not turned.
func orientation(b []byte) int {
	tiff := exifOf(b)
	tiff = bytes.TrimPrefix(tiff, []byte("Exif\x00\x00"))
	var order binary.ByteOrder
	switch {
	case len(tiff) < 8:
		return 1
	case bytes.HasPrefix(tiff, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == 0x0112 {
			value := int(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) == 4 { // a long number
				value = int(order.Uint32(entries[8:]))
			}
			if value < 1 || value > 8 {
				return 1
			}
			return value
		}
		entries = entries[12:]
	}
	return 1
}

// exifOf returns the EXIF data of a JPEG, PNG or WebP file, nil where there are none.
func exifOf(b []byte) []byte {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xd8}):
		for b = b[2:]; len(b) >= 4 && b[0] == 0xff && b[1] != 0xda; { // to the pixels
			n := 2 + int(binary.BigEndian.Uint16(b[2:]))
			if n < 4 || n > len(b) {
				return nil
			}
			if b[1] == 0xe1 && bytes.HasPrefix(b[4:n], []byte("Exif\x00\x00")) {
				return b[4:n]
			}
			b = b[n:]
		}
	case bytes.HasPrefix(b, []byte(pngMagic)):
		for b = b[len(pngMagic):]; len(b) >= 12; {
			n := int64(binary.BigEndian.Uint32(b))
			if n > int64(len(b))-12 {
				return nil
			}
			if string(b[4:8]) == "eXIf" {
				return b[8 : 8+n]
			}
			b = b[12+n:]
		}
	case isWebP(b):
		return webpChunk(b, "EXIF")
	}
	return nil
}

// orient is img turned as EXIF's orientation says.
func orient(img *image.RGBA, orientation int) *image.RGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if orientation == 1 {
		return img
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	if orientation >= 5 {
		out = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			var fromX, fromY int
			switch orientation {
			case 2: // mirrored
				fromX, fromY = w-1-x, y
			case 3: // upside down
				fromX, fromY = w-1-x, h-1-y
			case 4: // upside down and mirrored
				fromX, fromY = x, h-1-y
			case 5: // transposed
				fromX, fromY = y, x
			case 6: // to be turned to the right
				fromX, fromY = y, h-1-x
			case 7: // transposed at the other diagonal
				fromX, fromY = w-1-y, h-1-x
			case 8: // to be turned to the left
				fromX, fromY = w-1-y, x
			}
			copy(out.Pix[y*out.Stride+4*x:][:4], img.Pix[fromY*img.Stride+4*fromX:])
		}
	}
	return out
}
