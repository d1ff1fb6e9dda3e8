package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"dla/internal/plainfile"
)

// textFile is a file of a folder of texts.
type textFile struct {
	walkFile
	part  int    // -1: none is named
	class string // of a .txt file
	whole bool   // the file is one text
}

// readFolder reads the tables in the folder at dir, or where it has none, its texts by class.
func (g *gatheredTexts) readFolder(ctx context.Context, dir string, o TextOptions, opt Options) error {
	above, err := foldersAbove(dir)
	if err != nil {
		return err
	}
	over := new(passedOver)
	isText := func(name string) bool { return strings.EqualFold(path.Ext(name), ".txt") }
	w := folderWalk{want: func(name string) bool { return isText(name) || isTable(name) }, over: over, inParts: true}
	if err := w.list(ctx, dir, "", above); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if over.link != nil {
		return fmt.Errorf("%s: %w", dir, over.link)
	}
	files, err := chooseTexts(w.files, over)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if text := over.String(); text != "" && opt.Say != nil {
		opt.Say("%s: passed over: %s", dir, text)
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.class == "" {
			err = g.readFile(ctx, f.path, f.part, o)
		} else {
			err = g.readClass(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chooseTexts returns the files of a folder that hold its texts: the tables, in the order of the parts, or the texts by
// class. It adds the others to over.
func chooseTexts(all []walkFile, over *passedOver) ([]textFile, error) {
	var tables, named, inFolders, lines []textFile
	for _, f := range all {
		t := textFile{walkFile: f, part: -1}
		dirs := strings.Split(path.Dir(f.name), "/")
		for _, d := range dirs {
			if p := folderPart(d); p >= 0 {
				t.part = p
			}
		}
		base := path.Base(f.name)
		base = base[:len(base)-len(path.Ext(base))]
		if isTable(f.name) {
			if p := filePart(base); t.part < 0 {
				t.part = p
			}
			if tables = append(tables, t); t.part >= 0 {
				named = append(named, t)
			}
			continue
		}
		parent := dirs[len(dirs)-1]
		if slices.ContainsFunc(dirs, unlabelled.MatchString) {
			continue
		}
		if t.class = parent; parent == "." || folderPart(parent) >= 0 {
			t.class = base
			lines = append(lines, t)
		} else {
			t.whole = true
			inFolders = append(inFolders, t)
		}
	}
	var chosen []textFile
	switch {
	case len(named) > 0:
		chosen = named
		slices.SortStableFunc(chosen, func(a, b textFile) int { return a.part - b.part })
		if err := readOnce(chosen); err != nil {
			return nil, err
		}
	case len(tables) == 1:
		chosen = tables
	case len(tables) > 1 && len(inFolders)+len(lines) == 0:
		return nil, fmt.Errorf("holds %d tables (%s, %s, …), of which none is called train; name one of them, or call "+
			"them train, validation and test",
			len(tables), tables[0].name, tables[1].name)
	case len(inFolders) > 0:
		chosen = inFolders
	default:
		chosen = lines
	}
	if len(chosen) == 0 {
		return nil, errors.New("holds no texts: want tables (csv, tsv, jsonl, parquet), or CLASS/*.txt or CLASS.txt")
	}
	taken := map[string]bool{}
	for _, f := range chosen {
		taken[f.name] = true
	}
	for _, f := range all {
		if !taken[f.name] {
			over.addUnwanted(f.name)
		}
	}
	return chosen, nil
}

// readOnce returns an error if the tables of a part have several formats, or lie in several folders, as those of
// several languages do: the same texts may be in both.
func readOnce(tables []textFile) error {
	var first [parts]string
	for _, t := range tables {
		one := &first[t.part]
		if *one == "" {
			*one = t.name
		}
		if !strings.EqualFold(path.Ext(*one), path.Ext(t.name)) || path.Dir(*one) != path.Dir(t.name) {
			return fmt.Errorf("holds the %s part as %s and as %s; keep one of them, or name a folder of one",
				partNames[t.part], *one, t.name)
		}
	}
	return nil
}

// readClass reads a file of texts of one class.
func (g *gatheredTexts) readClass(f textFile) error {
	in, size, err := plainfile.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	r, encoding, err := openText(in)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	file := TextFile{Path: f.path, Encoding: encoding, order: "line"}
	add := func(text string, line int) error {
		file.Rows++
		if text = strings.TrimSpace(text); text == "" {
			if file.Empty++; file.Empty == 1 {
				file.firstEmpty = line
			}
			return nil
		}
		return g.add(text, f.class, f.part, textPlace{f.path, "line", line})
	}
	if f.whole {
		if size > maxRow {
			return fmt.Errorf("%s has %d bytes, more than the %d MB of a text", f.path, size, maxRow>>20)
		}
		b, readErr := io.ReadAll(r)
		if err = readErr; err == nil {
			err = add(string(b), 1)
		}
	} else {
		lines := newScanner(r)
		n := 0
		for err == nil && lines.Scan() {
			n++
			err = add(lines.Text(), n)
		}
		if err == nil {
			err = longLine(lines.Err(), n+1)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	g.files = append(g.files, file)
	return nil
}
