package watch

import (
	"fmt"
	"math"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// curve is a line of a chart: a value of each epoch from 1 on, NaN where there is none.
type curve struct {
	values []float64
	colour int // index of colours
}

// colours are SGR codes, in the order in which curves get them.
var colours = []int{36, 33, 35, 32, 34, 31}

// canvas is a drawing of braille characters, each of 2 x 4 dots. A character has the colour of its last dot.
type canvas struct {
	w, h   int // characters
	dots   []uint8
	colour []int
}

func newCanvas(w, h int) *canvas {
	return &canvas{w, h, make([]uint8, w*h), make([]int, w*h)}
}

// bits of the dots of a braille character, by row and column.
var bits = [4][2]uint8{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

// set sets the dot (x, y), counted from the left upper corner.
func (c *canvas) set(x, y, colour int) {
	if x < 0 || y < 0 || x >= 2*c.w || y >= 4*c.h {
		return
	}
	i := y/4*c.w + x/2
	c.dots[i] |= bits[y%4][x%2]
	c.colour[i] = colour
}

// line draws a line between two dots.
func (c *canvas) line(x0, y0, x1, y1, colour int) {
	n := max(abs(x1-x0), abs(y1-y0), 1)
	for i := range n + 1 {
		at := float64(i) / float64(n)
		c.set(x0+int(math.Round(at*float64(x1-x0))), y0+int(math.Round(at*float64(y1-y0))), colour)
	}
}

func abs(n int) int { return max(n, -n) }

// row returns the characters of a row.
func (c *canvas) row(y int) string {
	var b strings.Builder
	colour := -1
	for x := range c.w {
		i := y*c.w + x
		if c.dots[i] == 0 {
			b.WriteByte(' ')
			continue
		}
		if c.colour[i] != colour {
			colour = c.colour[i]
			fmt.Fprintf(&b, "\x1b[%dm", colours[colour])
		}
		b.WriteRune(rune(0x2800 + int(c.dots[i])))
	}
	if colour >= 0 {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// axisWidth is the width of the labels left of a chart, with the axis.
const axisWidth = 12

// chart draws curves of m into w x h characters, with axes. It returns h lines.
func chart(all []curve, m metric, logScale bool, w, h int) []string {
	scale := func(v float64) float64 {
		if logScale {
			return math.Log(v) // of a number that is not positive: not drawn
		}
		return v
	}
	lo, hi, epochs := math.Inf(1), math.Inf(-1), 0
	for _, c := range all {
		for i, v := range c.values {
			if s := scale(v); !math.IsNaN(s) && !math.IsInf(s, 0) {
				lo, hi, epochs = min(lo, v), max(hi, v), max(epochs, i+1)
			}
		}
	}
	lines := make([]string, h)
	rows, cols := h-2, w-axisWidth
	if epochs == 0 || rows < 2 || cols < 8 {
		if h > 0 && epochs == 0 {
			text := "  nothing recorded yet"
			if logScale {
				text = "  nothing to draw on a logarithmic axis yet"
			}
			lines[0] = ansi.Truncate(text, max(0, w), "…")
		}
		return lines
	}
	low, high := scale(lo), scale(hi)
	if high-low < 1e-12*max(math.Abs(low), math.Abs(high)) || high == low { // a constant lies in the middle
		pad := math.Abs(low) / 10
		if pad == 0 {
			pad = 0.1
		}
		low, high = low-pad, high+pad
	}
	c := newCanvas(cols, rows)
	x := func(i int) int {
		return int(math.Round(float64(i) / float64(max(epochs-1, 1)) * float64(2*cols-1)))
	}
	for _, cv := range all {
		px, py, drawn := 0, 0, false
		for i, v := range cv.values {
			s := scale(v)
			if math.IsNaN(s) || math.IsInf(s, 0) {
				drawn = false
				continue
			}
			qx, qy := x(i), int(math.Round((high-s)/(high-low)*float64(4*rows-1)))
			if !drawn {
				px, py = qx, qy
			}
			c.line(px, py, qx, qy, cv.colour)
			px, py, drawn = qx, qy, true
		}
	}
	value := func(s float64) string {
		if logScale {
			s = math.Exp(s)
		}
		if m.percent {
			return ansi.Truncate(m.format(s), axisWidth-2, "…")
		}
		return fmt.Sprintf("%.3g", s)
	}
	for y := range rows {
		label := ""
		switch y {
		case 0:
			label = value(high)
		case rows / 2:
			if rows > 4 {
				label = value(high - (float64(y)+0.5)/float64(rows)*(high-low))
			}
		case rows - 1:
			label = value(low)
		}
		tick := "│"
		if label != "" {
			tick = "┤"
		}
		lines[y] = fmt.Sprintf("%*s %s", axisWidth-2, label, tick) + c.row(y)
	}
	lines[rows] = strings.Repeat(" ", axisWidth-1) + "└" + strings.Repeat("─", cols)
	end := fmt.Sprint(epochs)
	lines[rows+1] = strings.Repeat(" ", axisWidth) + "1" + strings.Repeat(" ", max(1, cols-1-len(end))) + end
	return lines
}
