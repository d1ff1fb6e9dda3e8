package plot

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bars are how many of some things lie in each of equal bins; Of is how many there are of them.
type Bars struct {
	Label  string // the same in all panels
	Counts []int
	Of     int
	Colour int // index of the palette
}

// Panel is one histogram: several Bars over the same bins from Lo to Hi.
type Panel struct {
	Title  string // above it, where there are several panels
	Lo, Hi float64
	Bars   []Bars
}

// Histograms is a chart of one or more histograms, each with its own scale.
type Histograms struct {
	Title    string
	Subtitle string // grey, under the title
	Warning  string // red
	XLabel   string
	Panels   []Panel
	Columns  int // of panels; of several
}

const (
	panelWidth, panelHeight = 2.05 * vg.Inch, 1.35 * vg.Inch // of several panels
	panelGap                = 10
)

// Save writes h as base.png and base.svg and returns both names. One without a panel is an error.
func (h Histograms) Save(base string) ([]string, error) {
	switch n := len(h.Panels); {
	case n == 0:
		return nil, fmt.Errorf("drawing %s: there is no histogram", base)
	case n == 1:
		return save(base, width, height, h.draw)
	}
	columns := min(max(1, h.Columns), len(h.Panels))
	rows := (len(h.Panels) + columns - 1) / columns
	w := vg.Length(columns)*panelWidth + vg.Length(columns-1)*panelGap + 2*margin
	head := vg.Length(2*margin + 17 + 13 + 16)
	if h.Warning != "" {
		head += 14
	}
	return save(base, w, head+vg.Length(rows)*(panelHeight+panelGap), h.draw)
}

func (h Histograms) draw(c draw.Canvas) error {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	sub := "share of the images"
	if h.Subtitle != "" {
		sub += " · " + h.Subtitle
	}
	top := header(c, h.Title, sub, h.Warning)
	at := vg.Point{X: c.Min.X + margin, Y: top - 2}
	for _, b := range h.Panels[0].Bars { // the legend: the names in their colours
		st := style(9, palette[b.Colour%len(palette)], true)
		c.FillText(st, at, b.Label)
		at.X += st.Width(b.Label) + 14
	}
	top -= 16
	if len(h.Panels) == 1 {
		body := draw.Crop(c, margin, -margin, margin-2, top-6-c.Max.Y)
		return h.panel(body, h.Panels[0], false)
	}
	columns := min(max(1, h.Columns), len(h.Panels))
	for i, p := range h.Panels {
		x := c.Min.X + margin + vg.Length(i%columns)*(panelWidth+panelGap)
		y := top - vg.Length(i/columns)*(panelHeight+panelGap)
		box := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: x, Y: y - panelHeight}, Max: vg.Point{X: x + panelWidth, Y: y}}}
		st := style(8.5, ink, true)
		box.FillText(st, vg.Point{X: x, Y: y - 2}, cut(p.Title, st, panelWidth))
		if err := h.panel(draw.Crop(box, 0, 0, 0, -14), p, true); err != nil {
			return err
		}
	}
	return nil
}

// panel draws one histogram into c.
func (h Histograms) panel(c draw.Canvas, pn Panel, small bool) error {
	p := plot.New()
	lo, hi := pn.Lo, pn.Hi
	if !(hi > lo) { // one value: a bin about it
		lo, hi = lo-0.5, lo+0.5
	}
	p.X.Min, p.X.Max, p.Y.Min = lo, hi, 0
	p.Y.Max = 0
	for _, b := range pn.Bars {
		for _, n := range b.Counts {
			p.Y.Max = max(p.Y.Max, float64(n)/float64(max(1, b.Of)))
		}
	}
	if p.Y.Max == 0 {
		p.Y.Max = 1
	}
	p.Y.Max *= 1.05
	xTicks, yTicks := 8, 5
	if small {
		xTicks, yTicks = 3, 3
	}
	p.X.Tick.Marker = plot.ConstantTicks(niceTicks(lo, hi, xTicks, false))
	p.Y.Tick.Marker = plot.ConstantTicks(niceTicks(0, p.Y.Max, yTicks, true))
	if !small {
		p.X.Label.Text = h.XLabel
	}
	styleAxes(p)
	if small {
		for _, a := range []*plot.Axis{&p.X, &p.Y} {
			a.Tick.Label.Font = style(7, grey, false).Font
		}
	}
	for _, b := range pn.Bars {
		var xy plotter.XYs
		n := float64(len(b.Counts))
		xy = append(xy, plotter.XY{X: lo, Y: 0})
		for i, k := range b.Counts {
			y := float64(k) / float64(max(1, b.Of))
			xy = append(xy, plotter.XY{X: lo + (hi-lo)*float64(i)/n, Y: y}, plotter.XY{X: lo + (hi-lo)*float64(i+1)/n, Y: y})
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
	p.Draw(c)
	return nil
}
