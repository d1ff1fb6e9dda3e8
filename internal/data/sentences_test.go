package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	bom "golang.org/x/text/encoding/unicode"
)

// realSentences are the published files in UTF-8.
func realSentences(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{"rt-polarity.neg", "rt-polarity.pos"} {
		b, err := os.ReadFile(filepath.Join(os.Getenv("DLA_DATA"), "rotten_tomatoes", name))
		if os.Getenv("DLA_DATA") == "" || err != nil {
			t.Skip("DLA_DATA is not set or has no rotten_tomatoes: no real sentences to read")
		}
		files[name] = b
	}
	return files
}

// published1252 turns them into the published bytes, of which the sizes are known.
func published1252(t *testing.T, files map[string][]byte) map[string][]byte {
	t.Helper()
	raw := map[string][]byte{}
	for name, b := range files {
		r, err := charmap.Windows1252.NewEncoder().Bytes(b)
		if err != nil {
			t.Fatal(err)
		}
		raw[name] = r
	}
	if len(raw["rt-polarity.neg"]) != 612290 || len(raw["rt-polarity.pos"]) != 626168 {
		t.Fatalf("%d and %d bytes", len(raw["rt-polarity.neg"]), len(raw["rt-polarity.pos"]))
	}
	return raw
}

// packed is files in a tar.gz, below rt-polaritydata/.
func packed(t *testing.T, files map[string][]byte) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: "rt-polaritydata/" + name, Mode: 0o600,
			Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	w.Close()
	z.Close()
	return filepath.Join(fill(t, map[string][]byte{"any.tar.gz": b.Bytes()}), "any.tar.gz")
}

// TestRottenTomatoes: every form gives the same sentences, in the published split; the first and the last
// of each part are those of the Hugging Face set.
func TestRottenTomatoes(t *testing.T) {
	utf8 := realSentences(t)
	raw := published1252(t, utf8)
	ctx := context.Background()
	s, err := LoadSentences(ctx, "rotten_tomatoes", Options{Cache: t.TempDir(), Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"the number of sentences", len(s.Text), 10662},
		{"that of the training split", len(s.Train), 8530},
		{"that of the validation split", len(s.Val), 1066},
		{"that of the test split", len(s.Test), 1066},
		{"the source", s.Source, "$DLA_DATA, UTF-8"},
		{"the name", s.Name, "rotten_tomatoes"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	for at, want := range map[int32]string{
		s.Train[0]:    "simplistic , silly and tedious .",
		s.Train[4265]: `the rock is destined to be the 21st century's new " conan "`,
		s.Val[533]:    "compassionately explores the seemingly irreconcilable situation between conservative christian parents",
		s.Test[533]:   "lovingly photographed in the manner of a golden book sprung to life",
		s.Test[532]:   "enigma is well-made , but it's just too dry and too placid .",
		s.Train[473]:  "the maudlin way its story unfolds suggests a director fighting against the urge", // an ellipsis before it
	} {
		if !strings.HasPrefix(s.Text[at], want) {
			t.Errorf("sentence %d is %q, want %q", at, s.Text[at], want)
		}
	}
	count := map[int32]int{}
	for _, i := range slices.Concat(s.Train, s.Val, s.Test) {
		count[i]++
		if want := i / 5331; s.Labels[i] != want {
			t.Fatalf("sentence %d has the label %d", i, s.Labels[i])
		}
	}
	if len(count) != 10662 {
		t.Errorf("%d sentences are in some part", len(count))
	}
	if r := s.Repeats(); r != (Repeats{Within: 2}) {
		t.Errorf("%+v", r)
	}
	t.Setenv("DLA_DATA", "")
	e, err := Lookup("rotten_tomatoes")
	if err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]string{"UTF-8": fill(t, utf8), "Windows-1252": fill(t, raw),
		"archive": packed(t, raw), "UTF-8 archive": packed(t, utf8), "parquet": fill(t, hub(t, raw))} {
		cache := t.TempDir()
		dir := filepath.Join(cache, e.Folder)
		if err := e.Import(ctx, src, dir, nil); err != nil {
			t.Errorf("import of %s: %v", name, err)
			continue
		}
		again, err := LoadSentences(ctx, "rotten_tomatoes", Options{Cache: cache, Offline: true})
		if err != nil || again.Fingerprint != s.Fingerprint || !slices.Equal(again.Text, s.Text) {
			t.Errorf("%s: other sentences, error %v", name, err)
		}
		at, _, _ := e.Find(Options{Cache: cache})
		if want := map[bool]string{true: "UTF-8", false: "sentences"}[name == "UTF-8"]; at.Form != want || at.Check() != nil {
			t.Errorf("%s was kept as %q, %v", name, at.Form, at.Check())
		}
		if _, err := e.Pull(ctx, dir, nil); err != nil {
			t.Errorf("%s: pull of what is there: %v", name, err)
		}
	}
	// So do files that an editor saved anew, where they are found, and imported.
	anew := map[string]func([]byte) []byte{
		"no last line end": func(b []byte) []byte { return bytes.TrimSuffix(b, []byte("\n")) },
		"byte-order mark":  func(b []byte) []byte { return append([]byte("\ufeff"), b...) },
		"Windows": func(b []byte) []byte {
			return bytes.ReplaceAll(append([]byte("\ufeff"), b...), []byte("\n"), []byte("\r\n"))
		},
		"UTF-16": func(b []byte) []byte {
			u, err := bom.UTF16(bom.LittleEndian, bom.UseBOM).NewEncoder().Bytes(b)
			if err != nil {
				t.Fatal(err)
			}
			return u
		},
	}
	for name, edit := range anew {
		files := map[string][]byte{}
		for name, b := range utf8 {
			files[name] = edit(b)
		}
		root, cache := t.TempDir(), t.TempDir()
		if err := os.Rename(fill(t, files), filepath.Join(root, e.Folder)); err != nil {
			t.Fatal(err)
		}
		if err := e.Import(ctx, filepath.Join(root, e.Folder), filepath.Join(cache, e.Folder), nil); err != nil {
			t.Errorf("%s: import: %v", name, err)
		}
		for _, opt := range []Options{{Dir: root, Cache: t.TempDir(), Offline: true}, {Cache: cache, Offline: true}} {
			if again, err := LoadSentences(ctx, "rotten_tomatoes", opt); err != nil || again.Fingerprint != s.Fingerprint ||
				!slices.Equal(again.Text, s.Text) {
				t.Errorf("%s: other sentences, %v", name, err)
			}
		}
	}
	// So does the folder of parquet files itself, where it is found.
	at := filepath.Join(t.TempDir(), "rotten_tomatoes")
	if err := os.Rename(fill(t, hub(t, raw)), at); err != nil {
		t.Fatal(err)
	}
	again, err := LoadSentences(ctx, "rotten_tomatoes", Options{Dir: filepath.Dir(at), Cache: t.TempDir(), Offline: true})
	if err != nil || again.Fingerprint != s.Fingerprint || again.Source != "$DLA_DATA, parquet" {
		t.Errorf("parquet: error %v", err)
	}
	// Unpacked into $DLA_DATA it has no checksum, and its content is compared.
	root := t.TempDir()
	at = filepath.Join(root, "rotten_tomatoes", "rt-polaritydata")
	if err := os.MkdirAll(filepath.Dir(at), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fill(t, raw), at); err != nil {
		t.Fatal(err)
	}
	opt := Options{Dir: root, Cache: t.TempDir(), Offline: true}
	if again, err := LoadSentences(ctx, "rotten_tomatoes", opt); err != nil || again.Fingerprint != s.Fingerprint {
		t.Errorf("unpacked: %v", err)
	}
	raw["rt-polarity.neg"][100] ^= 1
	if err := os.WriteFile(filepath.Join(at, "rt-polarity.neg"), raw["rt-polarity.neg"], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSentences(ctx, "rotten_tomatoes", opt); err == nil ||
		!strings.Contains(err.Error(), "its sentences are not the published ones") ||
		!strings.Contains(err.Error(), "replace the files in") {
		t.Errorf("a character changed: error %v", err)
	}
}

// hub is the three parquet files as the Hub has them: positive sentences first, read as Latin-1, stripped
// of what Python takes for white space.
func hub(t *testing.T, raw map[string][]byte) map[string][]byte {
	t.Helper()
	lines := map[string][]string{}
	for name, b := range raw {
		var latin strings.Builder
		for _, c := range b {
			latin.WriteRune(rune(c))
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(latin.String(), "\n"), "\n") {
			lines[name] = append(lines[name], strings.TrimSpace(line))
		}
	}
	files := map[string][]byte{}
	for part, rows := range map[string][2]int{"train": {0, 4265}, "validation": {4265, 4798}, "test": {4798, 5331}} {
		var texts []string
		var labels []int64
		for label, name := range map[int64]string{1: "rt-polarity.pos", 0: "rt-polarity.neg"} {
			for _, line := range lines[name][rows[0]:rows[1]] {
				texts, labels = append(texts, line), append(labels, label)
			}
		}
		files[part+".parquet"] = parquetFile(texts, labels)
	}
	return files
}

// parquetFile writes the columns text and label, plainly. Its metadata is in Thrift's compact protocol, each
// field with its number in full.
func parquetFile(texts []string, labels []int64) []byte {
	zigzag := func(n int64) []byte { return binary.AppendUvarint(nil, uint64(n<<1)^uint64(n>>63)) }
	field := func(id int64, kind byte, content ...byte) []byte {
		return append(append([]byte{kind}, zigzag(id)...), content...)
	}
	number := func(id, n int64) []byte { return field(id, 6, zigzag(n)...) }
	text := func(id int64, s string) []byte {
		return field(id, 8, append(binary.AppendUvarint(nil, uint64(len(s))), s...)...)
	}
	object := func(fields ...[]byte) []byte { return append(slices.Concat(fields...), 0) }
	list := func(id int64, all ...[]byte) []byte {
		return field(id, 9, append([]byte{byte(len(all))<<4 | 12}, slices.Concat(all...)...)...)
	}

	var strs, ints []byte
	for i, s := range texts {
		strs = append(binary.LittleEndian.AppendUint32(strs, uint32(len(s))), s...)
		ints = binary.LittleEndian.AppendUint64(ints, uint64(labels[i]))
	}
	n := int64(len(texts))
	out := []byte("PAR1")
	var schema, chunks [][]byte
	schema = append(schema, object(text(4, "root"), number(5, 2)))
	for _, c := range []struct {
		name string
		kind int64
		b    []byte
	}{{"text", 6, strs}, {"label", 2, ints}} {
		start := int64(len(out))
		size := int64(len(c.b))
		out = append(out, object(number(1, 0), number(2, size), number(3, size),
			field(5, 12, object(number(1, n), number(2, 0), number(3, 3), number(4, 3))...))...)
		out = append(out, c.b...)
		schema = append(schema, object(number(1, c.kind), number(3, 0), text(4, c.name)))
		chunks = append(chunks, object(field(3, 12, object(number(1, c.kind), number(4, 0), number(5, n),
			number(7, int64(len(out))-start), number(9, start))...)))
	}
	meta := object(number(1, 1), list(2, schema...), number(3, n), list(4, object(list(1, chunks...), number(3, n))))
	out = append(out, meta...)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(meta))), "PAR1"...)
}

// TestHostileSentences: what is not the set is an error that says so, and nothing is kept.
func TestHostileSentences(t *testing.T) {
	e, err := Lookup("rotten_tomatoes")
	if err != nil {
		t.Fatal(err)
	}
	two := func(neg, pos string) map[string][]byte {
		return map[string][]byte{"rt-polarity.neg": []byte(neg), "rt-polarity.pos": []byte(pos)}
	}
	enough := strings.Repeat("a\n", 5331)
	twice := fill(t, two(enough, enough))
	if err := os.Mkdir(filepath.Join(twice, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(twice, "x", "rt-polarity.neg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ src, want string }{
		"nothing":         {t.TempDir(), "holds no rt-polarity.neg"},
		"one class":       {fill(t, map[string][]byte{"rt-polarity.neg": []byte(enough)}), "holds no rt-polarity.pos"},
		"empty files":     {fill(t, two("", "")), "rt-polarity.neg: is empty"},
		"cut":             {fill(t, two(enough, enough[:len(enough)-3])), "5330 sentences of the class pos, want 5331"},
		"odd UTF-16":      {fill(t, two(enough, "\xff\xfea\x00b")), "UTF-16 that ends within a character"},
		"a sentence less": {fill(t, two(enough[2:], enough)), "5330 sentences of the class neg, want 5331"},
		"a sentence more": {fill(t, two(enough, enough+"a\n")), "5332 sentences of the class pos"},
		"other sentences": {fill(t, two(enough, enough)),
			"are not the published ones of rotten_tomatoes: their fingerprint is"},
		"a file twice": {twice, "rt-polarity.neg: occurs twice"},
		"no archive": {filepath.Join(fill(t, map[string][]byte{"x": []byte("hello")}), "x"),
			"is neither a folder nor a zip, tar or tar.gz"},
		"an empty archive": {packed(t, nil), "holds no rt-polarity.neg"},
		"one parquet file": {fill(t, map[string][]byte{"train.parquet": parquetFile([]string{"a"}, []int64{1})}),
			"validation.parquet"},
		"another label": {fill(t, map[string][]byte{"train.parquet": parquetFile([]string{"a"}, []int64{2})}),
			"train.parquet: label 2 of row 0 is neither 0 nor 1"},
		"no parquet file": {fill(t, map[string][]byte{"train.parquet": []byte("PAR1")}),
			"train.parquet: is no whole parquet file"},
		"nowhere": {filepath.Join(t.TempDir(), "nowhere"), "nowhere"},
	} {
		dir := t.TempDir()
		if err := e.Import(context.Background(), tc.src, dir, nil); err == nil || !strings.Contains(err.Error(), tc.want) ||
			!strings.Contains(err.Error(), tc.src) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
		if list, _ := os.ReadDir(dir); len(list) != 0 {
			t.Errorf("%s: %v was kept", name, list)
		}
	}
}

// TestSentencesAreNoImages: a set asked for as what it is not is an error, one that can be had from nowhere
// too, with what to do.
func TestSentencesAreNoImages(t *testing.T) {
	t.Setenv("DLA_DATA", "")
	none := Options{Cache: t.TempDir(), Offline: true}
	ctx := context.Background()
	_, described := Describe("rotten_tomatoes")
	_, loaded := Load(ctx, "rotten_tomatoes", none)
	for _, err := range []error{described, loaded} {
		if err == nil || !strings.Contains(err.Error(),
			"rotten_tomatoes is a set of sentences, and images are wanted: of mnist,") {
			t.Errorf("error %v", err)
		}
	}
	for name, want := range map[string]string{"mnist": "is a set of images, and sentences are wanted: of rotten_tomatoes",
		"x":               "unknown data set",
		"rotten_tomatoes": "get it with `dla data pull rotten_tomatoes`, on a machine without network with `dla data import"} {
		if _, err := LoadSentences(ctx, name, none); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	if slices.Contains(Names(), "rotten_tomatoes") {
		t.Error("it is listed among the sets of images")
	}
}

// TestRepeats: copies are found whatever their case, spacing and punctuation.
func TestRepeats(t *testing.T) {
	s := &Sentences{
		Text:   []string{"a good film .", "A good film!", "bad", "agood film", "bad .", "new", "n e w"},
		Labels: []int32{1, 1, 0, 0, 0, 1, 1},
		Train:  []int32{0, 1, 2}, Val: []int32{3, 4}, Test: []int32{5, 6},
	}
	if r := s.Repeats(); r != (Repeats{Within: 2, Across: 2, OtherLabel: 1}) {
		t.Errorf("%+v", r)
	}
}

// TestLinesAreThoseOfAnyEditor: with a byte-order mark or without, and whether the last line has an end.
func TestLinesAreThoseOfAnyEditor(t *testing.T) {
	for name, b := range map[string]string{"plain": "a\nb\u00e9 \n", "no end": "a\nb\u00e9", "mark": "\ufeffa\nb\u00e9\n",
		"CRLF": "a\r\nb\u00e9\r\n", "Windows-1252": "a\nb\xe9\n", "UTF-16": "\xfe\xff\x00a\x00\n\x00b\x00\xe9"} {
		dir := fill(t, map[string][]byte{"rt-polarity.neg": []byte(b), "rt-polarity.pos": []byte("c"),
			"._rt-polarity.neg": []byte("Mac OS X")})
		classes, err := readPolarity(context.Background(), dir)
		if err != nil || len(classes[0]) != 2 || tidy(classes[0][0]) != "a" || tidy(classes[0][1]) != "b\u00e9" {
			t.Errorf("%s: %q, %v", name, classes, err)
		}
	}
}

func TestTidy(t *testing.T) {
	for in, want := range map[string]string{
		"a b . ": "a b .", "\u0085 a\u0085b \u0085": "a…b", "… a … b…": "a … b", "\u0093a\u0094 \u0096 \u0097": "“a” – —", "\u00a0é\u00a0": "é", "": "", "…": "",
	} {
		if got := tidy(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}
