package table

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

// results is a table of two networks, the second of one seed with an interval of its test set.
func results() *Table {
	t := New("lrrr", "network", "seeds", "test accuracy %", "wall time, s").Titled("CIFAR-10")
	t.Mark(Largest, true, "test accuracy %")
	t.Row("d1_plain", 3, Spread("%.2f", []float64{91.5, 91.25, 91.75}), Number("%.1f", 1.0/3))
	t.Row("d1 & <b>|", 1, Spread("%.2f", []float64{92.5}).Within(91, 93.125), Cell{Text: "–"})
	return t
}

func written(t *testing.T, format string, ts Tables) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, format, ts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestFormats: one table in every format that people read.
func TestFormats(t *testing.T) {
	ts := Of(results())
	ts.Say("On %d images.", 10)
	for format, want := range map[string]string{
		Text: `CIFAR-10
network    seeds  test accuracy %  95 % interval  wall time, s
d1_plain       3    91.50 ± 0.25     90.88–92.12           0.3
d1 & <b>|      1           92.50*    91.00–93.12             –

On 10 images.
`,
		Markdown: `**CIFAR-10**

| network | seeds | test accuracy % | 95 % interval | wall time, s |
|---|---:|---:|---:|---:|
| d1_plain | 3 | 91.50 ± 0.25 | 90.88–92.12 | 0.3 |
| d1 \& \<b\>\| | 1 | **92.50** | 91.00–93.12 | – |

On 10 images.
`,
		LaTeX: `% \usepackage{booktabs}
% CIFAR-10
\begin{tabular}{lrrrr}
\toprule
network & seeds & test accuracy \% & 95 \% interval & wall time, s \\
\midrule
d1\_plain & 3 & 91.50 $\pm$ 0.25 & 90.88--92.12 & 0.3 \\
d1 \& \textless{}b\textgreater{}\textbar{} & 1 & \textbf{92.50} & 91.00--93.12 & -- \\
\bottomrule
\end{tabular}

% On 10 images.
`,
	} {
		if got := written(t, format, ts); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", format, got, want)
		}
	}
	if err := Write(&strings.Builder{}, "pdf", ts); err == nil || !strings.Contains(err.Error(), "text, markdown, csv") {
		t.Errorf("an unknown format: %v", err)
	}
}

// TestCSV: numbers have full precision, and a statistic five fields.
func TestCSV(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(written(t, CSV, Of(results())))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	half := 4.302652729911275 * 0.25 / math.Sqrt(3)
	want := [][]string{
		{"network", "seeds", "test_accuracy_percent_n", "test_accuracy_percent_mean", "test_accuracy_percent_sd",
			"test_accuracy_percent_lower", "test_accuracy_percent_upper", "wall_time_s"},
		{"d1_plain", "3", "3", "91.5", "0.25", rows[1][5], rows[1][6], "0.3333333333333333"},
		{"d1 & <b>|", "1", "1", "92.5", "", "91", "93.125", ""},
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("%q\nwant\n%q", rows, want)
	}
	var lower float64
	if err := json.Unmarshal([]byte(rows[1][5]), &lower); err != nil || math.Abs(lower-(91.5-half)) > 1e-9 {
		t.Errorf("lower bound %s, want %g", rows[1][5], 91.5-half)
	}
}

// TestSeveralTablesInCSV: they are one rectangle, which names the table of each row.
func TestSeveralTablesInCSV(t *testing.T) {
	second := New("lr", "network", "p")
	second.Row("a,\"b\"", 0.5)
	got := written(t, CSV, Of(results(), second))
	rows, err := csv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if last := rows[3]; len(rows) != 4 || rows[0][0] != "table" || last[0] != "2" || last[1] != `a,"b"` ||
		last[len(last)-1] != "0.5" || rows[1][0] != "1" {
		t.Errorf("%q", rows)
	}
}

// TestJSON: rows are objects in the order of the columns, and what is unknown is null.
func TestJSON(t *testing.T) {
	tab := New("lrr", "x", "x", "seed")
	tab.Row("a", Spread("%.0f", []float64{1}), uint64(math.MaxUint64))
	text := written(t, JSON, Of(tab))
	var got struct {
		Tables []struct {
			Columns []jsonColumn
			Rows    []struct {
				X    string
				X2   statistic `json:"x_2"`
				Seed json.Number
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	r := got.Tables[0].Rows[0]
	if r.X != "a" || r.X2.N != 1 || *r.X2.Mean != 1 || r.X2.SD != nil || r.X2.Lower != nil ||
		r.Seed != "18446744073709551615" || got.Tables[0].Columns[1] != (jsonColumn{"x_2", "x", kindStatistic}) {
		t.Errorf("%+v in\n%s", got, text)
	}
	if i, j := strings.Index(text, `"x_2": {`), strings.Index(text, `"seed": 1`); i < 0 || j < i {
		t.Errorf("fields are not in order:\n%s", text)
	}
}

// TestBest: the best values as far as readers see; none where all are as good, or where only one is.
func TestBest(t *testing.T) {
	for _, c := range []struct {
		best   Best
		values []float64
		want   []bool
	}{
		{Largest, []float64{1, 3, 2}, []bool{false, true, false}},
		{Least, []float64{1, 3, 2}, []bool{true, false, false}},
		{Largest, []float64{1.001, 1.002, 0}, []bool{true, true, false}},
		{Largest, []float64{2, 2}, []bool{false, false}},
		{Largest, []float64{2}, []bool{false}},
		{Largest, []float64{math.NaN(), 2, 1}, []bool{false, true, false}},
		{None, []float64{1, 3}, []bool{false, false}},
	} {
		tab := New("r", "x").Mark(c.best, false, "x")
		for _, v := range c.values {
			tab.Row(Number("%.2f", v))
		}
		if got := tab.best(0); !reflect.DeepEqual(got, c.want) {
			t.Errorf("best %d of %v: %v, want %v", c.best, c.values, got, c.want)
		}
	}
}

// TestCellsStayCells: a name from a record cannot end a cell or a row of a page.
func TestCellsStayCells(t *testing.T) {
	tab := New("lr", "name", "n")
	tab.Row("a|b\nc", 3)
	tab.Row("d")
	if want := "| name | n |\n|---|---:|\n| a\\|b c | 3 |\n| d |  |\n"; tab.Page() != want {
		t.Errorf("%q, want %q", tab.Page(), want)
	}
}

// TestEscapeMarkdown: hostile text stays text, and ordinary text stays readable.
func TestEscapeMarkdown(t *testing.T) {
	for text, want := range map[string]string{
		"val_acc %, best epoch":     "val_acc %, best epoch",
		"-0.12 ± 0.05 (1.0–2.0)":    "-0.12 ± 0.05 (1.0–2.0)",
		"<script>a</script>":        `\<script\>a\</script\>`,
		"[x](javascript:alert(1))":  `\[x\](javascript:alert(1))`,
		"![x](http://a.example)":    `\!\[x\](http\://a.example)`,
		"_a_ **b** `c` ~d~ $e$ &lt": "\\_a\\_ \\*\\*b\\*\\* \\`c\\` \\~d\\~ \\$e\\$ \\&lt",
		"# head":                    `\# head`,
		"- item\n1. one\n2.5":       "\\- item\n1\\. one\n2.5",
		"a@b.example":               `a\@b.example`,
		"\xff|":                     "\ufffd\\|",
	} {
		if got := EscapeMarkdown(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestEscapeLaTeX: every sign that LaTeX acts on is escaped.
func TestEscapeLaTeX(t *testing.T) {
	for text, want := range map[string]string{
		`\input{x} $a$ #1 100 % ^~_ &`: `\textbackslash{}input\{x\} \$a\$ \#1 100 \% \textasciicircum{}\textasciitilde{}\_ \&`,
		"-0.5 (-1 to 2) a-b a--b":      `$-$0.5 ($-$1 to 2) a-b a-{}-b`,
		"1\x00\n2":                     "1  2",
	} {
		if got := EscapeLaTeX(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	tab := New("l", "x")
	tab.Row("[1cm]")
	if got := tab.latex(); !strings.Contains(got, "\n{}[1cm] \\\\\n") {
		t.Errorf("a bracket at the beginning of a row:\n%s", got)
	}
}
