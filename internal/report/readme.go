package report

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dla/internal/atomicfile"
	"dla/internal/plainfile"
	"dla/internal/run"
)

// Section is a part of the README that is made of committed records: a folder of figures and a table.
type Section struct {
	Name    string `yaml:"name"`    // of the table's marks in the README
	Runs    string `yaml:"runs"`    // folder of records
	Select  string `yaml:"select"`  // pattern of run ids; empty: all that are finished
	Figures string `yaml:"figures"` // folder; empty where the kind has none
	Table   string `yaml:"table"`   // one of sectionKinds, or speed, which has measurements for records
}

const speedTable = "speed"

// sectionKinds are the tables there are, each with the figures that go with it, or none.
var sectionKinds = map[string]struct {
	table   func([]run.Record) (string, error)
	figures func([]run.Record, string) ([]string, error)
}{
	"study":        {Table, Figures},
	"gradients":    {gradientTable, gradientFigure},
	"distillation": {Distillation, Figures},
	"robust":       {Robust, Figures},
	"autoencoder":  {autoencoderTable, Figures},
	"baseline":     {Baseline, Figures},
	"finetuning":   {Finetuning, Figures},
	"attacks":      {Attacks, one(attackCurves)},
	"untargeted":   {examplesTable(false), one(attackExamples(false, "examples"))},
	"targeted":     {examplesTable(true), one(attackExamples(true, "examples"))},
	"ood":          {oodOverview, nil},
	"ood-people":   {oodTable("cifar100-people"), one(oodFigures("cifar100-people"))},
	"ood-fake":     {oodTable("fake"), one(oodFigures("fake"))},
	"ood-jpeg":     {oodTable("cifar10-jpeg"), one(oodFigures("cifar10-jpeg"))},
}

// Sections reads the list of sections in the YAML file path. Folders in it are relative to the
// repository's root.
func Sections(path string) ([]Section, error) {
	text, err := plainfile.Read(path, maxSections)
	if err != nil {
		return nil, fmt.Errorf("%w; run this in the repository's root", err)
	}
	return readSections(text, path)
}

// maxSections bounds the list of sections: nobody writes a longer one by hand, and YAML takes the square of its keys.
const maxSections = 64 << 10

// readSections is Sections of the YAML text, which path stands for in errors.
func readSections(text []byte, path string) ([]Section, error) {
	var all []Section
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, s := range all {
		kind, known := sectionKinds[s.Table]
		if !known && s.Table != speedTable || s.Name == "" || s.Runs == "" || (s.Figures == "") != (kind.figures == nil) {
			return nil, fmt.Errorf("%s: entry %d needs a name, runs, figures and a table, one of %s or speed (of which ood and speed have no figures)", path, i+1,
				strings.Join(slices.Sorted(maps.Keys(sectionKinds)), ", "))
		}
		if err := s.local(); err != nil {
			return nil, fmt.Errorf("%s: entry %d: %w", path, i+1, err)
		}
	}
	return all, nil
}

// local says whether s has a name, and its folders lie in the repository.
func (s Section) local() error {
	if err := run.CheckName("the section", s.Name); err != nil {
		return err
	}
	for _, dir := range []string{s.Runs, s.Figures} {
		if dir == "" {
			continue
		}
		for _, name := range strings.Split(dir, "/") {
			if err := run.CheckName("a part of the folder "+strconv.Quote(dir), name); err != nil {
				return fmt.Errorf("%w: want a folder in the repository, as imgs/lab1", err)
			}
		}
	}
	return nil
}

// records are the section's finished runs.
func (s Section) records(root string) ([]run.Record, error) {
	dir := filepath.Join(root, s.Runs)
	list, err := run.List(dir)
	if err != nil {
		return nil, err
	}
	var recs []run.Record
	for _, r := range list {
		ok := s.Select == ""
		if !ok {
			if ok, err = path.Match(s.Select, r.ID); err != nil {
				return nil, fmt.Errorf("%s: select: %w", s.Name, err)
			}
		}
		if !ok || r.Status != run.StatusFinished && r.Status != run.StatusBroken {
			continue
		}
		rec, err := run.Find(dir, r.ID)
		if err != nil {
			return nil, err
		}
		recs = append(recs, rec)
	}
	if len(recs) == 0 {
		return nil, fmt.Errorf("%s: there is no finished run under %s", s.Name, dir)
	}
	return recs, nil
}

// Readme draws the figures of every section and writes its table into the README between its marks,
//
//	<!-- table: lab1-mlp -->
//	<!-- end -->
//
// for the repository at root. It returns the files that are not as they were. With check it changes
// nothing and says what it would change; a file in a folder of figures that no record makes counts too.
func Readme(root string, sections []Section, check bool) ([]string, error) {
	name := filepath.Join(root, "README.md")
	old, err := plainfile.Read(name, run.MaxFile)
	if err != nil {
		return nil, err
	}
	text := string(old)
	var changed []string
	for _, s := range sections {
		files, table, err := s.make(root, check)
		if err != nil {
			return nil, err
		}
		changed = append(changed, files...)
		if text, err = setTable(text, s.Name, table); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if text == string(old) {
		return changed, nil
	}
	changed = append(changed, "README.md")
	if check {
		return changed, nil
	}
	return changed, atomicfile.WriteBytes(name, []byte(text))
}

// make draws the section's figures and returns those that are not as they were, and its table.
func (s Section) make(root string, check bool) (changed []string, table string, err error) {
	if s.Table == speedTable {
		table, err = Speed(filepath.Join(root, s.Runs))
		return nil, table, err
	}
	recs, err := s.records(root)
	if err != nil {
		return nil, "", err
	}
	kind := sectionKinds[s.Table]
	if kind.figures != nil {
		if changed, err = s.draw(root, recs, check); err != nil {
			return nil, "", err
		}
	}
	table, err = kind.table(recs)
	return changed, table, err
}

// draw draws the section's figures and returns those that are not as they were.
func (s Section) draw(root string, recs []run.Record, check bool) (changed []string, err error) {
	atomicfile.Sweep(os.TempDir())
	tmp := atomicfile.Temporary(os.TempDir())
	if err := os.Mkdir(tmp, 0o700); err != nil { // others may look into the folder for such
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	files, err := sectionKinds[s.Table].figures(recs, tmp)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, s.Figures)
	var made []string
	for _, f := range files {
		base, err := filepath.Rel(tmp, f) // it may lie in a folder of its own
		if err != nil {
			return nil, err
		}
		made = append(made, base)
		now, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		old, err := plainfile.Read(filepath.Join(dir, base), run.MaxFile)
		if err == nil && bytes.Equal(old, now) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		changed = append(changed, path.Join(s.Figures, filepath.ToSlash(base)))
		if check {
			continue
		}
		if _, err := below(root, filepath.Join(s.Figures, filepath.Dir(base))); err != nil {
			return nil, err
		}
		if err := atomicfile.WriteBytes(filepath.Join(dir, base), now); err != nil {
			return nil, err
		}
	}
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == dir {
			return nil
		}
		if err == nil && atomicfile.IsTemporary(e.Name()) { // what is being drawn, or was when that was killed
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		base, err := filepath.Rel(dir, name)
		if err != nil || slices.Contains(made, base) {
			return err
		}
		changed = append(changed, path.Join(s.Figures, filepath.ToSlash(base)))
		if !check {
			return fmt.Errorf("%s is made by none of the records; remove it", name)
		}
		return nil
	})
	return changed, err
}

const tableEnd = "<!-- end -->"

// setTable puts table between the marks of name in text.
func setTable(text, name, table string) (string, error) {
	mark := "<!-- table: " + name + " -->"
	before, rest, ok := strings.Cut(text, mark)
	if ok {
		_, rest, ok = strings.Cut(rest, tableEnd)
	}
	if !ok || strings.Contains(rest, mark) {
		return "", fmt.Errorf("want one line %s, and after it one %s", mark, tableEnd)
	}
	return before + mark + "\n" + strings.TrimSpace(table) + "\n" + tableEnd + rest, nil
}
