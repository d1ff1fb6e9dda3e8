package plot

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ROC is a chart of ROC curves: true-positive rate against false-positive rate over all thresholds.
type ROC struct {
	Title    string
	Subtitle string // grey, under the title
	Warning  string // red
	XLabel   string
	YLabel   string
	Curves   []Curve // X and Mean in [0,1]; labels stand beside the chart in this order
}

// Save writes r as base.png and base.svg and returns both names.
func (r ROC) Save(base string) ([]string, error) { return save(base, width, height, r.draw) }

func (r ROC) draw(c draw.Canvas) error {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	sub := r.YLabel
	if r.Subtitle != "" {
		sub += " · " + r.Subtitle
	}
	top := header(c, r.Title, sub, r.Warning)
	p := plot.New()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.X.Tick.Marker = plot.ConstantTicks(niceTicks(0, 1, 5, true))
	p.Y.Tick.Marker = plot.ConstantTicks(niceTicks(0, 1, 5, true))
	p.X.Label.Text = r.XLabel
	styleAxes(p)
	chance, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}})
	if err != nil {
		return err
	}
	chance.LineStyle = draw.LineStyle{Color: grey, Width: vg.Points(0.7), Dashes: []vg.Length{2, 2}}
	p.Add(chance)
	for _, cv := range r.Curves {
		if err := addLine(p, cv); err != nil {
			return err
		}
	}
	bottom := c.Min.Y + margin - 2
	side := top - 6 - bottom
	body := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: c.Min.X + margin, Y: bottom},
		Max: vg.Point{X: c.Min.X + margin + side + 22, Y: top - 6}}}
	p.Draw(body)
	st := style(8.5, ink, false)
	st.YAlign = text.YCenter
	leading := min(14, (side-24)/vg.Length(max(1, len(r.Curves))))
	for i, cv := range r.Curves {
		x, y := body.Max.X+22, body.Max.Y-8-vg.Length(i)*leading
		line := draw.LineStyle{Color: cv.colour(), Width: vg.Points(1.6)}
		if cv.Dashed {
			line.Dashes = []vg.Length{vg.Points(4.5), vg.Points(2.5)}
		}
		c.StrokeLine2(line, x, y, x+18, y)
		c.FillText(st, vg.Point{X: x + 24, Y: y}, cut(cv.Label, st, c.Max.X-margin-x-24))
	}
	return nil
}
