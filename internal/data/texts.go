package data

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"dla/internal/rng"
)

// The bounds of what is kept of a set of texts.
const (
	maxTexts       = 4 << 20
	maxTextBytes   = 1 << 30
	maxTextClasses = 1000
)

// DefaultHeldOut is the share of texts that is drawn for validation, and for the test, where a set has no such part.
const DefaultHeldOut = 0.1

// TextOptions says how to read a set of labelled texts.
type TextOptions struct {
	TextColumns
	// Val and Test are the sizes of the parts that are drawn: below 1 a share of the texts they are drawn from, else a
	// number; 0: DefaultHeldOut.
	Val, Test float64
}

// The parts of a set.
const (
	partTrain = iota
	partVal
	partTest
	parts
)

var (
	partNames = [parts]string{"training", "validation", "test"}
	// partName matches the name of a file, without its suffix, or the value of a column that names a part.
	partName = regexp.MustCompile(`(?i)^(?:.*[-_. ])?(train|training|val|valid|validation|dev|test|testing)` +
		`(?:[-_. ].*|[0-9]*)$`)
	// unlabelled matches the name of a folder of texts without labels, as that of IMDb's reviews has one.
	unlabelled = regexp.MustCompile(`(?i)^(unsup|unsupervised|unlabell?ed)$`)
)

// folderPart returns the part that a folder called name is; -1: none.
func folderPart(name string) int { return slices.Index([]string{"train", "val", "test"}, partOf(name)) }

// filePart returns the part that the name of a file, without its suffix, or the value of a column names; -1: none.
func filePart(name string) int {
	m := partName.FindStringSubmatch(name)
	if m == nil {
		return -1
	}
	return folderPart(m[1])
}

// IsTextPath reports whether name, which a setting gives, is the path of a file or folder of texts, and no set of the
// catalogue.
func IsTextPath(name string) bool {
	if _, err := Lookup(name); err == nil || slices.Contains(SentenceNames(), name) || slices.Contains(Names(), name) {
		return false
	}
	if isTable(name) || strings.ContainsRune(name, filepath.Separator) || strings.Contains(name, "/") {
		return true
	}
	_, err := os.Stat(name)
	return err == nil
}

// HoldsTexts reports whether there are labelled texts rather than images at the path name: a table, or a folder with a
// table or a text and without images by class, idx files or CIFAR's.
func HoldsTexts(name string) bool {
	if !IsTextPath(name) {
		return false
	}
	if isTable(name) {
		return true
	}
	if _, err := lookOwn(context.Background(), name); err == nil { // images, perhaps with a README.txt or a mapping.txt
		return false
	}
	texts, seen := false, 0
	_ = filepath.WalkDir(name, func(at string, d fs.DirEntry, err error) error {
		if seen++; err != nil || seen > 10000 {
			return fs.SkipAll
		}
		switch {
		case d.IsDir():
		case isTable(at), strings.EqualFold(filepath.Ext(at), ".txt"):
			texts = true
			return fs.SkipAll
		}
		return nil
	})
	return texts
}

// ReadTexts reads the labelled texts at path, and says what it left out and what repeats. path is a table (csv, tsv,
// jsonl, parquet), a folder with one or with tables that are called after the parts (train.csv, validation.jsonl,
// test-00000-of-00001.parquet), or a folder of texts by class: CLASS/*.txt with a text a file, or CLASS.txt with a text
// a line, both also in folders train, val and test. The parts are those of the files, or of a column called split, and
// else drawn: of each class its share, by keys that do not depend on the seed of a run, so that all runs have the same
// test. What cannot be read is an error that names the file and the line.
func ReadTexts(ctx context.Context, path string, o TextOptions, opt Options) (*Sentences, error) {
	for _, size := range []float64{o.Val, o.Test} {
		if !(size >= 0) || math.IsInf(size, 0) {
			return nil, fmt.Errorf("data.val is %g and data.test %g, want at least 0", o.Val, o.Test)
		}
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w; name a set of %s, or a file or folder of texts", err, listed(SentenceNames()))
	}
	g := &gatheredTexts{ids: map[string]int32{}, first: map[[2]int32]textPlace{}}
	switch {
	case st.IsDir():
		err = g.readFolder(ctx, path, o, opt)
	case isTable(path):
		err = g.readFile(ctx, path, -1, o)
	default:
		err = fmt.Errorf("%s is no table of texts (csv, tsv, jsonl, parquet) and no folder of them; unpack an archive first",
			path)
	}
	if err != nil {
		return nil, err
	}
	s, err := g.arrange(path, o, opt)
	if err != nil {
		return nil, err
	}
	g.say(s, opt)
	return s, nil
}

// gatheredTexts are texts while they are read. Labels are places in words until all are known.
type gatheredTexts struct {
	text   []string
	labels []int32
	part   []int8 // -1: to be drawn
	words  []string
	ids    map[string]int32
	first  map[[2]int32]textPlace // where a label first occurs in a part
	bytes  int64
	files  []TextFile
}

// textPlace is where a text is: the line or the row of a file.
type textPlace struct {
	path, unit string
	line       int
}

func (p textPlace) String() string { return fmt.Sprintf("%s: %s %d", p.path, p.unit, p.line) }

// add keeps a text.
func (g *gatheredTexts) add(text, label string, part int, at textPlace) error {
	if label == "" {
		return fmt.Errorf("%s %d has a text without a label; take it out, or give it one", at.unit, at.line)
	}
	id, ok := g.ids[label]
	if !ok {
		if len(g.words) == maxTextClasses {
			return fmt.Errorf("%s %d has the label %.40q after %d others: the column of labels may be another",
				at.unit, at.line, label, maxTextClasses)
		}
		id = int32(len(g.words))
		label = strings.Clone(label)
		g.ids[label], g.words = id, append(g.words, label)
	}
	if key := [2]int32{id, int32(part)}; g.first[key].line == 0 {
		g.first[key] = at
	}
	if g.bytes += int64(len(text)); len(g.text) == maxTexts || g.bytes > maxTextBytes {
		return fmt.Errorf("%s %d is beyond %d texts or %d MB of them, all of which are kept in memory: %d texts and %d MB "+
			"are read so far; use a part of them", at.unit, at.line, maxTexts, maxTextBytes>>20, len(g.text), g.bytes>>20)
	}
	g.text, g.labels, g.part = append(g.text, text), append(g.labels, id), append(g.part, int8(part))
	return nil
}

// readFile reads a table. part is that of its rows; -1: the split column's, or to be drawn.
func (g *gatheredTexts) readFile(ctx context.Context, path string, part int, o TextOptions) error {
	unit := "line"
	if strings.EqualFold(filepath.Ext(path), ".parquet") {
		unit = "row"
	}
	by := o.TextColumns
	n := 0
	file, err := readTable(path, by, func(r textRow) error {
		if n++; n%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		in := part
		if part < 0 && r.split != "" {
			if in = filePart(r.split); in < 0 {
				return fmt.Errorf("%s %d has the split %.40q, want train, validation or test", unit, r.line, r.split)
			}
		}
		return g.add(r.text, r.label, in, textPlace{path, unit, r.line})
	})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	file.order = unit
	g.files = append(g.files, *file)
	return nil
}

// classes returns the names of the labels in order, and the class of each word: those of ordered where a file names
// them, numbers by their value, words by their bytes.
func (g *gatheredTexts) classes() (names []string, of []int32, err error) {
	of = make([]int32, len(g.words))
	value := make([]float64, len(g.words))
	numeric := true
	for i, w := range g.words {
		var err error
		if value[i], err = strconv.ParseFloat(w, 64); err != nil || math.IsNaN(value[i]) || math.IsInf(value[i], 0) {
			numeric = false
		}
	}
	var ordered []string
	for _, f := range g.files {
		if f.classes != nil {
			ordered = f.classes
		}
	}
	canonical := slices.Clone(g.words)
	if numeric {
		for i, v := range value {
			if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
				return nil, nil, fmt.Errorf("%s has the label %s: numbers between classes are no classes; round them, or name "+
					"another column (data.label)",
					g.place(int32(i)), g.words[i])
			}
			canonical[i] = strconv.FormatFloat(v+0, 'f', 0, 64)
		}
	}
	at := map[string]bool{}
	for _, w := range canonical {
		if !at[w] {
			at[w] = true
			names = append(names, w)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if numeric {
			x, _ := strconv.ParseFloat(a, 64)
			y, _ := strconv.ParseFloat(b, 64)
			return cmp.Compare(x, y)
		}
		return cmp.Or(slices.Index(ordered, a)-slices.Index(ordered, b), cmp.Compare(a, b))
	})
	for i, w := range canonical {
		of[i] = int32(slices.Index(names, w))
	}
	return names, of, nil
}

// place is where the word id occurs first.
func (g *gatheredTexts) place(id int32) (at textPlace) {
	for part := int32(-1); part < parts && at.line == 0; part++ {
		at = g.first[[2]int32{id, part}]
	}
	return at
}

// arrange makes the set of what was read from path.
func (g *gatheredTexts) arrange(path string, o TextOptions, opt Options) (*Sentences, error) {
	if len(g.text) == 0 {
		return nil, fmt.Errorf("%s: holds no texts", path)
	}
	names, of, err := g.classes()
	if err != nil {
		return nil, err
	}
	s := &Sentences{Name: nameOfPath(path), Text: g.text, Labels: g.labels, Classes: names, Source: path, Files: g.files}
	for i, id := range g.labels {
		s.Labels[i] = of[id]
	}
	var index [parts][]int32
	var rest []int32
	for i, p := range g.part {
		if p < 0 {
			rest = append(rest, int32(i))
		} else {
			index[p] = append(index[p], int32(i))
		}
	}
	if len(rest) > 0 && len(index[partVal])+len(index[partTest]) > 0 && len(index[partTrain]) > 0 {
		return nil, fmt.Errorf("%s: %d texts belong to no part, others to training, validation or test", path, len(rest))
	}
	index[partTrain] = append(index[partTrain], rest...)
	if len(index[partTrain]) == 0 {
		return nil, fmt.Errorf("%s: holds no texts to train on, only others; call a file, a folder or a split train", path)
	}
	if err := g.knownLabels(names, of); err != nil {
		return nil, err
	}
	if len(names) < 2 {
		return nil, fmt.Errorf("%s: has one class, %.40q, want at least two", path, names[0])
	}
	for _, p := range []struct {
		part int
		size float64
		key  string
	}{{partTest, o.Test, "data.test"}, {partVal, o.Val, "data.val"}} {
		if len(index[p.part]) > 0 {
			if p.size > 0 {
				return nil, fmt.Errorf("%s: %s is set, but the set has a %s part of its own", path, p.key, partNames[p.part])
			}
			continue
		}
		from := index[partTrain]
		size := cmp.Or(p.size, DefaultHeldOut)
		if index[partTrain], index[p.part], err = s.draw(from, size, partNames[p.part]); err != nil {
			return nil, fmt.Errorf("%s: %w (%s)", path, err, p.key)
		}
		if opt.Say != nil {
			opt.Say("%d of %d texts drawn for %s, of each class its share (%s)", len(index[p.part]), len(from),
				partNames[p.part], p.key)
		}
	}
	s.Train, s.Val, s.Test = index[partTrain], index[partVal], index[partTest]
	trained := make([]bool, len(names))
	for _, i := range s.Train {
		trained[s.Labels[i]] = true
	}
	if c := slices.Index(trained, false); c >= 0 {
		return nil, fmt.Errorf("%s: no text of the class %.40q is left to train on", path, names[c])
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", names)
	for _, part := range index {
		fmt.Fprintf(h, "%d\n", len(part))
		for _, i := range part {
			fmt.Fprintf(h, "%d %d\n%s\n", s.Labels[i], len(s.Text[i]), s.Text[i])
		}
	}
	s.Fingerprint = hex.EncodeToString(h.Sum(nil))
	return s, nil
}

// nameOfPath returns the name of a set in records: the last element of its path, control characters left out.
func nameOfPath(path string) string {
	const most = 200 // bytes, as records have them
	name := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '/' || r == '\\' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(filepath.Base(path), ""))
	for len(name) > most {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return cmp.Or(name, "texts")
}

// knownLabels returns an error for a label in validation or test that no training text has.
func (g *gatheredTexts) knownLabels(names []string, of []int32) error {
	trained := make([]bool, len(names))
	for key := range g.first {
		if p := key[1]; p == partTrain || p < 0 {
			trained[of[key[0]]] = true
		}
	}
	for id, word := range g.words {
		if trained[of[id]] {
			continue
		}
		return fmt.Errorf("%s has the label %.40q, which no training text has", g.place(int32(id)), word)
	}
	return nil
}

// draw takes a part of size off the texts of index: of each class its share, at least a text of each being left. Both
// keep the order of the set.
func (s *Sentences) draw(index []int32, size float64, key string) (rest, part []int32, err error) {
	want := int(math.Round(size))
	if size < 1 {
		want = max(1, int(math.Round(size*float64(len(index)))))
	}
	if want >= len(index) {
		return nil, nil, fmt.Errorf("%d of %d texts cannot be drawn for %s", want, len(index), key)
	}
	byClass := make([][]int32, len(s.Classes))
	for _, i := range index {
		byClass[s.Labels[i]] = append(byClass[s.Labels[i]], i)
	}
	drawn := map[int32]bool{}
	taken, seen := 0, 0
	for c, all := range byClass {
		seen += len(all)
		n := (2*want*seen+len(index))/(2*len(index)) - taken // cumulative and rounded, so that the shares add up
		taken += n
		order := make([]int32, len(all))
		r := rng.New(0, "texts for "+key, 0, uint64(c))
		r.Perm(order)
		for _, k := range order[:min(n, max(0, len(all)-1))] {
			drawn[all[k]] = true
		}
	}
	for _, i := range index {
		if drawn[i] {
			part = append(part, i)
		} else {
			rest = append(rest, i)
		}
	}
	if len(part) == 0 {
		return nil, nil, fmt.Errorf("no text of %d can be drawn for %s: each class has but one", len(index), key)
	}
	return rest, part, nil
}

// say tells what was left out and what repeats.
func (g *gatheredTexts) say(s *Sentences, opt Options) {
	if opt.Say == nil {
		return
	}
	for _, f := range g.files {
		if f.Encoding != "" && f.Encoding != "UTF-8" {
			opt.Say("%s is not UTF-8; read as %s", f.Path, f.Encoding)
		}
		if f.Empty > 0 && f.Text != "" {
			opt.Say("%s: %d of %d rows have no text and are left out, the first in %s %d", f.Path, f.Empty, f.Rows,
				f.order, f.firstEmpty)
		}
	}
	if r := s.Repeats(); r.Across > 0 {
		opt.Say("%d texts of validation or test repeat one of another part apart from spacing and punctuation, so that a "+
			"model is tested on what it has seen; of these and of %d repeats within a part, %d have another label", r.Across,
			r.Within, r.OtherLabel)
	}
}
