package plot

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Picture is an image of a data set: H x W pixels, 8 bits, of three channels or of one.
type Picture struct {
	H, W   int
	Pixels []uint8 // [H, W, 3] or [H, W]
}

// Cell is a picture of a Grid with its caption.
type Cell struct {
	Picture
	Caption string // one line, or several
	Alert   bool   // draw the caption in red
}

// GridRow is a row of pictures with its label.
type GridRow struct {
	Label string
	Cells []Cell
}

// Grid is a table of pictures of one size, each enlarged by an integer factor so that every pixel is a sharp square.
type Grid struct {
	Title    string
	Subtitle string // grey, under the title
	Warning  string // red
	Rows     []GridRow
}

const (
	dot     = vg.Inch / dpi // a pixel of the PNG; pictures aligned to whole pixels stay sharp
	side    = 192           // largest width of an enlarged picture, in dots
	gap     = 16            // dots between pictures
	leading = 9.5           // line spacing in points
)

// Save writes g as base.png and base.svg and returns both names. A grid without pictures and pictures of different
// sizes are errors.
func (g Grid) Save(base string) ([]string, error) {
	var first Picture
	columns, labels := 0, vg.Length(0)
	small := style(8, ink, false)
	captions := make([]int, len(g.Rows)) // lines under each row
	for i, r := range g.Rows {
		columns = max(columns, len(r.Cells))
		for line := range strings.SplitSeq(r.Label, "\n") {
			labels = max(labels, style(8.5, grey, false).Width(line)+8)
		}
		for _, c := range r.Cells {
			if first.H == 0 {
				first = c.Picture
			}
			if c.H < 1 || c.W < 1 || c.H != first.H || c.W != first.W || len(c.Pixels) != c.H*c.W &&
				len(c.Pixels) != 3*c.H*c.W {
				return nil, fmt.Errorf("drawing %s: a picture of %d x %d pixels with %d values among those of %d x %d",
					base, c.H, c.W, len(c.Pixels), first.H, first.W)
			}
			if c.Caption != "" {
				captions[i] = max(captions[i], strings.Count(c.Caption, "\n")+1)
			}
		}
	}
	if columns == 0 {
		return nil, fmt.Errorf("drawing %s: %w", base, errors.New("it has no picture"))
	}
	zoom := max(1, side/first.W)
	cellW, cellH := zoom*first.W, zoom*first.H
	dots := func(l vg.Length) int { return int(l/dot + 1) } // rounded up to whole dots
	left := dots(margin + labels)
	top := dots(margin + 17 + 13 + 6)
	if g.Warning != "" {
		top += dots(14)
	}
	right := left + columns*cellW + (columns-1)*gap
	head := max(style(12, ink, true).Width(g.Title), style(8.5, grey, false).Width(g.Subtitle),
		style(9, red, true).Width(g.Warning))
	w := vg.Length(max(right, dots(margin+head))+dots(margin)) * dot
	y := top
	rows := make([]int, len(g.Rows)) // where each begins
	for i := range g.Rows {
		rows[i] = y
		y += cellH + dots(vg.Length(captions[i])*leading) + 2*gap
	}
	h := vg.Length(y-2*gap+dots(margin)) * dot
	return save(base, w, h, func(c draw.Canvas) error {
		c.SetColor(color.White)
		c.Fill(c.Rectangle.Path())
		header(c, g.Title, g.Subtitle, g.Warning)
		for i, r := range g.Rows {
			down := h - vg.Length(rows[i])*dot // the canvas counts from the bottom
			st := style(8.5, grey, false)
			st.YAlign = text.YCenter
			c.FillText(st, vg.Point{X: margin, Y: down - vg.Length(cellH)*dot/2}, r.Label)
			for j, cell := range r.Cells {
				x := vg.Length(left+j*(cellW+gap)) * dot
				bottom := down - vg.Length(cellH)*dot
				c.DrawImage(vg.Rectangle{Min: vg.Point{X: x, Y: bottom},
					Max: vg.Point{X: x + vg.Length(cellW)*dot, Y: down}}, cell.enlarged(zoom))
				st := small
				if cell.Alert {
					st.Color = palette[4]
				}
				for k, line := range strings.Split(cell.Caption, "\n") {
					c.FillText(st, vg.Point{X: x, Y: bottom - 2 - vg.Length(k)*leading},
						cut(line, st, vg.Length(cellW+gap/2)*dot))
				}
			}
		}
		return nil
	})
}

// enlarged returns p with every pixel enlarged to zoom x zoom.
func (p Picture) enlarged(zoom int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, p.W*zoom, p.H*zoom))
	channels := len(p.Pixels) / (p.W * p.H)
	for y := range p.H * zoom {
		for x := range p.W * zoom {
			at := p.Pixels[(y/zoom*p.W+x/zoom)*channels:]
			c := color.NRGBA{at[0], at[0], at[0], 0xFF}
			if channels == 3 {
				c.G, c.B = at[1], at[2]
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

// cut shortens a line to fit.
func cut(line string, st text.Style, room vg.Length) string {
	if st.Width(line) <= room {
		return line
	}
	r := []rune(line)
	for len(r) > 1 && st.Width(string(r)+"…") > room {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}
