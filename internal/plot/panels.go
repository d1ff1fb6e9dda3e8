package plot

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bars holds the counts of one histogram in bins of equal width. Of is the total number.
type Bars struct {
	Label  string // the same in all panels
	Counts []int
	Of     int
	Colour int // index of the palette
}

// Panel is a small chart: a histogram of several Bars over the same bins from Lo to Hi, or lines.
type Panel struct {
	Title  string // above the panel; not drawn for a single one
	Lo, Hi float64
	Bars   []Bars
	Curves []Curve // instead of Bars, of finite points
}

// Panels is a chart of one or more panels, each with its own scale. Two histograms are drawn large, side by side and on
// a common scale, for comparison.
type Panels struct {
	Title    string
	Subtitle string // grey, under the title
	Warning  string // red
	XLabel   string
	YLabel   string // the quantity, the first words of the subtitle
	Panels   []Panel
	Columns  int // number of columns of panels
}

const (
	panelGap = 10 // between panels
)

// pair reports whether h has two histograms, drawn for comparison.
func (h Panels) pair() bool {
	return len(h.Panels) == 2 && len(h.Panels[0].Curves) == 0 && len(h.Panels[1].Curves) == 0
}

// grid returns the layout of several panels: the number of columns and the size of a panel.
func (h Panels) grid() (columns int, w, height vg.Length) {
	if h.pair() {
		return 2, 3 * vg.Inch, 2.4 * vg.Inch
	}
	return min(max(1, h.Columns), len(h.Panels)), 2.05 * vg.Inch, 1.35 * vg.Inch
}

// Save writes h as base.png and base.svg and returns both names. A chart without panels is an error.
func (h Panels) Save(base string) ([]string, error) {
	switch n := len(h.Panels); {
	case n == 0:
		return nil, fmt.Errorf("drawing %s: it has no panel", base)
	case n == 1:
		return save(base, width, height, h.draw)
	}
	columns, panelWidth, panelHeight := h.grid()
	rows := (len(h.Panels) + columns - 1) / columns
	w := vg.Length(columns)*panelWidth + vg.Length(columns-1)*panelGap + 2*margin
	head := vg.Length(2*margin + 17 + 13 + 16)
	if h.Warning != "" {
		head += 14
	}
	return save(base, w, head+vg.Length(rows)*(panelHeight+panelGap), h.draw)
}

func (h Panels) draw(c draw.Canvas) error {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	sub := h.YLabel
	if h.Subtitle != "" {
		sub += " · " + h.Subtitle
	}
	top := header(c, h.Title, sub, h.Warning)
	at := vg.Point{X: c.Min.X + margin, Y: top - 2}
	legend := func(label string, colour int) { // names in the colours of their bars
		st := style(9, palette[colour%len(palette)], true)
		c.FillText(st, at, label)
		at.X += st.Width(label) + 14
	}
	for _, b := range h.Panels[0].Bars {
		legend(b.Label, b.Colour)
	}
	for _, cv := range h.Panels[0].Curves {
		legend(cv.Label, cv.Colour)
	}
	top -= 16
	if len(h.Panels) == 1 {
		body := draw.Crop(c, margin, -margin, margin-2, top-6-c.Max.Y)
		return h.panel(body, h.Panels[0], false)
	}
	columns, panelWidth, panelHeight := h.grid()
	for i, p := range h.Panels {
		x := c.Min.X + margin + vg.Length(i%columns)*(panelWidth+panelGap)
		y := top - vg.Length(i/columns)*(panelHeight+panelGap)
		box := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: x, Y: y - panelHeight},
			Max: vg.Point{X: x + panelWidth, Y: y}}}
		st := style(8.5, ink, true)
		box.FillText(st, vg.Point{X: x, Y: y - 2}, cut(p.Title, st, panelWidth))
		if err := h.panel(draw.Crop(box, 0, 0, 0, -14), p, !h.pair()); err != nil {
			return err
		}
	}
	return nil
}

// panel draws one chart into c.
func (h Panels) panel(c draw.Canvas, pn Panel, small bool) error {
	p := plot.New()
	styleAxes(p) // first, so that the grid lies under the data
	add, percent := pn.bars, true
	if len(pn.Curves) > 0 {
		add, percent = pn.lines, false
	}
	if err := add(p); err != nil {
		return err
	}
	if h.pair() {
		p.Y.Max = max(h.Panels[0].top(), h.Panels[1].top())
	}
	xTicks, yTicks := 8, 5
	if small {
		xTicks, yTicks = 3, 3
	}
	p.X.Tick.Marker = plot.ConstantTicks(niceTicks(p.X.Min, p.X.Max, xTicks, false))
	p.Y.Tick.Marker = plot.ConstantTicks(niceTicks(p.Y.Min, p.Y.Max, yTicks, percent))
	if !small {
		p.X.Label.Text = h.XLabel
	}
	if small {
		for _, a := range []*plot.Axis{&p.X, &p.Y} {
			a.Tick.Label.Font = style(7, grey, false).Font
		}
	}
	p.Draw(c)
	return nil
}

// bars adds the histogram and its scale to p.
func (pn Panel) bars(p *plot.Plot) error {
	lo, hi := pn.Lo, pn.Hi
	if !(hi > lo) { // a single value: one bin around it
		lo, hi = lo-0.5, lo+0.5
	}
	for _, b := range pn.Bars {
		n := float64(len(b.Counts))
		xy := plotter.XYs{{X: lo, Y: 0}}
		for i, k := range b.Counts {
			y := float64(k) / float64(max(1, b.Of))
			xy = append(xy, plotter.XY{X: lo + (hi-lo)*float64(i)/n, Y: y},
				plotter.XY{X: lo + (hi-lo)*float64(i+1)/n, Y: y})
		}
		xy = append(xy, plotter.XY{X: hi, Y: 0})
		area, err := plotter.NewPolygon(xy)
		if err != nil {
			return err
		}
		fill := palette[b.Colour%len(palette)]
		area.LineStyle = draw.LineStyle{Color: fill, Width: vg.Points(0.9)}
		fill.A = 0x50
		area.Color = fill
		p.Add(area)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = lo, hi, 0, pn.top()
	return nil
}

// top returns the upper end of the histogram's scale.
func (pn Panel) top() float64 {
	top := 0.0
	for _, b := range pn.Bars {
		for _, k := range b.Counts {
			top = max(top, float64(k)/float64(max(1, b.Of)))
		}
	}
	if top == 0 {
		top = 1
	}
	return top * 1.05
}

// lines adds the curves and their scale to p.
func (pn Panel) lines(p *plot.Plot) error {
	xlo, xhi, ylo, yhi := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, cv := range pn.Curves {
		for i, x := range cv.X {
			xlo, xhi, ylo, yhi = min(xlo, x), max(xhi, x), min(ylo, cv.Mean[i]), max(yhi, cv.Mean[i])
		}
		if err := addLine(p, cv); err != nil {
			return err
		}
	}
	if !(xhi > xlo) {
		xlo, xhi = 0, 1
	}
	if !(yhi > ylo) {
		ylo, yhi = ylo-0.5, ylo+0.5
	}
	pad := (yhi - ylo) * 0.06
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = xlo, xhi, ylo-pad, yhi+pad
	return nil
}
