package labs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"dla/internal/atomicfile"
	"dla/internal/report"
	"dla/internal/run"
)

// figuresName is the folder of a run's figures, empty until they are drawn.
const figuresName = "figures"

// draw draws the figures of the finished run rec into its folder, from its record alone: all of them or none.
func draw(rec run.Record) (files []string, err error) {
	dir := filepath.Join(rec.Dir, figuresName)
	err = atomicfile.NewFolder(dir, 0o777, func(tmp string) error {
		if files, err = drawInto(rec, tmp); err != nil {
			return err
		}
		for i, f := range files {
			below, err := filepath.Rel(tmp, f)
			if err != nil {
				return err
			}
			files[i] = filepath.Join(dir, below)
		}
		return nil
	})
	return files, err
}

// drawInto is draw into another folder.
func drawInto(rec run.Record, dir string) ([]string, error) {
	files, err := report.Figures([]run.Record{rec}, dir)
	if err != nil {
		return nil, err
	}
	more, err := report.ClassFigures(rec, dir)
	return append(files, more...), err
}

// CompleteFigures draws the figures of the finished run rec if a process was killed before it drew them; nil if they
// exist. A record without the folder, as in a clone of the repository, is not changed.
func CompleteFigures(rec run.Record) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(rec.Dir, figuresName))
	if len(list) > 0 {
		return nil, nil
	}
	if errors.Is(err, fs.ErrNotExist) { // and about to be there, where one that is being written has been left
		list, err = os.ReadDir(rec.Dir)
		if !slices.ContainsFunc(list, func(e fs.DirEntry) bool {
			return e.IsDir() &&
				atomicfile.IsTemporary(e.Name())
		}) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", rec.ID, err)
	}
	return draw(rec)
}
