package plot

import (
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Heat is a confusion matrix as a map of colours: a row a class, a column a predicted class. The colour of a cell is
// its share of the row.
type Heat struct {
	Title    string
	Subtitle string // grey, under the title
	Warning  string // red
	XLabel   string // under the columns
	YLabel   string // beside the rows
	Names    []string
	Counts   [][]int
}

// Sizes of a map, in points.
const (
	heatSide   = 330 // of all cells
	heatCell   = 44  // largest of a cell
	heatSmall  = 6.5 // smallest of a cell, and of a name
	heatName   = 90  // largest length of a name
	heatCounts = 20  // more classes have no room for their counts
	heatNamed  = 150 // of more classes not every one is named
)

// cell is the side of a cell: names of up to 100 classes are legible beside it.
func (h Heat) cell() vg.Length {
	n := vg.Length(len(h.Names))
	if len(h.Names) > heatNamed {
		return heatNamed * heatSmall / n
	}
	return min(heatCell, max(heatSmall, heatSide/n))
}

// Save writes h as base.png and base.svg and returns both names. A map without classes, and counts that are not a
// square of them, are errors.
func (h Heat) Save(base string) ([]string, error) {
	n := len(h.Names)
	if n == 0 || len(h.Counts) != n {
		return nil, fmt.Errorf("drawing %s: %d classes with %d rows", base, n, len(h.Counts))
	}
	for _, row := range h.Counts {
		if len(row) != n {
			return nil, fmt.Errorf("drawing %s: a row of %d of %d classes", base, len(row), n)
		}
	}
	left, below := h.names()
	side := vg.Length(n) * h.cell()
	head := max(style(12, ink, true).Width(h.Title), style(8.5, grey, false).Width(h.Subtitle),
		style(9, red, true).Width(h.Warning))
	top := vg.Length(margin + 17 + 13 + 6)
	if h.Warning != "" {
		top += 14
	}
	w := max(left+side+heatScale, head+margin, 2.6*vg.Inch) + margin
	return save(base, w, top+side+below+16+margin, func(c draw.Canvas) error { h.draw(c, left, side); return nil })
}

// heatScale is the room for the scale of colours beside the map.
const heatScale = 58

// names returns the room that names and labels take at the left and below.
func (h Heat) names() (left, below vg.Length) {
	st := h.style()
	for _, n := range h.Names {
		below = max(below, st.Width(cut(n, st, heatName)))
	}
	return margin + 16 + below + 4, below + 4
}

// style is that of names and counts.
func (h Heat) style() text.Style {
	return style(min(9, max(heatSmall-1, h.cell()*0.85)), ink, false)
}

func (h Heat) draw(c draw.Canvas, left, side vg.Length) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	top := header(c, h.Title, h.Subtitle, h.Warning) - 6
	cell, n := h.cell(), len(h.Names)
	fill := func(x, y, w, height vg.Length, col color.Color) {
		c.SetColor(col)
		c.Fill(vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + w, Y: y + height}}.Path())
	}
	fill(left-0.5, top-side-0.5, side+1, side+1, light)
	fill(left, top-side, side, side, color.White)
	for i := 10; n > heatCounts && i < n; i += 10 { // to follow a row or a column
		at := vg.Length(i) * cell
		fill(left+at-0.25, top-side, 0.5, side, light)
		fill(left, top-at-0.25, side, 0.5, light)
	}
	st := h.style()
	numbers := style(min(9, cell*0.36), ink, false)
	numbers.XAlign, numbers.YAlign = text.XCenter, text.YCenter
	for i, row := range h.Counts {
		total := 0
		for _, v := range row {
			total += v
		}
		for j, v := range row {
			if v == 0 {
				continue
			}
			share := float64(v) / float64(total)
			x, y := left+vg.Length(j)*cell, top-vg.Length(i+1)*cell
			fill(x, y, cell, cell, heatColour(share))
			if n <= heatCounts {
				one := numbers
				if share > 0.35 {
					one.Color = color.White
				}
				c.FillText(one, vg.Point{X: x + cell/2, Y: y + cell/2}, strconv.Itoa(v))
			}
		}
	}
	every := (n + heatNamed - 1) / heatNamed
	rows, columns := st, st
	rows.XAlign, rows.YAlign = text.XRight, text.YCenter
	columns.XAlign, columns.YAlign, columns.Rotation = text.XRight, text.YCenter, math.Pi/2
	for i, name := range h.Names {
		if i%every != 0 {
			continue
		}
		name = cut(name, st, heatName)
		middle := (vg.Length(i) + 0.5) * cell
		c.FillText(rows, vg.Point{X: left - 4, Y: top - middle}, name)
		c.FillText(columns, vg.Point{X: left + middle, Y: top - side - 4}, name)
	}
	_, below := h.names()
	label := style(8.5, grey, false)
	label.XAlign = text.XCenter
	c.FillText(label, vg.Point{X: left + side/2, Y: top - side - below - 4}, h.XLabel)
	label.Rotation, label.YAlign = math.Pi/2, text.YTop
	c.FillText(label, vg.Point{X: c.Min.X + margin, Y: top - side/2}, h.YLabel)

	// The scale: shares of a row.
	const steps, width = 40, 9
	high := min(side, 130)
	x := left + side + 14
	for k := range steps {
		fill(x, top-high+high*vg.Length(k)/steps, width, high/steps+0.3, heatColour(square((float64(k)+0.5)/steps)))
	}
	tick := style(7, grey, false)
	tick.YAlign = text.YCenter
	for _, share := range []float64{0, 0.01, 0.1, 0.5, 1} {
		c.FillText(tick, vg.Point{X: x + width + 3, Y: top - high + high*vg.Length(math.Sqrt(share))},
			strconv.FormatFloat(100*share, 'g', -1, 64)+" %")
	}
}

func square(x float64) float64 { return x * x }

// heatColour is white for 0 and dark blue for 1, by the root of the share, so that rare confusions are seen.
func heatColour(share float64) color.Color {
	at := math.Sqrt(share)
	stops := []color.NRGBA{{0xFF, 0xFF, 0xFF, 0xFF}, {0xA6, 0xCF, 0xE6, 0xFF}, palette[0], {0x00, 0x2A, 0x4D, 0xFF}}
	k := min(int(at*3), 2)
	f := at*3 - float64(k)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + f*(float64(b)-float64(a)))) }
	a, b := stops[k], stops[k+1]
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 0xFF}
}
