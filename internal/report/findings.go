package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dla/internal/metrics"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/table"
)

// findingsTable is the kind of table that quotes cells of other tables.
const findingsTable = "findings"

// Finding is a row of the table of findings: a sentence written by hand, and the numbers behind it, which are read
// from the tables of other sections so that they cannot go stale.
type Finding struct {
	Lab     string   `yaml:"lab"`
	Finding string   `yaml:"finding"`
	Measure string   `yaml:"measure"` // what the numbers are, with the unit
	Numbers []Number `yaml:"numbers"`
	Command string   `yaml:"command"` // makes the records
	Link    string   `yaml:"link"`    // where the whole table is
}

// Number names a cell in the table of another section.
type Number struct {
	Label   string `yaml:"label"` // what the number belongs to; may be empty
	Section string `yaml:"section"`
	Row     string `yaml:"row"` // the first cell; the first cells, separated by " | "; or the first cell up to a comma
	Column  string `yaml:"column"`
}

// findings returns the list as a Markdown table. An accuracy without standard deviation or interval gets its 95 %
// Wilson interval.
func findings(list []Finding, tables map[string]madeTable) (string, error) {
	t := table.New("llllll", "lab", "finding", "measured", "n", "command", "details")
	for i, f := range list {
		if f.Lab == "" || f.Finding == "" || f.Measure == "" || f.Command == "" || f.Link == "" || len(f.Numbers) == 0 {
			return "", fmt.Errorf("finding %d needs lab, finding, measure, numbers, command and link", i+1)
		}
		var numbers, seeds, on []string
		for _, n := range f.Numbers {
			made, ok := tables[n.Section]
			if !ok {
				return "", fmt.Errorf("finding %d: there is no section %q", i+1, n.Section)
			}
			q, err := made.quote(n)
			if err != nil {
				return "", fmt.Errorf("finding %d: section %s: %w", i+1, n.Section, err)
			}
			numbers = append(numbers, strings.TrimSpace(n.Label+" "+q.text))
			seeds, on = appendNew(seeds, q.seeds), appendNew(on, q.on)
		}
		t.Row(f.Lab, f.Finding, f.Measure+": "+strings.Join(numbers, ", "),
			strings.Join(append(seedWords(seeds), on...), ", "),
			"`"+f.Command+"`", "["+strings.TrimSuffix(strings.TrimPrefix(pathOf(f.Link), "results/"),
				"/README.md")+"]("+f.Link+")")
	}
	return t.Page(), nil
}

// pathOf returns link without its anchor.
func pathOf(link string) string {
	path, _, _ := strings.Cut(link, "#")
	return path
}

// appendNew appends text unless it is empty or already in list.
func appendNew(list []string, text string) []string {
	if text == "" || slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// seedWords returns counts of seeds as words: "1 seed", "1 or 3 seeds"; nothing without counts.
func seedWords(counts []string) []string {
	switch {
	case len(counts) == 0:
		return nil
	case len(counts) == 1 && counts[0] == "1":
		return []string{"1 seed"}
	}
	slices.SortFunc(counts, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	return []string{strings.Join(counts, " or ") + " seeds"}
}

// quotation is a cell of a table, with the sample size according to its row and section.
type quotation struct{ text, seeds, on string }

// imagesInRow matches the number of images in the first cell of a row, where it differs between rows; seedsInHead
// matches the number of seeds in the first head of a table without a column of seeds.
var (
	imagesInRow = regexp.MustCompile(`, ([0-9]+ images)$`)
	seedsInHead = regexp.MustCompile(`, ([0-9]+) seeds$`)
)

// find returns the row of the cell n in m's tables, the head of that table, and the column. No such cell and several
// are errors.
func (m madeTable) find(n Number) (row, head []string, column int, err error) {
	lines := strings.Split(m.text, "\n")
	for _, exact := range []bool{true, false} {
		found := 0
		var heads []string // of the table that the line is in
		for i, line := range lines {
			if !strings.HasPrefix(line, "|") {
				continue
			}
			cells := cellsOf(line)
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---") {
				heads = cells
			}
			at := slices.Index(heads, n.Column)
			if at < 0 || len(cells) != len(heads) || !isRow(cells, n.Row, exact) {
				continue
			}
			if slices.Contains(heads[at+1:], n.Column) {
				return nil, nil, 0, fmt.Errorf("two columns are called %q", n.Column)
			}
			found, row, head, column = found+1, cells, heads, at
		}
		if found > 1 {
			return nil, nil, 0, fmt.Errorf("%d rows are called %q in column %q; divide the section with select", found, n.Row,
				n.Column)
		}
		if found == 1 {
			return row, head, column, nil
		}
	}
	return nil, nil, 0, fmt.Errorf("no row %q with a column %q", n.Row, n.Column)
}

// quote returns the cell n of m's tables with its sample. An accuracy that has neither standard deviation nor interval
// gets an interval.
func (m madeTable) quote(n Number) (q quotation, err error) {
	row, head, column, err := m.find(n)
	if err != nil {
		return q, err
	}
	size := m.n
	q.text, q.on = row[column], m.on
	if images := imagesInRow.FindStringSubmatch(row[0]); images != nil {
		q.on = images[1]
	}
	if i := slices.Index(head, "images"); i >= 0 {
		if size, err = strconv.Atoi(row[i]); err != nil {
			return q, err
		}
		q.on = row[i] + " images"
	}
	if i := slices.Index(head, "seeds"); i >= 0 {
		q.seeds = row[i]
	} else if seeds := seedsInHead.FindStringSubmatch(head[0]); seeds != nil {
		q.seeds = seeds[1]
	}
	if p, err := strconv.ParseFloat(q.text, 64); err == nil && strings.Contains(n.Column, "%") && size > 0 {
		lo, hi := metrics.WilsonMean(p/100, size)
		q.text = fmt.Sprintf("%s (%.2f–%.2f)", q.text, 100*lo, 100*hi)
	}
	return q, nil
}

// cellsOf returns the cells of a line of a table.
func cellsOf(line string) []string {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// isRow reports whether name is the first cells of a row, or, if not exact, the first cell up to a comma.
func isRow(cells []string, name string, exact bool) bool {
	if !exact {
		return strings.HasPrefix(cells[0], name+",")
	}
	parts := strings.Split(name, " | ")
	return len(parts) <= len(cells) && slices.Equal(cells[:len(parts)], parts)
}

// evaluatedOn returns the number of examples that the records, which share a data set, were evaluated on: test images
// or sentences. For detectors these are the in-distribution images, and those of the set of outliers if set is not
// empty.
func evaluatedOn(recs []run.Record, set string) (n int, on string, err error) {
	var res struct {
		record.OOD
		Test record.Test `json:"test"`
	}
	if err := record.Read(recs[0], &res); err != nil {
		return 0, "", err
	}
	i := slices.IndexFunc(res.Sets, func(s record.OODSet) bool { return s.Name == set })
	switch {
	case set != "" && i >= 0:
		return 0, fmt.Sprintf("%d against %d images", res.In.N, res.Sets[i].N), nil
	case res.In.N > 0:
		return res.In.N, fmt.Sprintf("%d images", res.In.N), nil
	case res.Test.N == 0:
		return 0, "", nil
	case strings.HasPrefix(recs[0].Experiment, "lab3/"):
		return res.Test.N, fmt.Sprintf("%d sentences", res.Test.N), nil
	}
	return res.Test.N, fmt.Sprintf("%d images", res.Test.N), nil
}
