// Package plot draws all figures in one style, with gonum/plot: a left-aligned title, a light horizontal grid, thin
// lines in a colour-blind-safe palette, and a label at the end of each line instead of a legend box. Equal data gives
// equal bytes, as PNG and as SVG.
package plot

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"dla/internal/atomicfile"
)

// Curve is one line with its spread. X ascends; Lo and Hi, if set, bound the band around Mean. Points that are not
// finite are not drawn.
type Curve struct {
	Label   string
	X, Mean []float64
	Lo, Hi  []float64
	Colour  int // index of the palette
	Dashed  bool
}

// Figure is a chart of lines.
type Figure struct {
	Title    string
	Subtitle string // grey, under the title: data, seeds, meaning of the band
	Warning  string // red, for what a reader must not miss
	XLabel   string
	XNames   []string // names at x = 0, 1, … of a categorical axis
	YLabel   string   // the quantity, the first words of the subtitle
	Percent  bool     // Y holds fractions, shown in percent
	Log      bool     // Y on a logarithmic axis
	Curves   []Curve
}

// palette holds the colour-blind-safe colours of Okabe and Ito (2008, https://jfly.uni-koeln.de/color/), without the
// yellow, which fades on white, and two more.
var palette = []color.NRGBA{
	{0x00, 0x72, 0xB2, 0xFF}, // blue
	{0xE6, 0x9F, 0x00, 0xFF}, // orange
	{0x00, 0x9E, 0x73, 0xFF}, // green
	{0xCC, 0x79, 0xA7, 0xFF}, // purple
	{0xD5, 0x5E, 0x00, 0xFF}, // vermilion
	{0x56, 0xB4, 0xE9, 0xFF}, // sky blue
	{0x33, 0x33, 0x33, 0xFF}, // black
	{0x8C, 0x6D, 0x31, 0xFF}, // brown
}

// Palette returns the colours of lines in their order, as #rrggbb, for figures that others draw.
func Palette() (all []string) {
	for _, c := range palette {
		all = append(all, fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B))
	}
	return all
}

var (
	ink   = color.NRGBA{0x22, 0x22, 0x22, 0xFF}
	grey  = color.NRGBA{0x66, 0x66, 0x66, 0xFF}
	light = color.NRGBA{0xE4, 0xE4, 0xE4, 0xFF}
	red   = color.NRGBA{0xB0, 0x00, 0x20, 0xFF}
)

const (
	width, height = 6.4 * vg.Inch, 4.2 * vg.Inch
	dpi           = 200
)

// Save writes f as base.png and base.svg and returns both names.
func (f Figure) Save(base string) ([]string, error) { return save(base, width, height, f.draw) }

// save writes a drawing of size w x h as base.png and base.svg and returns both names.
func save(base string, w, h vg.Length, drawing func(draw.Canvas) error) ([]string, error) {
	png := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(dpi),
		vgimg.UseBackgroundColor(color.White))}
	svg := vgsvg.New(w, h)
	var files []string
	for _, o := range []struct {
		ext    string
		canvas vg.CanvasSizer
		out    io.WriterTo
	}{{".png", png, png}, {".svg", svg, pngInSVG{svg}}} {
		if err := drawing(draw.New(o.canvas)); err != nil {
			return nil, fmt.Errorf("drawing %s: %w", base+o.ext, err)
		}
		if _, _, err := atomicfile.Write(base+o.ext, func(w io.Writer) error {
			_, err := o.out.WriteTo(w)
			return err
		}); err != nil {
			return nil, err
		}
		files = append(files, filepath.Clean(base+o.ext))
	}
	return files, nil
}

// pngInSVG corrects the media type of embedded pictures: gonum/plot writes PNG and declares JPEG, which some viewers
// believe. It also replaces characters in names from records that no XML may hold, which would make the drawing
// unreadable.
type pngInSVG struct{ io.WriterTo }

// WriteTo implements io.WriterTo.
func (s pngInSVG) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	if _, err := s.WriterTo.WriteTo(&b); err != nil {
		return 0, err
	}
	text := bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return '\uFFFD'
		}
		return r
	}, b.Bytes())
	n, err := w.Write(bytes.ReplaceAll(text, []byte("data:image/jpg;base64,"), []byte("data:image/png;base64,")))
	return int64(n), err
}

// margin is the white around every figure.
const margin = 12

// header writes a figure's title, subtitle and warning, and returns the position below them.
func header(c draw.Canvas, title, sub, warning string) (top vg.Length) {
	left := c.Min.X + margin
	top = c.Max.Y - margin
	c.FillText(style(12, ink, true), vg.Point{X: left, Y: top}, title)
	top -= 17
	c.FillText(style(8.5, grey, false), vg.Point{X: left, Y: top}, sub)
	top -= 13
	if warning != "" {
		c.FillText(style(9, red, true), vg.Point{X: left, Y: top}, warning)
		top -= 14
	}
	return top
}

func style(size vg.Length, c color.Color, bold bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: c, Font: f, Handler: plot.DefaultTextHandler, XAlign: text.XLeft, YAlign: text.YTop}
}

func (f Figure) draw(c draw.Canvas) error {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	curves := f.finite()
	p := plot.New()
	f.axes(p, curves)
	for _, cv := range curves {
		if err := addBand(p, cv); err != nil {
			return err
		}
	}
	for _, cv := range curves {
		if err := addLine(p, cv); err != nil {
			return err
		}
	}

	sub := f.YLabel
	if f.Log {
		sub += ", logarithmic"
	}
	if f.Subtitle != "" {
		sub += " · " + f.Subtitle
	}
	top := header(c, f.Title, sub, f.Warning)
	label := style(8.5, ink, false)
	room := vg.Length(10)
	for _, cv := range curves {
		room = max(room, label.Width(cv.Label)+26)
	}
	body := draw.Crop(c, margin, -room-margin/2, margin-2, top-6-c.Max.Y)
	p.Draw(body)
	f.labels(c, p.DataCanvas(body), p, curves, label)
	return nil
}

// finite returns the curves without points that are not finite, or not positive on a log axis.
func (f Figure) finite() []Curve {
	ok := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) && (!f.Log || v > 0) }
	var out []Curve
	for _, cv := range f.Curves {
		n := cv
		n.X, n.Mean, n.Lo, n.Hi = nil, nil, nil, nil
		for i, y := range cv.Mean {
			if !ok(y) {
				continue
			}
			n.X, n.Mean = append(n.X, cv.X[i]), append(n.Mean, y)
			lo, hi := y, y
			if i < len(cv.Lo) && i < len(cv.Hi) && ok(cv.Lo[i]) && ok(cv.Hi[i]) {
				lo, hi = cv.Lo[i], cv.Hi[i]
			}
			n.Lo, n.Hi = append(n.Lo, lo), append(n.Hi, hi)
		}
		if len(n.X) > 0 {
			out = append(out, n)
		}
	}
	return out
}

func (f Figure) axes(p *plot.Plot, curves []Curve) {
	xlo, xhi, ylo, yhi := bounds(curves)
	if f.Log {
		ylo, yhi = ylo/1.15, yhi*1.15
		p.Y.Scale = plot.LogScale{}
		p.Y.Tick.Marker = plot.ConstantTicks(logTicks(ylo, yhi))
	} else {
		pad := (yhi - ylo) * 0.06
		if pad == 0 {
			pad = max(1e-3, math.Abs(yhi)*0.05)
		}
		ylo, yhi = ylo-pad, yhi+pad
		if f.Percent {
			yhi = min(yhi, 1)
		}
		p.Y.Tick.Marker = plot.ConstantTicks(niceTicks(ylo, yhi, 6, f.Percent))
	}
	if xhi == xlo {
		xlo, xhi = xlo-0.5, xhi+0.5
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = xlo, xhi, ylo, yhi
	p.X.Tick.Marker = plot.ConstantTicks(niceTicks(xlo, xhi, 10, false))
	if f.XNames != nil {
		names := make([]plot.Tick, len(f.XNames))
		for i, n := range f.XNames {
			names[i] = plot.Tick{Value: float64(i), Label: n}
		}
		p.X.Tick.Marker = plot.ConstantTicks(names)
	}
	p.X.Label.Text = f.XLabel // the subtitle says what Y is, which is easier to read than a vertical label
	styleAxes(p)
}

// styleAxes gives p thin grey axes and a horizontal grid.
func styleAxes(p *plot.Plot) {
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle = style(9, grey, false)
		a.Label.TextStyle.XAlign, a.Label.TextStyle.YAlign = text.XCenter, text.YBottom
		a.Label.Padding = 3
		a.Tick.Label.Font = style(8.5, grey, false).Font
		a.Tick.Label.Color = grey
		a.Tick.LineStyle.Width = 0
		a.Tick.Length = 3
		a.LineStyle.Width = 0
		a.Padding = 2
	}
	p.X.LineStyle = draw.LineStyle{Color: grey, Width: vg.Points(0.6)}
	p.X.Tick.LineStyle = p.X.LineStyle
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: light, Width: vg.Points(0.6)}
	p.Add(grid)
}

func bounds(curves []Curve) (xlo, xhi, ylo, yhi float64) {
	xlo, xhi, ylo, yhi = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, cv := range curves {
		for i := range cv.X {
			xlo, xhi = min(xlo, cv.X[i]), max(xhi, cv.X[i])
			ylo, yhi = min(ylo, cv.Lo[i]), max(yhi, cv.Hi[i])
		}
	}
	if xlo > xhi { // nothing to draw
		return 0, 1, 0.1, 1
	}
	return xlo, xhi, ylo, yhi
}

// niceTicks returns at most about n multiples of 1, 2 or 5 times a power of ten in [lo, hi].
func niceTicks(lo, hi float64, n int, percent bool) []plot.Tick {
	raw := (hi - lo) / float64(n)
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * mag
	for _, m := range []float64{1, 2, 5} {
		if m*mag >= raw {
			step = m * mag
			break
		}
	}
	if n == 10 && step < 1 { // epochs are integers
		step = 1
	}
	var ticks []plot.Tick
	scale, unit := 1.0, ""
	if percent {
		scale, unit = 100, " %"
	}
	digits := max(0, int(-math.Floor(math.Log10(step*scale)+1e-9)))
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+1e-9*step; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: fmt.Sprintf("%.*f%s", digits, i*step*scale+0, unit)})
	}
	return ticks
}

// logTicks returns round numbers in [lo, hi]: powers of ten if there are enough, else with multiples between them.
func logTicks(lo, hi float64) []plot.Tick {
	mults := []float64{1, 2, 5}
	switch decades := math.Log10(hi / lo); {
	case decades > 3.5:
		mults = mults[:1]
	case decades < 0.8:
		mults = []float64{1, 1.5, 2, 3, 4, 5, 6, 8}
	}
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(lo)); e <= math.Log10(hi); e++ {
		for _, m := range mults {
			if v := m * math.Pow(10, e); v >= lo && v <= hi {
				label := strconv.FormatFloat(math.Round(v*1e9)/1e9, 'f', -1, 64)
				if v < 1e-4 {
					label = strconv.FormatFloat(v, 'e', 0, 64)
				}
				ticks = append(ticks, plot.Tick{Value: v, Label: label})
			}
		}
	}
	return ticks
}

func (cv Curve) colour() color.NRGBA { return palette[cv.Colour%len(palette)] }

func addBand(p *plot.Plot, cv Curve) error {
	var xy plotter.XYs
	for i := range cv.X {
		xy = append(xy, plotter.XY{X: cv.X[i], Y: cv.Hi[i]})
	}
	for i := len(cv.X) - 1; i >= 0; i-- {
		xy = append(xy, plotter.XY{X: cv.X[i], Y: cv.Lo[i]})
	}
	if len(cv.X) < 2 || slices.Equal(cv.Lo, cv.Hi) {
		return nil
	}
	band, err := plotter.NewPolygon(xy)
	if err != nil {
		return err
	}
	band.LineStyle.Width = 0
	c := cv.colour()
	c.A = 0x24
	band.Color = c
	p.Add(band)
	return nil
}

func addLine(p *plot.Plot, cv Curve) error {
	xy := make(plotter.XYs, len(cv.X))
	for i := range cv.X {
		xy[i] = plotter.XY{X: cv.X[i], Y: cv.Mean[i]}
	}
	if len(xy) == 1 {
		dot, err := plotter.NewScatter(xy)
		if err != nil {
			return err
		}
		dot.GlyphStyle = draw.GlyphStyle{Color: cv.colour(), Radius: 2.5, Shape: draw.CircleGlyph{}}
		p.Add(dot)
		return nil
	}
	line, err := plotter.NewLine(xy)
	if err != nil {
		return err
	}
	line.LineStyle = draw.LineStyle{Color: cv.colour(), Width: vg.Points(1.6)}
	if cv.Dashed {
		line.LineStyle.Dashes = []vg.Length{vg.Points(4.5), vg.Points(2.5)}
	}
	p.Add(line)
	return nil
}

// labels writes each curve's name beside its end. Names that would overlap are moved apart and tied to the end by a
// thin line.
func (f Figure) labels(c draw.Canvas, data draw.Canvas, p *plot.Plot, curves []Curve, st text.Style) {
	trX, trY := p.Transforms(&data)
	type end struct {
		Curve
		x, y vg.Length
	}
	var ends []end
	for _, cv := range curves {
		last := len(cv.X) - 1
		ends = append(ends, end{cv, trX(cv.X[last]), trY(cv.Mean[last])})
	}
	slices.SortStableFunc(ends, func(a, b end) int { return cmp.Compare(a.y, b.y) })
	gap := st.Font.Size * 1.18
	ys := make([]float64, len(ends))
	for i, e := range ends {
		ys[i] = float64(e.y)
	}
	spread(ys, float64(gap), float64(data.Min.Y), float64(data.Max.Y))
	st.YAlign = text.YCenter
	for i, e := range ends {
		st.Color = e.colour()
		x, y := data.Max.X+18, vg.Length(ys[i])
		c.StrokeLine2(draw.LineStyle{Color: e.colour(), Width: vg.Points(0.5)}, e.x+3, e.y, x-3, y)
		c.FillText(st, vg.Point{X: x, Y: y}, e.Label)
	}
}

// spread moves ascending positions as little as possible so that neighbours are gap apart, within [lo, hi] if there is
// room.
func spread(y []float64, gap, lo, hi float64) {
	type cluster struct {
		sum   float64 // of the wanted positions, each minus its offset in the cluster
		n     int
		first float64
	}
	var cs []cluster
	for _, v := range y {
		cs = append(cs, cluster{sum: v, n: 1, first: v})
		for len(cs) > 1 {
			a, b := cs[len(cs)-2], cs[len(cs)-1]
			if a.first+gap*float64(a.n) <= b.first {
				break
			}
			m := cluster{sum: a.sum + b.sum - gap*float64(a.n*b.n), n: a.n + b.n}
			m.first = m.sum / float64(m.n)
			cs = append(cs[:len(cs)-2], m)
		}
		c := &cs[len(cs)-1]
		c.first = max(lo, min(c.first, hi-gap*float64(c.n-1)))
	}
	i, at := 0, lo-gap
	for _, c := range cs {
		for k := range c.n {
			at = max(at+gap, c.first+gap*float64(k))
			y[i] = at
			i++
		}
	}
}
