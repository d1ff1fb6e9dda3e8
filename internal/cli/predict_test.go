package cli

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSentencesToClassify: what is read is what each line says, and what cannot be is refused by its number.
func TestSentencesToClassify(t *testing.T) {
	t.Chdir(t.TempDir())
	read := func(in string, o predictOptions, texts ...string) ([]string, string, error) {
		var said bytes.Buffer
		all, kind, err := o.sentences(&Streams{In: strings.NewReader(in), Err: &said}, texts)
		return all, kind + "; " + said.String(), err
	}
	for _, c := range []struct {
		in    string
		texts []string
		want  []string
		said  string
	}{
		{"a\n\nb", nil, []string{"a", "", "b"}, "line; "},
		{"\n\n a\t\r\n", nil, []string{"", "", "a"}, "line; "},
		{"clich\xe9\n", nil, []string{"cliché"}, "line; the standard input is not UTF-8; read as Windows-1252\n"},
		{"", []string{"a\nb", "", "clich\xe9"}, []string{"a\nb", "", "cliché"},
			"text; text 3 is not UTF-8; read as Windows-1252\n"},
		{"a\n" + strings.Repeat("b", maxLine-1) + "\n", nil, []string{"a", strings.Repeat("b", maxLine-1)}, "line; "},
	} {
		got, said, err := read(c.in, predictOptions{}, c.texts...)
		if err != nil || !slices.Equal(got, c.want) || said != c.said {
			t.Errorf("%.20q, %q: %.40q, %q, %v", c.in, c.texts, got, said, err)
		}
	}
	if err := os.WriteFile("long.txt", []byte("a\n\n"+strings.Repeat("b", maxLine)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in, file string
		texts    []string
		want     string
	}{
		{"", "long.txt", nil, "long.txt: line 3 has 1048577 bytes, more than the limit of 1048576"},
		{"", "absent.txt", nil, "absent.txt"},
		{"", ".", nil, "reading .: "},
		{strings.Repeat("a\n", maxSentences/2) + "b", "-", nil,
			"the standard input is longer than 67108864 bytes; split it"},
		{" \n\t\n", "", nil, "the standard input holds no sentences; want one a line"},
		{"a\x00", "", nil, "the standard input: line 1 holds a NUL byte"},
		{"", "", []string{"a", "é\xe9"}, "text 2: line 1 is not UTF-8, as the rest is"},
		{"", "long.txt", []string{"a"}, "exclude each other; give one"},
	} {
		if got, _, err := read(c.in, predictOptions{file: c.file}, c.texts...); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q, %s, %q: %.40q, %v; want %q", c.in, c.file, c.texts, got, err, c.want)
		}
	}
}

func TestNumbered(t *testing.T) {
	for want, numbers := range map[string][]int{"line 3": {3}, "lines 1, 2": {1, 2},
		"lines 1, 2, 3, 4, 5, 6, 7, 8 and 2 more": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}} {
		if got := numbered("line", numbers); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
