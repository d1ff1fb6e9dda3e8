package labs

import (
	"fmt"
	"os"
	"path/filepath"

	"dla/internal/report"
	"dla/internal/run"
)

const (
	figuresName = "figures"           // the folder of figures in that of a run, empty until they are drawn
	drawingName = ".figures.tmp-draw" // where they are drawn before
)

// draw draws the figures of the finished run rec, from its record alone, into its folder: all of them or none.
func draw(rec run.Record) ([]string, error) {
	dir, tmp := filepath.Join(rec.Dir, figuresName), filepath.Join(rec.Dir, drawingName)
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	files, err := report.Figures([]run.Record{rec}, tmp)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return nil, fmt.Errorf("figures: %w", err)
	}
	for i, f := range files {
		below, err := filepath.Rel(tmp, f)
		if err != nil {
			return nil, fmt.Errorf("figures: %w", err)
		}
		files[i] = filepath.Join(dir, below)
	}
	return files, nil
}

// CompleteFigures draws the figures of the finished run rec where a process was killed before it had; nil where they
// are there. A record that never had the folder, as in a clone of the repository, is left alone.
func CompleteFigures(rec run.Record) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(rec.Dir, figuresName))
	if os.IsNotExist(err) {
		_, err = os.Lstat(filepath.Join(rec.Dir, drawingName))
	}
	if os.IsNotExist(err) || len(list) > 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", rec.ID, err)
	}
	return draw(rec)
}
