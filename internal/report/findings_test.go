package report

import (
	"encoding/json"
	"testing"

	"dla/internal/run"
)

// quoted are tables as sections make them.
var quoted = map[string]madeTable{
	"study": {n: 10000, on: "10000 images", text: "| network | seeds | test accuracy % |\n|---|---:|---:|\n" +
		"| d1 plain | 3 | 98.19 ± 0.10 |\n| d1 residual | 1 | 79.61 |\n| d2 residual, distilled | 3 | 1 |\n"},
	"two keys": {n: 1066, on: "1066 sentences",
		text: "| encoder | trained | seeds | gain, points |\n|---|---|---:|---:|\n" +
			"| MiniLM | LoRA | 2 | 79.60 |\n| MiniLM | all weights | 2 | 83.07 |\n"},
	"sizes": {n: 10000, on: "10000 images",
		text: "| attack | images | accuracy % |\n|---|---:|---:|\n| Square | 500 | 0.40 |\n| Circle | all | 1 |\n"},
	"robust": {n: 10000, on: "10000 images", text: "| a, 4 seeds | original | a | a |\n|---|---|---|---|\n" +
		"| accuracy %, 500 images | 7.00 (6.52 to 7.52) | 1 | 2 |\n\nwords\n\n| check | original |\n|---|---|\n| accuracy % | no |\n"},
}

// TestFindings: numbers are cells of other tables; an accuracy without a spread gets its interval; the sample is named.
func TestFindings(t *testing.T) {
	got, err := findings([]Finding{
		{Lab: "1", Finding: "Depth costs nothing", Measure: "test accuracy, %", Command: "make x",
			Link: "results/lab1/README.md#mlps",
			Numbers: []Number{{"plain", "study", "d1 plain", "test accuracy %"},
				{"residual", "study", "d1 residual", "test accuracy %"}}},
		{Lab: "3", Finding: "All is best", Measure: "gain", Command: "make y", Link: "results/lab3/README.md",
			Numbers: []Number{{"", "two keys", "MiniLM | all weights", "gain, points"}}},
		{Lab: "4", Finding: "Attacks work", Measure: "accuracy, %", Command: "make z", Link: "results/lab4/README.md",
			Numbers: []Number{{"", "robust", "accuracy %, 500 images", "original"}}},
		{Lab: "4", Finding: "Squares too", Measure: "accuracy, %", Command: "make z", Link: "results/lab4/README.md",
			Numbers: []Number{{"", "sizes", "Square", "accuracy %"}}},
	}, quoted)
	if err != nil {
		t.Fatal(err)
	}
	want := "| lab | finding | measured | n | command | details |\n|---|---|---|---|---|---|\n" +
		"| 1 | Depth costs nothing | test accuracy, %: plain 98.19 ± 0.10, residual 79.61 (78.81–80.39) | 1 or 3 seeds, 10000 images | `make x` | [lab1](results/lab1/README.md#mlps) |\n" +
		"| 3 | All is best | gain: 83.07 | 2 seeds, 1066 sentences | `make y` | [lab3](results/lab3/README.md) |\n" +
		"| 4 | Attacks work | accuracy, %: 7.00 (6.52 to 7.52) | 4 seeds, 500 images | `make z` | [lab4](results/lab4/README.md) |\n" +
		"| 4 | Squares too | accuracy, %: 0.40 (0.11–1.45) | 500 images | `make z` | [lab4](results/lab4/README.md) |\n"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestRowByItsBeginning: the first cell may be given up to a comma, where no cell is exactly that.
func TestRowByItsBeginning(t *testing.T) {
	for row, want := range map[string]string{"d2 residual": "1 (0.82–1.21)", "d1 residual": "79.61 (78.81–80.39)"} {
		q, err := quoted["study"].quote(Number{Row: row, Column: "test accuracy %"})
		if err != nil {
			t.Error(err)
		}
		if q.text != want {
			t.Errorf("%s is %s, want %s", row, q.text, want)
		}
	}
}

// TestFindingsRefuses: a number that cannot be found, or that is not the only one of its name, is an error.
func TestFindingsRefuses(t *testing.T) {
	whole := Finding{Lab: "1", Finding: "x", Measure: "y", Command: "z", Link: "README.md"}
	for want, n := range map[string]Number{
		`there is no section "nowhere"`:                 {"", "nowhere", "d1 plain", "test accuracy %"},
		`no row "d3 plain" with a column`:               {"", "study", "d3 plain", "test accuracy %"},
		`no row "d1 plain" with a column "accuracy"`:    {"", "study", "d1 plain", "accuracy"},
		`2 rows are called "MiniLM"`:                    {"", "two keys", "MiniLM", "gain, points"},
		`two columns are called "a"`:                    {"", "robust", "accuracy %, 500 images", "a"},
		`no row "words" with a column "original"`:       {"", "robust", "words", "original"},
		`strconv.Atoi: parsing "all"`:                   {"", "sizes", "Circle", "accuracy %"},
		`no row "" with a column "test accuracy %"`:     {"", "study", "", "test accuracy %"},
		`no row "d1 plain | 3 | 98.19 ± 0.10 | x" with`: {"", "study", "d1 plain | 3 | 98.19 ± 0.10 | x", "test accuracy %"},
	} {
		f := whole
		f.Numbers = []Number{n}
		wantError(t, want, func() error {
			_, err := findings([]Finding{f}, quoted)
			return err
		})
	}
	wantError(t, "finding 1 needs lab", func() error {
		_, err := findings([]Finding{whole}, quoted)
		return err
	})
}

// TestEvaluatedOn: the sample is read from the record.
func TestEvaluatedOn(t *testing.T) {
	for _, c := range []struct{ experiment, result, set, want string }{
		{"lab1/resnet", `{"test": {"n": 10}}`, "", "10 images"},
		{"lab3/baseline", `{"test": {"n": 10}}`, "", "10 sentences"},
		{"lab4/ood", `{"in": {"n": 4}, "sets": [{"name": "fake", "n": 3}]}`, "fake", "4 against 3 images"},
		{"lab4/ood", `{"in": {"n": 4}, "sets": [{"name": "fake", "n": 3}]}`, "", "4 images"},
		{"lab9/none", `{}`, "", ""},
	} {
		_, on, err := evaluatedOn([]run.Record{{Summary: run.Summary{Experiment: c.experiment},
			Result: json.RawMessage(c.result)}}, c.set)
		if err != nil {
			t.Error(err)
		}
		if on != c.want {
			t.Errorf("%s: %q, want %q", c.result, on, c.want)
		}
	}
}
