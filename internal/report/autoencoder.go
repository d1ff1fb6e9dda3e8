package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"path/filepath"

	"dla/internal/atomicfile"
	"dla/internal/plot"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// autoencoderResultOf reads the result of an autoencoder's training.
func autoencoderResultOf(r run.Record) (res record.Autoencoder, err error) {
	return res, record.Read(r, &res)
}

// reconstructionLoss is what the figures of autoencoders show.
const reconstructionLoss = "mean squared error of pixels in [0, 1]"

// autoencoderFigures draws the loss of autoencoders in training and validation against the epoch, and the
// reconstructions of the first one if it is finished, before and after training, as PNG and SVG into dir, with
// figures.json.
func autoencoderFigures(recs []run.Record, dir string) ([]string, error) {
	if err := drawable(recs); err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	gs := groups(recs)
	fig := plot.Figure{Title: "Reconstruction loss", Subtitle: subtitle(recs, gs, "mean and range"),
		Warning: warning(recs), XLabel: "epoch", YLabel: reconstructionLoss, Log: true}
	for i, g := range gs {
		for _, k := range []kind{
			{label: "training", value: func(e run.Epoch) float64 { return e.Train.Loss }},
			{label: "validation", value: func(e run.Epoch) float64 { return e.Val.Loss }},
		} {
			c := g.curve(k, gs)
			c.Label, c.Colour, c.Dashed = k.label, i, k.label == "training"
			if len(gs) > 1 {
				c.Label = g.label() + ", " + k.label
			}
			fig.Curves = append(fig.Curves, c)
		}
	}
	files, err := fig.Save(filepath.Join(dir, "loss"))
	if err != nil {
		return nil, err
	}
	if first := gs[0].runs[0]; first.Result != nil {
		grid, err := reconstructions(first)
		if err != nil {
			return nil, err
		}
		grid.Warning = warning(recs)
		grid.Subtitle = fmt.Sprintf("the first test image of each class · %s, seed %d · mean squared error below each",
			gs[0].label(), first.Seed)
		names, err := grid.Save(filepath.Join(dir, "reconstructions"))
		if err != nil {
			return nil, err
		}
		files = append(files, names...)
	}
	name, err := writeTraces(recs, dir)
	return append(files, name), err
}

// reconstructions returns the grid of r's examples.
func reconstructions(r run.Record) (plot.Grid, error) {
	grid := plot.Grid{Title: "Reconstructions before and after training"}
	res, err := autoencoderResultOf(r)
	if err != nil {
		return grid, err
	}
	b, err := r.Attached(res.Examples.Pictures)
	if err != nil {
		return grid, err
	}
	fail := func(err error) (plot.Grid, error) {
		return grid, fmt.Errorf("run %s: %s: %w; put back a good copy of the run", r.ID, res.Examples.Pictures.File, err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return fail(err)
	}
	n, size := len(res.Examples.Images), img.Bounds().Size()
	labels := []string{"image", "before", "after"}
	if n == 0 || size.X%n != 0 || size.Y%len(labels) != 0 {
		return fail(fmt.Errorf("%d x %d pixels do not divide into %d rows of %d pictures", size.X, size.Y, len(labels), n))
	}
	w, h := size.X/n, size.Y/len(labels)
	for y, label := range labels {
		row := plot.GridRow{Label: label}
		for x, e := range res.Examples.Images {
			caption := []string{e.Class, fmt.Sprintf("%.4f", e.MSEBefore), fmt.Sprintf("%.4f", e.MSE)}[y]
			row.Cells = append(row.Cells, plot.Cell{Picture: pictureAt(img, x*w, y*h, h, w), Caption: caption})
		}
		grid.Rows = append(grid.Rows, row)
	}
	return grid, nil
}

// pictureAt returns the h x w pixels of img whose top left corner is (x, y).
func pictureAt(img image.Image, x, y, h, w int) plot.Picture {
	p := plot.Picture{H: h, W: w}
	at := img.Bounds().Min.Add(image.Pt(x, y))
	for i := range h * w {
		c := color.NRGBAModel.Convert(img.At(at.X+i%w, at.Y+i/w)).(color.NRGBA)
		p.Pixels = append(p.Pixels, c.R, c.G, c.B)
	}
	return p
}

// autoencoderTable returns the finished runs of recs as a table, one row per encoder: mean and sample
// standard deviation over seeds.
func autoencoderTable(recs []run.Record) (table.Tables, error) {
	t := table.New("lrrrrrrrrl", "autoencoder", "encoder parameters, frozen", "decoder parameters, trained",
		"MFLOP per image", "seeds",
		"best epoch", "validation MSE", "test MSE", "wall time, s", tagsHead)
	t.Mark(table.Least, false, "validation MSE").Mark(table.Least, true, "test MSE")
	for _, g := range groups(recs) {
		var val, test, wall []float64
		var last record.Autoencoder
		for _, r := range g.runs {
			if r.Result == nil {
				continue
			}
			var err error
			if last, err = autoencoderResultOf(r); err != nil {
				return nil, err
			}
			if !last.Encoder.Unchanged {
				return nil, fmt.Errorf("run %s does not record that its encoder stayed unchanged", r.ID)
			}
			val, test, wall = append(val, last.Val.Loss), append(test, last.Test.MSE), append(wall, last.WallSeconds)
		}
		if len(test) == 0 {
			continue
		}
		t.Row(g.label(), last.Encoder.Params, last.Params, table.Number("%.1f", 2*float64(last.MACs)/1e6), len(test),
			last.BestEpoch, table.Spread("%.5f", val), table.Spread("%.5f", test).Within(last.Test.CI95[0], last.Test.CI95[1]),
			meanOf("%.1f", wall), g.tags())
	}
	return table.Of(t.DropEmpty(tagsHead)), nil
}
