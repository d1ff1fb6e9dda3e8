package data

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// written writes files into a new folder and returns it.
func written(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// said collects what ReadTexts says.
func said(to *[]string) Options {
	return Options{Say: func(format string, args ...any) { *to = append(*to, fmt.Sprintf(format, args...)) }}
}

// partsOf are the texts of each part with their classes.
func partsOf(s *Sentences) (all [3][]string) {
	for p, index := range [][]int32{s.Train, s.Val, s.Test} {
		for _, i := range index {
			all[p] = append(all[p], s.Classes[s.Labels[i]]+":"+s.Text[i])
		}
	}
	return all
}

// threeClasses are the parts of the sets that TestTextForms writes.
var threeClasses = [3][]string{
	{"neg:bad, really", "neu:so so", "pos:good\n“fine”", "neg:awful", "neu:it is", "pos:great"},
	{"neg:dull", "pos:nice"},
	{"pos:lovely", "neu:ok"},
}

// TestTextForms: the same texts in every form are the same set.
func TestTextForms(t *testing.T) {
	quoted := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	form := func(row func(label, text string) string) (parts [3]string) {
		for p, all := range threeClasses {
			for _, one := range all {
				label, text, _ := strings.Cut(one, ":")
				parts[p] += row(label, text)
			}
		}
		return parts
	}
	csv := form(func(l, s string) string { return quoted(s) + "," + l + "\n" })
	tsv := form(func(l, s string) string { return "1\t" + l + "\t" + quoted(s) + "\r\n" })
	semicolons := form(func(l, s string) string { return l + ";" + quoted(s) + "\n" })
	jsonl := form(func(l, s string) string {
		return fmt.Sprintf("{\"sentence\": %q, \"id\": [1], \"category\": %q}\n", s, l)
	})
	split := ""
	for p, part := range form(func(l, s string) string { return quoted(s) + "," + l + ",SPLIT\n" }) {
		split += strings.ReplaceAll(part, "SPLIT", []string{"train", "dev", "Test"}[p])
	}
	byClass, part := map[string]string{}, []string{"train", "val", "test"}
	for p, all := range threeClasses {
		for i, one := range all {
			label, text, _ := strings.Cut(one, ":")
			byClass[fmt.Sprintf("set/%s/%s/%d.txt", part[p], label, i)] = text + "\n"
		}
	}
	byClass["set/train/urls.txt"], byClass["set/README.md"], byClass["set/train/unsup/1.txt"] = "no text", "no text", "no label"
	for name, c := range map[string]struct {
		files map[string]string
		at    string
		by    TextColumns
	}{
		"csv": {map[string]string{"train.csv": "text,label\n" + csv[0], "validation.csv": "text,label\n" + csv[1],
			"test.csv": "Text , LABEL\n" + csv[2]}, "", TextColumns{}},
		"no header": {map[string]string{"train.csv": csv[0], "validation.csv": csv[1], "test.csv": csv[2]}, "",
			TextColumns{}},
		"tsv": {map[string]string{"x/train.tsv": "id\tclass\treview\n" + tsv[0],
			"x/dev.tsv": "id\tclass\treview\n" + tsv[1], "x/test.tsv": "id\tclass\treview\n" + tsv[2]}, "", TextColumns{}},
		"numbers": {map[string]string{"train.tsv": tsv[0], "dev.tsv": tsv[1], "test.tsv": tsv[2]}, "",
			TextColumns{Text: "3", Label: "2"}},
		"semicolons": {map[string]string{"train.csv": "mood;label\n" + semicolons[0],
			"val.csv": "label;document\n" + semicolons[1], "test.csv": "label;document\n" + semicolons[2]}, "", TextColumns{}},
		"jsonl": {map[string]string{"train/a.jsonl": jsonl[0], "valid/a.jsonl": jsonl[1], "test/a.jsonl": jsonl[2],
			"info.json": "{}"}, "", TextColumns{}},
		"split": {map[string]string{"all.csv": "text,label,split\n" + split}, "all.csv", TextColumns{}},
		"one table": {map[string]string{"all.csv": "text,label,split\n" + split, "notes.txt": "no text"}, "",
			TextColumns{}},
		"given names": {map[string]string{"all.csv": "What, which one,Part\n" + split}, "all.csv",
			TextColumns{"What", "which one", "Part"}},
		"UTF-16": {map[string]string{"all.csv": string(utf16Of("text,label,split\n"+split, true))}, "all.csv",
			TextColumns{}},
		"by class": {byClass, "", TextColumns{}},
	} {
		if name == "semicolons" { // the columns in another order
			c.files["train.csv"] = "label;text\n" + semicolons[0]
		}
		s, err := ReadTexts(t.Context(), filepath.Join(written(t, c.files), c.at), TextOptions{TextColumns: c.by}, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, want := partsOf(s), threeClasses
		if name == "by class" { // class by class
			for p := range want {
				want[p] = slices.Clone(want[p])
				slices.Sort(got[p])
				slices.Sort(want[p])
			}
		}
		if !reflect.DeepEqual(got, want) || !slices.Equal(s.Classes, []string{"neg", "neu", "pos"}) ||
			len(s.Fingerprint) != 64 {
			t.Errorf("%s: classes %q, parts %q", name, s.Classes, got)
		}
	}
}

// TestLinesByClass: CLASS.txt holds a text a line.
func TestLinesByClass(t *testing.T) {
	var lines []string
	dir := written(t, map[string]string{"train/no.txt": "one\n\ntwo\r\n", "train/yes.txt": "thr\xe9e", "val/no.txt": "v",
		"test/yes.txt": "four\n"})
	s, err := ReadTexts(t.Context(), dir, TextOptions{}, said(&lines))
	if err != nil || !reflect.DeepEqual(partsOf(s), [3][]string{{"no:one", "no:two", "yes:thrée"}, {"no:v"},
		{"yes:four"}}) {
		t.Errorf("error %v, %+v", err, s)
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "yes.txt is not UTF-8; read as Windows-1252") {
		t.Errorf("said %q", lines)
	}
}

// TestParquetTexts: names of classes come from the file, in its order.
func TestParquetTexts(t *testing.T) {
	s, err := ReadTexts(t.Context(), "testdata/texts.parquet", TextOptions{Val: 3, Test: 0.2}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Classes, []string{"sports", "arts", "business"}) ||
		s.Text[29] != "a text, number 29\nof two lines “é”" || s.Labels[29] != 2 ||
		len(s.Train) != 21 || len(s.Val) != 3 || len(s.Test) != 6 {
		t.Errorf("classes %q, %d + %d + %d, last %q of class %d", s.Classes, len(s.Train), len(s.Val), len(s.Test),
			s.Text[29], s.Labels[29])
	}
}

// TestDrawnParts: of each class its share is drawn, the same each time, and no text is lost or taken twice.
func TestDrawnParts(t *testing.T) {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "text %d,%d\n", i, min(i%10, 2)) // 20, 20 and 160
	}
	dir := written(t, map[string]string{"a.csv": "text,label\n" + b.String()})
	var lines []string
	s, err := ReadTexts(t.Context(), dir+"/a.csv", TextOptions{}, said(&lines))
	if err != nil {
		t.Fatal(err)
	}
	count := func(index []int32) (n [3]int) {
		for _, i := range index {
			n[s.Labels[i]]++
		}
		return n
	}
	if a, b, c := count(s.Train), count(s.Val), count(s.Test); a != [3]int{16, 16, 130} || b != [3]int{2, 2, 14} ||
		c != [3]int{2, 2, 16} {
		t.Errorf("training %v, validation %v, test %v", a, b, c)
	}
	all := slices.Concat(s.Train, s.Val, s.Test)
	slices.Sort(all)
	if len(slices.Compact(all)) != 200 || !slices.IsSorted(s.Train) || !slices.IsSorted(s.Test) {
		t.Error("texts are lost, taken twice or out of order")
	}
	again, err := ReadTexts(t.Context(), dir+"/a.csv", TextOptions{}, Options{})
	if err != nil || again.Fingerprint != s.Fingerprint {
		t.Errorf("drawn anew it is another set, error %v", err)
	}
	other, err := ReadTexts(t.Context(), dir+"/a.csv", TextOptions{Val: 30, Test: 0.25}, Options{})
	if err != nil || len(other.Val) != 30 || len(other.Test) != 50 || other.Fingerprint == s.Fingerprint {
		t.Errorf("error %v, %+v", err, other)
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "20 of 200 texts drawn for test") ||
		!strings.Contains(lines[1], "18 of 180 texts drawn for validation") {
		t.Errorf("said %q", lines)
	}
}

// TestSaid: rows without a text and texts in two parts are counted.
func TestSaid(t *testing.T) {
	var lines []string
	dir := written(t, map[string]string{"train.csv": "text,label\na b,0\n  ,1\nc,1\n,\nd,0\n",
		"val.csv": "text,label\nA. B!,0\n", "test.csv": "text,label\na b,1\ne,1.0\n"})
	s, err := ReadTexts(t.Context(), dir, TextOptions{}, said(&lines))
	if err != nil || !slices.Equal(s.Classes, []string{"0", "1"}) || len(s.Train) != 3 {
		t.Fatalf("error %v, %+v", err, s)
	}
	if len(lines) != 2 ||
		!strings.Contains(lines[0], "train.csv: 2 of 5 rows have no text and are left out, the first in line 3") ||
		!strings.HasPrefix(lines[1], "2 texts of validation or test repeat one of another part") ||
		!strings.Contains(lines[1], "1 have another label") {
		t.Errorf("said %q", lines)
	}
}

// TestTabsWithoutQuotes: in a file with tabs a quote may be a character as any other.
func TestTabsWithoutQuotes(t *testing.T) {
	dir := written(t, map[string]string{"train.tsv": "\"so\t1\nit \"was\" \"\t0\na\t1\nb\t0\n", "val.tsv": "c\t0\n",
		"test.tsv": "d\t1\n"})
	s, err := ReadTexts(t.Context(), dir, TextOptions{}, Options{})
	if err != nil || s.Text[0] != `"so` || s.Text[1] != `it "was" "` {
		t.Errorf("error %v, %+v", err, s)
	}
}

// TestNumbersAreClasses: numbers are in the order of their values, in whatever form they are written.
func TestNumbersAreClasses(t *testing.T) {
	var b strings.Builder
	for i := range 48 {
		fmt.Fprintf(&b, "{\"text\":\"t%d\",\"label\":%s}\n", i, []string{"10", "2", "-1", "2.0"}[i%4])
	}
	s, err := ReadTexts(t.Context(), written(t, map[string]string{"a.jsonl": b.String()})+"/a.jsonl", TextOptions{},
		Options{})
	if err != nil || !slices.Equal(s.Classes, []string{"-1", "2", "10"}) || s.Labels[0] != 2 || s.Labels[1] != 1 ||
		s.Labels[3] != 1 {
		t.Errorf("error %v, %+v", err, s)
	}
}

// TestTextsRefused: each mistake is one error that names the file, and where it is.
func TestTextsRefused(t *testing.T) {
	const good = "text,label\na,x\nb,y\nc,x\nd,y\n"
	for name, c := range map[string]struct {
		files map[string]string
		at    string
		o     TextOptions
		want  []string
	}{
		"ragged": {map[string]string{"a.csv": good + "e,x,z\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 6 has 3 fields, the first row 2"}},
		"ragged later": {map[string]string{"a.csv": good + strings.Repeat("e,x\n", 300) + "f\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 306 has 1 fields"}},
		"ragged, lines": {map[string]string{"a.csv": "text,label\n\"a\nb\",x\nc\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 4 has 1 fields"}},
		"quote": {map[string]string{"a.csv": good + "e \"f\",x\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 6: bare \" in non-quoted-field"}},
		"open quote": {map[string]string{"a.csv": good + "\"e,x\n" + strings.Repeat("f,y\n", 9)}, "a.csv", TextOptions{},
			[]string{"a.csv: line 6: extraneous or missing \""}},
		"no label": {map[string]string{"a.csv": good + "e,\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 6 has a text without a label"}},
		"unknown label": {map[string]string{"train.csv": good, "test.csv": "text,label\na,x\nb,z\n"}, "", TextOptions{},
			[]string{`test.csv: line 3 has the label "z", which no training text has`}},
		"one class": {map[string]string{"a.csv": "text,label\na,x\nb,x\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: has one class"}},
		"fractions": {map[string]string{"a.csv": "text,label\na,1\nb,0.5\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 3 has the label 0.5", "data.label"}},
		"no columns": {map[string]string{"a.csv": "id,what,which\n1,a,x\n2,b,y\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: has no column of texts", `["id" "what" "which"]`, "--set data.text="}},
		"no such column": {map[string]string{"a.csv": good}, "a.csv", TextOptions{TextColumns: TextColumns{Label: "mood"}},
			[]string{`has no column "mood" (data.label)`}},
		"a header?": {map[string]string{"a.csv": "phrase,mood\na,x\nb,y\nc,x\nd,y\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 1", "may be a header", "data.text"}},
		"split": {map[string]string{"a.csv": "text,label,split\na,x,train\nb,y,fold 2\n"}, "a.csv", TextOptions{},
			[]string{`a.csv: line 3 has the split "fold 2"`}},
		"no training": {map[string]string{"val.csv": good, "test.csv": good}, "", TextOptions{},
			[]string{"no texts to train on"}},
		"two tables": {map[string]string{"a.csv": good, "b.csv": good}, "", TextOptions{},
			[]string{"holds 2 tables", "a.csv"}},
		"two formats": {map[string]string{"train.csv": good, "train.jsonl": "{}", "test.csv": good}, "", TextOptions{},
			[]string{"train.csv and as train.jsonl"}},
		"two folders": {map[string]string{"en/train.csv": good, "en/test.csv": good, "de/train.csv": good}, "",
			TextOptions{}, []string{"de/train.csv and as en/train.csv"}},
		"no texts":   {map[string]string{"a.png": ""}, "", TextOptions{}, []string{"holds no texts"}},
		"empty file": {map[string]string{"a.csv": ""}, "a.csv", TextOptions{}, []string{"a.csv: holds no rows"}},
		"header alone": {map[string]string{"a.csv": "text,label\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: holds no rows"}},
		"empty texts": {map[string]string{"a.csv": "text,label\n ,x\n,y\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: holds no texts"}},
		"not text": {map[string]string{"a.csv": "text,label\na\x00,x\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 2 holds a NUL"}},
		"half UTF-8": {map[string]string{"a.csv": "text,label\né,x\n\xe9,y\n"}, "a.csv", TextOptions{},
			[]string{"a.csv: line 3 is not UTF-8"}},
		"json array": {map[string]string{"a.json": `[{"text":"a"}]`}, "a.json", TextOptions{},
			[]string{"a.json: is one array"}},
		"json": {map[string]string{"a.jsonl": "{\"text\":\"a\",\"label\":1}\n{\"text\":\n"}, "a.jsonl",
			TextOptions{}, []string{"a.jsonl: line 2 is no object"}},
		"json types": {map[string]string{"a.jsonl": "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":[1]}\n"},
			"a.jsonl", TextOptions{}, []string{`a.jsonl: line 2: "label" is [1]`}},
		"json keys": {map[string]string{"a.jsonl": "{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\"}\n"}, "a.jsonl",
			TextOptions{}, []string{`a.jsonl: line 2 has no "label"`}},
		"parquet": {map[string]string{"a.parquet": "PAR1"}, "a.parquet", TextOptions{},
			[]string{"a.parquet: is no whole parquet file"}},
		"archive": {map[string]string{"a.zip": "PK"}, "a.zip", TextOptions{}, []string{"a.zip is no table", "unpack"}},
		"absent":  {map[string]string{}, "a.csv", TextOptions{}, []string{"a.csv", "name a set"}},
		"too small": {map[string]string{"a.csv": "text,label\na,x\nb,y\n"}, "a.csv", TextOptions{},
			[]string{"a.csv", "each class has but one"}},
		"too much": {map[string]string{"a.csv": good}, "a.csv", TextOptions{Test: 4},
			[]string{"a.csv: 4 of 4 texts cannot be drawn for test (data.test)"}},
		"drawn twice": {map[string]string{"train.csv": good, "test.csv": good}, "", TextOptions{Test: 3},
			[]string{"data.test is set, but the set has a test part"}},
		"no share": {map[string]string{"a.csv": good}, "a.csv", TextOptions{Val: -1}, []string{"data.val is -1"}},
	} {
		path := filepath.Join(written(t, c.files), c.at)
		_, err := ReadTexts(t.Context(), path, c.o, Options{})
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one with %q", name, err, want)
			}
		}
	}
}

// TestHugeTexts: an open quote does not take the whole file into memory, nor do columns that are not kept.
func TestHugeTexts(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 23 MB")
	}
	var before, after runtime.MemStats
	wide := "text,label,other\n" + strings.Repeat("a,x,"+strings.Repeat("o", 1<<20)+"\nb,y,\n", 5)
	dir := written(t, map[string]string{"wide.csv": wide,
		"open.csv": "text,label\na,x\n\"b,y\n" + strings.Repeat("c c c,x\n", 17<<17)})
	runtime.ReadMemStats(&before)
	s, err := ReadTexts(t.Context(), dir+"/wide.csv", TextOptions{}, Options{})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err != nil || after.HeapAlloc > before.HeapAlloc && after.HeapAlloc-before.HeapAlloc > 1<<20 {
		t.Errorf("error %v, %d bytes more are in use", err, after.HeapAlloc-before.HeapAlloc)
	}
	runtime.KeepAlive(s)
	if _, err := ReadTexts(t.Context(), dir+"/open.csv", TextOptions{}, Options{}); err == nil ||
		!strings.Contains(err.Error(), "open.csv: after line 2 a row of more than 16 MB begins") {
		t.Errorf("error %v", err)
	}
}

// TestTextPaths: names of the catalogue are no paths, whatever lies in the working folder.
func TestTextPaths(t *testing.T) {
	t.Chdir(written(t, map[string]string{"cifar10/a.txt": "", "mine/a.txt": ""}))
	for name, want := range map[string]bool{"rotten_tomatoes": false, "cifar10": false, SyntheticSentences: false,
		"a.csv": true, "./x": true, "mine": true, "other": false} {
		if IsTextPath(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// FuzzTexts: whatever a table holds, its texts have classes and parts, or it is an error.
func FuzzTexts(f *testing.F) {
	forms := []string{".csv", ".tsv", ".jsonl", ".parquet"}
	b, err := os.ReadFile("testdata/texts.parquet")
	if err != nil {
		f.Fatal(err)
	}
	for i, s := range []string{"text,label\na,x\n\"b\nc\",y\n", "a\tx\nb\ty\n", "{\"text\":\"a\",\"label\":1}\n",
		string(b)} {
		f.Add([]byte(s), uint8(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, form uint8) {
		path := filepath.Join(t.TempDir(), "a"+forms[int(form)%len(forms)])
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := ReadTexts(t.Context(), path, TextOptions{}, Options{})
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name the file", err)
			}
			return
		}
		if len(s.Train)+len(s.Val)+len(s.Test) != len(s.Text) || len(s.Train) == 0 || len(s.Val) == 0 || len(s.Test) == 0 ||
			len(s.Classes) < 2 {
			t.Errorf("%d + %d + %d of %d texts, %d classes", len(s.Train), len(s.Val), len(s.Test), len(s.Text), len(s.Classes))
		}
	})
}
