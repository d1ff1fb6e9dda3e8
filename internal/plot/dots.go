package plot

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Dots is a chart of values in rows: each row has a dot for every value and a line at their mean.
type Dots struct {
	Title    string
	Subtitle string // grey, under the title
	Warning  string // red
	XLabel   string
	Percent  bool // values are fractions
	Rows     []DotRow
}

// DotRow is one row. Values that are not finite are left out.
type DotRow struct {
	Label  string
	Values []float64
	Accent bool // in the second colour: what others are compared with, whose mean is a line through all rows
}

const dotRow = 24 // height in points

// Save writes d as base.png and base.svg and returns both names.
func (d Dots) Save(base string) ([]string, error) {
	return save(base, width, vg.Length(len(d.Rows))*dotRow+110, d.draw)
}

// finite returns the finite values of r and their mean.
func (r DotRow) finite() (values []float64, mean float64) {
	for _, v := range r.Values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			values = append(values, v)
			mean += v
		}
	}
	return values, mean / float64(len(values))
}

func (d Dots) draw(c draw.Canvas) error {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	top := header(c, d.Title, d.Subtitle, d.Warning)

	label := style(8.5, ink, false)
	label.YAlign, label.XAlign = text.YCenter, text.XRight
	room, lo, hi := vg.Length(40), math.Inf(1), math.Inf(-1)
	for _, r := range d.Rows {
		room = max(room, label.Width(r.Label))
		values, _ := r.finite()
		for _, v := range values {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo > hi {
		lo, hi = 0, 1
	}
	pad := max(0.06*(hi-lo), 1e-4)
	p := plot.New()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = lo-pad, hi+pad, 0, float64(max(1, len(d.Rows)))
	p.X.Tick.Marker = plot.ConstantTicks(niceTicks(p.X.Min, p.X.Max, 6, d.Percent))
	p.Y.Tick.Marker = plot.ConstantTicks(nil)
	p.X.Label.Text = d.XLabel
	styleAxes(p)
	body := draw.Crop(c, margin+min(room, width/2)+10, -margin-8, margin-2, top-6-c.Max.Y)
	p.Draw(body)

	area := p.DataCanvas(body)
	x := func(v float64) vg.Length { return area.X(p.X.Norm(v)) }
	for i, r := range d.Rows {
		y := area.Y(p.Y.Norm(float64(len(d.Rows)-i) - 0.5))
		c.StrokeLine2(draw.LineStyle{Color: light, Width: vg.Points(0.6)}, area.Min.X, y, area.Max.X, y)
		c.FillText(label, vg.Point{X: area.Min.X - 8, Y: y}, cut(r.Label, label, area.Min.X-8-margin))
		values, mean := r.finite()
		if len(values) == 0 {
			continue
		}
		colour := palette[0]
		if r.Accent {
			colour = palette[1]
			c.StrokeLine2(draw.LineStyle{Color: colour, Width: vg.Points(0.8), Dashes: []vg.Length{3, 3}}, x(mean),
				area.Min.Y, x(mean), area.Max.Y)
		}
		for _, v := range values {
			at := draw.GlyphStyle{Color: colour, Radius: vg.Points(2.6), Shape: draw.RingGlyph{}}
			c.DrawGlyph(at, vg.Point{X: x(v), Y: y})
		}
		c.StrokeLine2(draw.LineStyle{Color: colour, Width: vg.Points(2.2)}, x(mean), y-7, x(mean), y+7)
	}
	return nil
}
