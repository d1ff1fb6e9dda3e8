package plot

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Variable is one quantity of the points of a Search.
type Variable struct {
	Label   string
	Values  []float64 // one a point; a point whose value is not finite is left out where the variable is drawn
	Names   []string  // names of the values 0, 1, …; nil: the values are numbers
	Log     bool      // on a logarithmic axis: all values are positive
	Percent bool      // values are fractions
}

// Search is what a search over settings has found: points with the values of the settings and of the objective.
// SaveParallel draws parallel coordinates: an axis a variable, a line a point. SaveScatter draws the objective against
// each setting.
type Search struct {
	Title     string
	Subtitle  string // grey, under the title
	Warning   string // red
	Settings  []Variable
	Objective Variable
	Smaller   bool // a smaller objective is better
	Best      int  // the point to accent; -1: none
}

// span returns the range of the variable's axis, of logarithms on a logarithmic one.
func (v Variable) span() (lo, hi float64) {
	if v.Names != nil {
		return -0.5, float64(len(v.Names)) - 0.5
	}
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, x := range v.Values {
		if x = v.at(x); finite(x) {
			lo, hi = min(lo, x), max(hi, x)
		}
	}
	switch {
	case lo > hi:
		return 0, 1
	case lo == hi:
		return lo - 0.5, hi + 0.5
	}
	return lo, hi
}

// at returns where x lies on the axis.
func (v Variable) at(x float64) float64 {
	if v.Log {
		return math.Log10(x)
	}
	return x
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// ticks returns at most about n ticks of the axis from lo to hi, at their places on it.
func (v Variable) ticks(lo, hi float64, n int) []plot.Tick {
	if v.Names != nil {
		var all []plot.Tick
		for i, name := range v.Names {
			all = append(all, plot.Tick{Value: float64(i), Label: name})
		}
		return all
	}
	if !v.Log {
		return niceTicks(lo, hi, n, v.Percent)
	}
	var all []plot.Tick
	ticks := logTicks(math.Pow(10, lo)*(1-1e-9), math.Pow(10, hi)*(1+1e-9))
	for i, t := range ticks {
		if len(ticks) > 2*n && i%((len(ticks)+n-1)/n) != 0 {
			continue
		}
		all = append(all, plot.Tick{Value: math.Log10(t.Value), Label: t.Label})
	}
	return all
}

// shade returns the colour of a point: the better its objective, the darker.
func (s Search) shade(i int) color.NRGBA {
	if i == s.Best {
		return palette[4]
	}
	lo, hi := s.Objective.span()
	t := (s.Objective.at(s.Objective.Values[i]) - lo) / (hi - lo)
	if s.Smaller {
		t = 1 - t
	}
	if !finite(t) {
		t = 0
	}
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + t*(float64(b)-float64(a)))) }
	from, to := color.NRGBA{0xD5, 0xE3, 0xEE, 0xFF}, palette[0]
	return color.NRGBA{mix(from.R, to.R), mix(from.G, to.G), mix(from.B, to.B), 0xFF}
}

// order returns the points from the worst to the best, the accented one last, so that the better ones lie on top.
func (s Search) order() []int {
	var all []int
	for i, v := range s.Objective.Values {
		if finite(v) && i != s.Best {
			all = append(all, i)
		}
	}
	slices.SortStableFunc(all, func(a, b int) int {
		if s.Smaller {
			a, b = b, a
		}
		return cmp.Compare(s.Objective.Values[a], s.Objective.Values[b])
	})
	if s.Best >= 0 {
		all = append(all, s.Best)
	}
	return all
}

// SaveParallel writes the parallel coordinates as base.png and base.svg and returns both names. The objective is the
// last axis.
func (s Search) SaveParallel(base string) ([]string, error) {
	w := max(width, vg.Length(len(s.Settings)+1)*1.15*vg.Inch)
	return save(base, w, height, s.parallel)
}

func (s Search) parallel(c draw.Canvas) error {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	top := header(c, s.Title, s.Subtitle, s.Warning) - 26
	bottom := c.Min.Y + margin + 8
	axes := append(append([]Variable{}, s.Settings...), s.Objective)
	left, right := c.Min.X+margin+34, c.Max.X-margin-40
	x := func(a int) vg.Length { return left + (right-left)*vg.Length(a)/vg.Length(max(1, len(axes)-1)) }
	y := func(v Variable, value float64) vg.Length {
		lo, hi := v.span()
		return bottom + (top-bottom)*vg.Length((v.at(value)-lo)/(hi-lo))
	}
	for _, i := range s.order() {
		line := draw.LineStyle{Color: s.shade(i), Width: vg.Points(0.9)}
		if i == s.Best {
			line.Width = vg.Points(2.4)
		}
		for a := 1; a < len(axes); a++ {
			p, q := axes[a-1], axes[a]
			if finite(p.at(p.Values[i])) && finite(q.at(q.Values[i])) {
				c.StrokeLine2(line, x(a-1), y(p, p.Values[i]), x(a), y(q, q.Values[i]))
			}
		}
	}
	name, tick := style(8.5, ink, true), style(7.5, grey, false)
	name.XAlign, tick.YAlign = text.XCenter, text.YCenter
	room := (right - left) / vg.Length(max(1, len(axes)-1))
	for a, v := range axes {
		c.StrokeLine2(draw.LineStyle{Color: grey, Width: vg.Points(0.8)}, x(a), bottom, x(a), top)
		c.FillText(name, vg.Point{X: x(a), Y: top + 16}, cut(v.Label, name, room-4))
		lo, hi := v.span()
		for _, t := range v.ticks(lo, hi, 5) {
			at := bottom + (top-bottom)*vg.Length((t.Value-lo)/(hi-lo))
			c.StrokeLine2(draw.LineStyle{Color: grey, Width: vg.Points(0.6)}, x(a)-3, at, x(a), at)
			st := tick
			st.XAlign = text.XRight
			label := cut(t.Label, tick, room/2)
			w, h := tick.Width(label), tick.Font.Size/2
			c.FillPolygon(color.NRGBA{0xFF, 0xFF, 0xFF, 0xC8}, []vg.Point{{X: x(a) - 6 - w, Y: at - h}, {X: x(a) - 4, Y: at - h},
				{X: x(a) - 4, Y: at + h}, {X: x(a) - 6 - w, Y: at + h}}) // so that it can be read over the lines
			c.FillText(st, vg.Point{X: x(a) - 5, Y: at}, label)
		}
	}
	return nil
}

// scatterColumns is the number of panels in a row of a scatter chart.
const scatterColumns = 3

// SaveScatter writes a panel for each setting, with the objective against it, as base.png and base.svg and returns both
// names. A search without settings is an error.
func (s Search) SaveScatter(base string) ([]string, error) {
	n := len(s.Settings)
	if n == 0 {
		return nil, fmt.Errorf("drawing %s: no setting was varied", base)
	}
	columns := min(n, scatterColumns)
	rows := (n + columns - 1) / columns
	w, h := 2.6*vg.Inch, 2.1*vg.Inch
	if n == 1 {
		w, h = width-2*margin, 3*vg.Inch
	}
	return save(base, max(vg.Length(columns)*(w+panelGap)+2*margin, 4.6*vg.Inch), vg.Length(rows)*(h+panelGap)+58,
		func(c draw.Canvas) error { return s.scatter(c, columns, w, h) })
}

func (s Search) scatter(c draw.Canvas, columns int, w, h vg.Length) error {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	sub := s.Objective.Label
	if s.Subtitle != "" {
		sub += " · " + s.Subtitle
	}
	top := header(c, s.Title, sub, s.Warning) - 4
	for k, v := range s.Settings {
		x := c.Min.X + margin + vg.Length(k%columns)*(w+panelGap)
		y := top - vg.Length(k/columns)*(h+panelGap)
		box := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: x, Y: y - h},
			Max: vg.Point{X: x + w, Y: y}}}
		p := plot.New()
		styleAxes(p)
		lo, hi := v.span()
		ylo, yhi := s.Objective.span()
		xpad, ypad := 0.05*(hi-lo), 0.06*(yhi-ylo)
		if v.Names != nil {
			xpad = 0
		}
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = lo-xpad, hi+xpad, ylo-ypad, yhi+ypad
		p.X.Tick.Marker = plot.ConstantTicks(v.ticks(p.X.Min, p.X.Max, 4))
		p.Y.Tick.Marker = plot.ConstantTicks(s.Objective.ticks(p.Y.Min, p.Y.Max, 4))
		p.X.Label.Text = v.Label
		p.Draw(box)
		area := p.DataCanvas(box)
		for _, i := range s.order() {
			px := v.at(v.Values[i])
			if !finite(px) {
				continue
			}
			dot := draw.GlyphStyle{Color: palette[0], Radius: vg.Points(2.2), Shape: draw.RingGlyph{}}
			if i == s.Best {
				dot = draw.GlyphStyle{Color: palette[4], Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
			}
			c.DrawGlyph(dot, vg.Point{X: area.X(p.X.Norm(px)), Y: area.Y(p.Y.Norm(s.Objective.at(s.Objective.Values[i])))})
		}
	}
	return nil
}
