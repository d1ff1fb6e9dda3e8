package document

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/plainfile"
	"dla/internal/report"
	"dla/internal/run"
)

// figures draws the runs on each set of data, as `dla plot` draws them.
func figures(c *Content) (blocks []Block, err error) {
	var drawn []run.Record
	for _, r := range c.Runs {
		if len(r.Metrics) > 0 || r.Result != nil && evaluation(r) {
			drawn = append(drawn, r)
		}
	}
	sets := report.Sets(drawn)
	for i, s := range sets {
		figs, err := figuresOf(s.Runs)
		if err != nil {
			return nil, err
		}
		for _, f := range figs {
			if len(sets) > 1 {
				f.Name = fmt.Sprintf("%d-%s", i+1, f.Name)
				f.Alt += ", " + s.Title
			}
			blocks = append(blocks, Block{Figure: f})
		}
	}
	return blocks, nil
}

// evaluation reports whether r has figures of its own without having trained anything.
func evaluation(r run.Record) bool {
	_, is, err := report.OwnTable(r)
	return is && err == nil
}

// figuresOf draws recs and returns the figures.
func figuresOf(recs []run.Record) ([]*Figure, error) {
	return drawnBy(func(dir string) ([]string, error) {
		files, err := report.Figures(recs, dir)
		if err != nil || len(recs) != 1 {
			return files, err
		}
		more, err := report.ClassFigures(recs[0], dir)
		return append(files, more...), err
	})
}

// drawnBy returns the figures that draw draws in a temporary folder.
func drawnBy(draw func(dir string) (files []string, err error)) (all []*Figure, err error) {
	atomicfile.Sweep(os.TempDir())
	tmp := atomicfile.Temporary(os.TempDir())
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	files, err := draw(tmp)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if filepath.Ext(file) != ".svg" {
			continue
		}
		svg, err := plainfile.Read(file, run.MaxFile)
		if err != nil {
			return nil, err
		}
		if err := checkSVG(svg); err != nil {
			return nil, fmt.Errorf("figure %s: %w", filepath.Base(file), err)
		}
		below, err := filepath.Rel(tmp, file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.ToSlash(below), ".svg")
		name = strings.NewReplacer("/", "-", " ", "-").Replace(name)
		all = append(all, &Figure{Name: name, Alt: titleOf(svg, name), svg: svg})
	}
	return all, nil
}
