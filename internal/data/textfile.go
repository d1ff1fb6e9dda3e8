package data

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dla/internal/parquet"
	"dla/internal/plainfile"
)

// TextColumns names the columns of a file of labelled texts. An empty name is found among the usual ones. A number,
// from 1, counts the columns of a file without a header.
type TextColumns struct{ Text, Label, Split string }

// The usual names of columns, the first that is there being taken.
var (
	usualText  = []string{"text", "sentence", "review", "content", "document"}
	usualLabel = []string{"label", "sentiment", "class", "category", "target"}
	usualSplit = []string{"split"}
)

// maxRow bounds a row: more is an open quote that runs through the file, or no table.
const maxRow = 16 << 20

// textRow is a labelled text and the line that it begins in; of a parquet file its row. A label that is not given is
// "".
type textRow struct {
	text, label, split string
	line               int
}

// TextFile says how a file of texts was read.
type TextFile struct {
	Path     string `json:"path"`
	Rows     int    `json:"rows"`
	Empty    int    `json:"empty"` // rows without a text, which are left out
	Encoding string `json:"encoding,omitempty"`
	Text     string `json:"text_column,omitempty"`
	Label    string `json:"label_column,omitempty"`
	Split    string `json:"split_column,omitempty"`

	firstEmpty int      // line
	classes    []string // names of the labels in their order, where the file has them
	order      string   // unit of the line numbers where it is not the line
}

// isTable says whether name is that of a table of texts.
func isTable(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet":
		return true
	}
	return false
}

// readTable reads the table at path and calls add for every row with a text, in order.
func readTable(path string, by TextColumns, add func(textRow) error) (*TextFile, error) {
	f, size, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file := &TextFile{Path: path}
	counted := func(r textRow) error {
		file.Rows++
		if r.text = strings.TrimSpace(r.text); r.text == "" {
			if file.Empty++; file.Empty == 1 {
				file.firstEmpty = r.line
			}
			return nil
		}
		r.label = strings.TrimSpace(r.label)
		return add(r)
	}
	if ext := strings.ToLower(filepath.Ext(path)); ext == ".parquet" {
		err = file.readParquet(f, size, by, counted)
	} else {
		var r io.Reader
		if r, file.Encoding, err = openText(f); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch ext {
		case ".csv", ".tsv":
			err = file.readRows(f, r, by, counted)
		default:
			err = file.readLines(r, by, counted)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if file.Rows == 0 {
		return nil, fmt.Errorf("%s: holds no rows", path)
	}
	return file, nil
}

// records is a table that is read row by row.
type records interface {
	next() (fields []string, line int, err error) // valid until the next call
}

// quoted reads rows whose fields may stand in quotes, with line breaks in them (RFC 4180).
type quoted struct {
	*csv.Reader
	row *rowLimit
}

// rowLimit fails a row of more than maxRow bytes: of an open quote it is the rest of the file.
type rowLimit struct {
	r    io.Reader
	left int
}

func (l *rowLimit) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRow
	}
	n, err := l.r.Read(b[:min(len(b), l.left)])
	l.left -= n
	return n, err
}

var errRow = fmt.Errorf("a row of more than %d MB begins; a quote may be open", maxRow>>20)

func newQuoted(r io.Reader, comma rune) *quoted {
	limit := &rowLimit{r, maxRow}
	q := &quoted{csv.NewReader(limit), limit}
	q.Comma, q.FieldsPerRecord, q.ReuseRecord = comma, -1, true
	return q
}

func (q *quoted) next() ([]string, int, error) {
	line := 0
	if at := q.InputOffset(); at > 0 {
		line, _ = q.FieldPos(0)
	}
	q.row.left = maxRow
	fields, err := q.Read()
	var parse *csv.ParseError
	switch {
	case errors.Is(err, errRow):
		return nil, 0, fmt.Errorf("after line %d %w", line, errRow)
	case errors.As(err, &parse):
		return nil, 0, fmt.Errorf("line %d: %w; double a quote that is part of a field, and put the field in quotes",
			parse.StartLine, parse.Err)
	case err != nil:
		return nil, 0, err
	}
	line, _ = q.FieldPos(0)
	return fields, line, nil
}

// unquoted reads rows of fields between tabs, in which a quote is a character as any other.
type unquoted struct {
	lines *bufio.Scanner
	line  int
}

func (u *unquoted) next() ([]string, int, error) {
	for u.lines.Scan() {
		u.line++
		if text := u.lines.Text(); text != "" {
			return strings.Split(text, "\t"), u.line, nil
		}
	}
	if err := u.lines.Err(); err != nil {
		return nil, 0, longLine(err, u.line+1)
	}
	return nil, 0, io.EOF
}

func newScanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxRow)
	return s
}

func longLine(err error, line int) error {
	if errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d is longer than %d MB", line, maxRow>>20)
	}
	return err
}

// openRows returns the rows of the file f, whose text is r. Files with tabs are often written without quotes: where the
// quotes of one do not pair, they are characters.
func (t *TextFile) openRows(f io.ReadSeeker, r io.Reader) (records, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	comma := '\t'
	if strings.ToLower(filepath.Ext(t.Path)) == ".csv" {
		comma = delimiter(in)
		return newQuoted(in, comma), nil
	}
	check := newQuoted(in, comma)
	for {
		_, _, err := check.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			comma = 0
			break
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r, _, err := openText(f)
	if err != nil {
		return nil, err
	}
	if comma == 0 {
		return &unquoted{lines: newScanner(r)}, nil
	}
	return newQuoted(r, comma), nil
}

// delimiter returns what parts the fields of the first line: commas, or where it has none, tabs or semicolons.
func delimiter(in *bufio.Reader) rune {
	head, _ := in.Peek(1 << 16)
	line, _, _ := bytes.Cut(head, []byte("\n"))
	for _, c := range ",\t;" {
		if bytes.ContainsRune(line, c) {
			return c
		}
	}
	return ','
}

// firstRows is how many rows decide which of two columns without names is the label.
const firstRows = 256

// readRows reads the rows of a csv or tsv file.
func (t *TextFile) readRows(f io.ReadSeeker, r io.Reader, by TextColumns, add func(textRow) error) error {
	in, err := t.openRows(f, r)
	if err != nil {
		return err
	}
	type numbered struct {
		fields []string
		line   int
	}
	var first []numbered
	for len(first) < firstRows {
		fields, line, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		first = append(first, numbered{slices.Clone(fields), line})
	}
	if len(first) == 0 {
		return errors.New("holds no rows")
	}
	rows := make([][]string, len(first))
	for i, n := range first {
		rows[i] = n.fields
	}
	c, err := findColumns(rows, by)
	if err != nil {
		return err
	}
	t.Text, t.Label, t.Split = c.name(c.text), c.name(c.label), c.name(c.split)
	suspect := "" // the label in the first row, where that may be a header of other names
	width := len(rows[0])
	one := func(fields []string, line int) error {
		if len(fields) != width {
			return fmt.Errorf("line %d has %d fields, the first row %d; a field with a delimiter or a line break "+
				"stands in quotes",
				line, len(fields), width)
		}
		row := textRow{text: strings.Clone(fields[c.text]), label: strings.Clone(fields[c.label]), line: line}
		if c.split >= 0 {
			row.split = strings.TrimSpace(fields[c.split])
		}
		if row.label == suspect && t.Rows > 0 {
			suspect = ""
		}
		return add(row)
	}
	if c.header {
		first = first[1:]
	} else if c.guessed {
		suspect = rows[0][c.label]
	}
	for _, n := range first {
		if err := one(n.fields, n.line); err != nil {
			return err
		}
	}
	for {
		fields, line, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = one(fields, line)
		}
		if err != nil {
			return err
		}
	}
	if suspect != "" && t.Rows > 2 {
		return fmt.Errorf("line 1 (%.40q, %.40q) has a label that no other has, so it may be a header; name the columns "+
			"(data.text, data.label), or give their numbers if it is a row", rows[0][0], rows[0][1])
	}
	return nil
}

// columns are the places of the columns in a row; -1: there is none.
type columns struct {
	names              []string
	text, label, split int
	header             bool
	guessed            bool // by their content
}

func (c columns) name(i int) string {
	switch {
	case i < 0:
		return ""
	case !c.header:
		return strconv.Itoa(i + 1)
	}
	return c.names[i]
}

// findColumns finds the columns of a table from its first rows.
func findColumns(rows [][]string, by TextColumns) (columns, error) {
	head := slices.Clone(rows[0])
	for i := range head {
		head[i] = strings.TrimSpace(head[i])
	}
	c := columns{names: head, text: -1, label: -1, split: -1}
	if n, ok := numbers(by, head); ok {
		c.text, c.label, c.split = n[0], n[1], n[2]
		return c, nil
	}
	found, err := namedColumns(head, by)
	if err == nil {
		found.header = true
		return found, nil
	}
	if len(head) == 2 && by == (TextColumns{}) && found.text < 0 && found.label < 0 {
		c.label = labelOfTwo(rows)
		c.text, c.guessed = 1-c.label, true
		return c, nil
	}
	return c, err
}

// numbers returns the places of columns that are given by their numbers.
func numbers(by TextColumns, head []string) (at [3]int, ok bool) {
	for i, name := range []string{by.Text, by.Label, by.Split} {
		if at[i] = -1; name == "" && i == 2 {
			continue
		}
		n, err := strconv.Atoi(name)
		if err != nil || n < 1 || n > len(head) || slices.Contains(head, name) {
			return at, false
		}
		at[i] = n - 1
	}
	return at, true
}

// namedColumns finds the columns among names.
func namedColumns(names []string, by TextColumns) (columns, error) {
	c := columns{names: names, text: -1, label: -1, split: -1}
	find := func(given string, usual []string) int {
		if given != "" {
			usual = []string{given}
		}
		for _, want := range usual {
			if i := slices.Index(names, want); i >= 0 {
				return i
			}
			if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, want) }); i >= 0 {
				return i
			}
		}
		return -1
	}
	c.text, c.label, c.split = find(by.Text, usualText), find(by.Label, usualLabel), find(by.Split, usualSplit)
	if len(names) == 2 { // the other is what the first is not
		switch {
		case c.text < 0 && c.label >= 0 && by.Text == "":
			c.text = 1 - c.label
		case c.label < 0 && c.text >= 0 && by.Label == "":
			c.label = 1 - c.text
		}
	}
	const most = 20
	listed := fmt.Sprintf("%.60q", names[:min(most, len(names))])
	if len(names) > most {
		listed += fmt.Sprintf(" and %d more", len(names)-most)
	}
	for _, col := range []struct {
		what, key, given string
		usual            []string
		at               int
	}{{"texts", "data.text", by.Text, usualText, c.text}, {"labels", "data.label", by.Label, usualLabel, c.label},
		{"splits", "data.split", by.Split, nil, c.split}} {
		switch {
		case col.at >= 0, col.given == "" && col.usual == nil:
		case col.given != "":
			return c, fmt.Errorf("has no column %q (%s); its columns are %s", col.given, col.key, listed)
		default:
			return c, fmt.Errorf("has no column of %s with a usual name (%s); its columns are %s; name it: --set %s=COLUMN",
				col.what, strings.Join(col.usual, ", "), listed, col.key)
		}
	}
	if c.text == c.label {
		return c, fmt.Errorf("the column %q cannot be both texts and labels", names[c.text])
	}
	return c, nil
}

// labelOfTwo returns which of two columns is the label: that of fewer different values, or of the shorter ones.
func labelOfTwo(rows [][]string) int {
	var different [2]map[string]bool
	var length [2]int
	for i := range 2 {
		different[i] = map[string]bool{}
		for _, r := range rows {
			if i < len(r) {
				different[i][r[i]] = true
				length[i] += len(r[i])
			}
		}
	}
	if cmp.Or(len(different[0])-len(different[1]), length[0]-length[1]) < 0 {
		return 0
	}
	return 1
}

// readLines reads an object of JSON a line.
func (t *TextFile) readLines(r io.Reader, by TextColumns, add func(textRow) error) error {
	lines := newScanner(r)
	var c columns
	n := 0
	for lines.Scan() {
		n++
		b := bytes.TrimSpace(lines.Bytes())
		if len(b) == 0 {
			continue
		}
		if b[0] == '[' && n == 1 {
			return errors.New("is one array of JSON; write one object a line (jsonl)")
		}
		var row map[string]json.RawMessage
		if err := json.Unmarshal(b, &row); err != nil || row == nil {
			return fmt.Errorf("line %d is no object of JSON, want one a line", n)
		}
		if c.names == nil {
			var names []string
			for name := range row {
				names = append(names, name)
			}
			slices.Sort(names)
			var err error
			if c, err = namedColumns(names, by); err != nil {
				return err
			}
			c.header = true
			t.Text, t.Label, t.Split = c.name(c.text), c.name(c.label), c.name(c.split)
		}
		one := textRow{line: n}
		for _, f := range []struct {
			name string
			to   *string
			text bool
		}{{t.Text, &one.text, true}, {t.Label, &one.label, false}, {t.Split, &one.split, false}} {
			if f.name == "" {
				continue
			}
			v, ok := row[f.name]
			if !ok {
				return fmt.Errorf("line %d has no %q, as the first has", n, f.name)
			}
			if !scalar(v, f.text, f.to) {
				return fmt.Errorf("line %d: %q is %.40s, want a word or a number", n, f.name, v)
			}
		}
		if err := add(one); err != nil {
			return err
		}
	}
	return longLine(lines.Err(), n+1)
}

// scalar sets to to the word, the number or the boolean v; null is "". Of a text only a word is one.
func scalar(v json.RawMessage, text bool, to *string) bool {
	switch {
	case string(v) == "null":
		return true
	case v[0] == '"':
		return json.Unmarshal(v, to) == nil
	case text || v[0] == '{' || v[0] == '[':
		return false
	}
	*to = string(v)
	return true
}

// readParquet reads the rows of a parquet file, a group of them at a time. Rows count from 1.
func (t *TextFile) readParquet(r io.ReaderAt, size int64, by TextColumns, add func(textRow) error) error {
	f, err := parquet.Open(r, size)
	if err != nil {
		return err
	}
	c, err := namedColumns(f.Columns(), by)
	if err != nil {
		return err
	}
	c.header = true
	t.Text, t.Label, t.Split = c.name(c.text), c.name(c.label), c.name(c.split)
	if !f.IsText(t.Text) {
		return fmt.Errorf("the column %q holds no texts; name the one that does (data.text)", t.Text)
	}
	names := classNames(f.Metadata("huggingface"), t.Label)
	n := 0
	for g := range f.Groups() {
		var values [3][]string
		for i, name := range []string{t.Text, t.Label, t.Split} {
			if name == "" {
				continue
			}
			if values[i], err = f.Values(g, name); err != nil {
				return err
			}
		}
		for i, text := range values[0] {
			n++
			row := textRow{text: text, label: values[1][i], line: n}
			if at, err := strconv.Atoi(row.label); err == nil && at >= 0 && at < len(names) {
				row.label, t.classes = names[at], names
			}
			if t.Split != "" {
				row.split = values[2][i]
			}
			if err := add(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// classNames returns the names that the datasets library keeps of the labels of a column; nil where it has none.
func classNames(metadata, column string) []string {
	var m struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	var label struct {
		Type  string   `json:"_type"`
		Names []string `json:"names"`
	}
	if json.Unmarshal([]byte(metadata), &m) != nil || json.Unmarshal(m.Info.Features[column], &label) != nil ||
		label.Type != "ClassLabel" {
		return nil
	}
	seen := map[string]bool{}
	for _, n := range label.Names {
		if n = strings.TrimSpace(n); n == "" || seen[n] {
			return nil
		}
		seen[n] = true
	}
	return label.Names
}
