package report

import (
	"bytes"
	"cmp"
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
	"dla/internal/table"
)

// Section is a part of a page that is made from committed records: a folder of figures and a table.
type Section struct {
	Name    string `yaml:"name"`    // as in the marks around the table
	Page    string `yaml:"page"`    // Markdown file with these marks; empty: README.md
	Runs    string `yaml:"runs"`    // folder of records
	Select  string `yaml:"select"`  // pattern of run ids; empty: all finished runs
	Figures string `yaml:"figures"` // folder; empty where the kind has none
	Table   string `yaml:"table"`   // one of sectionKinds or measurementTables

	Findings []Finding `yaml:"findings"` // of a findings table, which has neither records nor figures of its own
}

// frontPage is the page of sections that name none.
const frontPage = "README.md"

// measurementTables are made from the measurements in a folder rather than from run records.
var measurementTables = map[string]func(dir string) (table.Tables, error){"speed": Speed, "speed-summary": SpeedSummary}

// sectionKinds are the kinds of table, each with its figures if it has any.
var sectionKinds = map[string]struct {
	table   func([]run.Record) (table.Tables, error)
	figures func([]run.Record, string) ([]string, error)
	set     string // the set of outliers that the table shows, out of several in a record
}{
	"study":        {table: Table, figures: Figures},
	"ablation":     {table: ablationTable, figures: ablationFigure},
	"gradients":    {table: gradientTable, figures: gradientFigure},
	"distillation": {table: Distillation, figures: Figures},
	"robust":       {table: Robust, figures: Figures},
	"autoencoder":  {table: autoencoderTable, figures: Figures},
	"baseline":     {table: Baseline, figures: Figures},
	"finetuning":   {table: Finetuning, figures: Figures},
	"attacks":      {table: Attacks, figures: one(attackCurves)},
	"untargeted":   {table: examplesTable(false), figures: one(attackExamples(false, "examples"))},
	"targeted":     {table: examplesTable(true), figures: one(attackExamples(true, "examples"))},
	"ood":          {table: oodOverview},
	"ood-people":   {oodTable("cifar100-people"), one(oodFigures("cifar100-people")), "cifar100-people"},
	"ood-fake":     {oodTable("fake"), one(oodFigures("fake")), "fake"},
	"ood-jpeg":     {oodTable("cifar10-jpeg"), one(oodFigures("cifar10-jpeg")), "cifar10-jpeg"},
}

// Sections reads the list of sections in the YAML file path. Paths in it are relative to the repository's root.
func Sections(path string) ([]Section, error) {
	text, err := plainfile.Read(path, maxSections)
	if err != nil {
		return nil, fmt.Errorf("%w; run this in the repository's root", err)
	}
	return readSections(text, path)
}

// maxSections bounds the list of sections: nobody writes a longer one by hand, and parsing takes quadratic time.
const maxSections = 64 << 10

// readSections is Sections for the YAML text; path names it in errors.
func readSections(text []byte, path string) ([]Section, error) {
	var all []Section
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, s := range all {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("%s: entry %d: %w", path, i+1, err)
		}
	}
	return all, nil
}

// check returns an error if s lacks something that its kind needs, or has something that its kind does not use.
func (s Section) check() error {
	kind, known := sectionKinds[s.Table]
	_, measured := measurementTables[s.Table]
	isFindings := s.Table == findingsTable
	switch {
	case s.Name == "":
		return fmt.Errorf("it needs a name")
	case !known && !measured && !isFindings:
		kinds := slices.Concat(slices.Collect(maps.Keys(sectionKinds)), slices.Collect(maps.Keys(measurementTables)),
			[]string{findingsTable})
		slices.Sort(kinds)
		return fmt.Errorf("table is %q, want one of %s", s.Table, strings.Join(kinds, ", "))
	case isFindings == (s.Runs != ""):
		return fmt.Errorf("it needs runs, unless its table is %s", findingsTable)
	case isFindings == (len(s.Findings) == 0):
		return fmt.Errorf("a list of findings goes with the table %s", findingsTable)
	case (kind.figures == nil) == (s.Figures != ""):
		return fmt.Errorf("figures do not fit the table %s: a folder where it has figures, nothing where it has none",
			s.Table)
	}
	return s.local()
}

// local returns an error if the name of s is not a plain name or a path leads out of the repository.
func (s Section) local() error {
	if err := run.CheckName("the section", s.Name); err != nil {
		return err
	}
	for _, dir := range []string{s.Runs, s.Figures, s.Page} {
		if dir == "" {
			continue
		}
		for _, name := range strings.Split(dir, "/") {
			if err := run.CheckName("an element of the path "+strconv.Quote(dir), name); err != nil {
				return fmt.Errorf("%w: want a path in the repository, such as imgs/lab1", err)
			}
		}
	}
	return nil
}

// records returns the section's finished runs.
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
		rec.Annotation = run.Annotation{} // whoever has the record wrote it: a page does not depend on it
		recs = append(recs, rec)
	}
	if len(recs) == 0 {
		return nil, fmt.Errorf("%s: there is no finished run under %s", s.Name, dir)
	}
	return recs, nil
}

// Readme draws the figures of every section and writes its table into its page between its marks,
//
//	<!-- table: lab1-mlp -->
//	<!-- end -->
//
// for the repository at root. It returns the files that changed. With check it changes nothing and returns the files
// that would change. A file in a folder of figures that no record makes counts as changed.
func Readme(root string, sections []Section, check bool) ([]string, error) {
	var changed []string
	tables := map[string]madeTable{}
	for _, s := range sections {
		if s.Table == findingsTable {
			continue // made last, from the others
		}
		files, made, err := s.make(root, check)
		if err != nil {
			return nil, err
		}
		changed, tables[s.Name] = append(changed, files...), made
	}
	for _, s := range sections {
		if s.Table != findingsTable {
			continue
		}
		text, err := findings(s.Findings, tables)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		tables[s.Name] = madeTable{text: text}
	}
	files, err := writePages(root, sections, tables, check)
	return append(changed, files...), err
}

// writePages puts the sections' tables into their pages and returns the pages that changed.
func writePages(root string, sections []Section, tables map[string]madeTable, check bool) (changed []string,
	err error) {
	type page struct{ name, old, text string }
	var pages []*page
	for _, s := range sections {
		name := cmp.Or(s.Page, frontPage)
		i := slices.IndexFunc(pages, func(p *page) bool { return p.name == name })
		if i < 0 {
			old, err := plainfile.Read(filepath.Join(root, filepath.FromSlash(name)), run.MaxFile)
			if err != nil {
				return nil, err
			}
			i, pages = len(pages), append(pages, &page{name, string(old), string(old)})
		}
		if pages[i].text, err = setTable(pages[i].text, s.Name, tables[s.Name].text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, p := range pages {
		if p.text == p.old {
			continue
		}
		changed = append(changed, p.name)
		if check {
			continue
		}
		if err := atomicfile.WriteBytes(filepath.Join(root, filepath.FromSlash(p.name)), []byte(p.text)); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// madeTable is a section's table and the sample behind it.
type madeTable struct {
	text string
	n    int    // test images or sentences; 0 if unknown, or if accuracies do not count these
	on   string // the same in words, as "10000 images"
}

// make draws the section's figures and returns those that changed, and its table.
func (s Section) make(root string, check bool) (changed []string, made madeTable, err error) {
	if measured := measurementTables[s.Table]; measured != nil {
		ts, err := measured(filepath.Join(root, s.Runs))
		made.text = ts.Page()
		return nil, made, err
	}
	recs, err := s.records(root)
	if err != nil {
		return nil, made, err
	}
	kind := sectionKinds[s.Table]
	if kind.figures != nil {
		if changed, err = s.draw(root, recs, check); err != nil {
			return nil, made, err
		}
	}
	if made.n, made.on, err = evaluatedOn(recs, kind.set); err != nil {
		return nil, made, err
	}
	ts, err := kind.table(recs)
	made.text = ts.Page()
	return changed, made, err
}

// draw draws the section's figures and returns those that changed.
func (s Section) draw(root string, recs []run.Record, check bool) (changed []string, err error) {
	atomicfile.Sweep(os.TempDir())
	tmp := atomicfile.Temporary(os.TempDir())
	if err := os.Mkdir(tmp, 0o700); err != nil { // other processes may look for such names in the folder
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
		base, err := filepath.Rel(tmp, f) // it may lie in a subfolder
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
		if err == nil && atomicfile.IsTemporary(e.Name()) { // a figure that is being drawn, or was when its writer was killed
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
			return fmt.Errorf("%s belongs to none of the records; remove it", name)
		}
		return nil
	})
	return changed, err
}

const tableEnd = "<!-- end -->"

// setTable returns text with table between the marks of name.
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
