package report

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dla/internal/data"
	"dla/internal/metrics"
	"dla/internal/record"
	"dla/internal/run"
)

// testedOn makes the record of a classifier with the given predictions on data called name. As an older one it has no
// measures by class; index is the content of its test_index.csv, if any.
func testedOn(t *testing.T, name string, classes []string, labels, predicted []int32, older bool,
	index string) run.Record {
	t.Helper()
	root := t.TempDir()
	r, err := run.Create(root, run.Spec{Experiment: "lab1/resnet", Variant: "net", Config: []byte("seed: 0\n"),
		Env: run.Env{Data: run.DataInfo{Name: name, Fingerprint: "f"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := metrics.NewPredictions(predicted, labels)
	if err != nil {
		t.Fatal(err)
	}
	attach := func(name string, b []byte) run.Attachment {
		a, err := r.Attach(name, b)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	res := record.Classifier{}
	b, wide := p.Bytes()
	res.Predictions = attach(map[bool]string{false: "test_predictions.bin", true: record.WidePredictions}[wide], b)
	if index != "" {
		a := attach("test_index.csv", []byte(index))
		res.TestIndex = &a
	}
	if !older {
		c, err := metrics.NewConfusion(len(classes), labels, predicted)
		if err != nil {
			t.Fatal(err)
		}
		by, matrix, err := record.NewByClass(classes, c)
		if err != nil {
			t.Fatal(err)
		}
		by.Confusion = attach("test_confusion.csv", matrix)
		res.ByClass = by
	}
	if err := r.Finish(res); err != nil {
		t.Fatal(err)
	}
	rec, err := run.Find(root, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestConfusionOfRecords: new records have their confusion matrix, and older ones of two classes, or with the labels of
// their images, give it.
func TestConfusionOfRecords(t *testing.T) {
	labels, predicted := []int32{0, 0, 1, 1, 1}, []int32{0, 1, 1, 1, 0}
	want := metrics.Confusion{{1, 1}, {1, 2}}
	cifar := []int32{3, 3, 9}
	var places bytes.Buffer
	var list []data.Place
	for i, l := range cifar {
		at := int32(7 - i)
		list = append(list, data.Place{Index: i, Label: l, Published: &at})
	}
	if err := data.WritePlaces(&places, list); err != nil {
		t.Fatal(err)
	}
	odd := []string{"a, \"b\"", "c|d\ne"}
	for name, rec := range map[string]run.Record{
		"new":         testedOn(t, "moods.csv", odd, labels, predicted, false, ""),
		"two classes": testedOn(t, "rotten_tomatoes", nil, labels, predicted, true, ""),
		"labels":      testedOn(t, "cifar10", nil, cifar, []int32{3, 5, 9}, true, places.String()),
		"no labels":   testedOn(t, "cifar10", nil, cifar, []int32{3, 5, 9}, true, ""),
		"other labels": testedOn(t, "cifar10", nil, cifar, []int32{3, 5, 9}, true,
			strings.Replace(places.String(), ",3,", ",4,", 1)),
		"unknown": testedOn(t, "mine", nil, labels, predicted, true, ""),
	} {
		c, err := Confusion(rec)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case name == "no labels" || name == "other labels" || name == "unknown":
			if c != nil {
				t.Errorf("%s: %v", name, c)
			}
			if table, err := ClassTable(rec, 20); table != nil || err != nil {
				t.Errorf("%s: error %v, table\n%s", name, err, table)
			}
		case name == "labels":
			if c == nil || c.Names[3] != "cat" || c.Counts[3][3] != 1 || c.Counts[3][5] != 1 || c.Counts[9][9] != 1 {
				t.Errorf("%s: %v", name, c)
			}
		default:
			if c == nil || !reflect.DeepEqual(c.Counts, want) || name == "new" && !reflect.DeepEqual(c.Names, odd) ||
				name != "new" && !reflect.DeepEqual(c.Names, []string{"neg", "pos"}) {
				t.Errorf("%s: %v", name, c)
			}
		}
	}
}

func TestClassTable(t *testing.T) {
	rec := testedOn(t, "moods.csv", []string{"bad", "good", "odd"}, []int32{0, 0, 0, 1, 2, 2}, []int32{0, 1, 1, 1, 2, 0},
		false, "")
	const head = "| class | n | precision % | recall % | F1 % | most often taken for |\n|---|---:|---:|---:|---:|---|\n"
	want := head + "| bad | 3 | 50.00 | 33.33 | 40.00 | good (2) |\n| good | 1 | 33.33 | 100.00 | 50.00 |  |\n" +
		"| odd | 2 | 100.00 | 50.00 | 66.67 | bad (1) |\n| mean over classes (macro) | 6 | 61.11 | 61.11 | 52.22 |  |\n"
	if got, err := ClassTable(rec, 3); err != nil || got.Page() != want {
		t.Errorf("error %v\n%s\nwant\n%s", err, got, want)
	}
	if got, err := ClassTable(rec, 2); err != nil || !strings.Contains(got.Page(), "class, 2 of 3 with the lowest F1") ||
		strings.Contains(got.Page(), "odd |") {
		t.Errorf("error %v\n%s", err, got)
	}
	dir := t.TempDir()
	files, err := ClassFigures(rec, dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, error %v", files, err)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "confusion.svg"))
	if err != nil || !strings.Contains(string(svg), "macro F1 52.2 %") || strings.Count(string(svg), ">good<") != 2 {
		t.Errorf("error %v\n%s", err, svg)
	}
	if err := os.WriteFile(filepath.Join(rec.Dir, "test_confusion.csv"), []byte("class,a\na,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ClassTable(rec, 3); err == nil || !strings.Contains(err.Error(), "test_confusion.csv is damaged") {
		t.Errorf("a changed matrix: error %v", err)
	}
}

// TestReadConfusion: what is no matrix is an error.
func TestReadConfusion(t *testing.T) {
	for _, bad := range []string{"", "class\n", "class,a,b\na,1,2\n", "class,a\na,-1\n", "class,a\na,x\n",
		"class,a\na,1,2\n"} {
		if _, _, err := record.ReadConfusion([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
