package text

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dla/internal/kernel"
)

// The golden values are those of Hugging Face's fast tokenizers: testdata/golden.py.

// folders are the real models' folders below DLA_MODELS.
var folders = map[string]string{"minilm": "all-MiniLM-L6-v2", "mpnet": "all-mpnet-base-v2"}

// real loads the tokenizer of a real model, or skips the test where it is not at hand.
func real(t *testing.T, name string) *Tokenizer {
	t.Helper()
	dir := os.Getenv("DLA_MODELS")
	if dir == "" {
		t.Skip("DLA_MODELS is not set: no real tokenizer to read")
	}
	folder := filepath.Join(dir, folders[name])
	files := folderReader{folder, os.DirFS(folder)}
	if !files.has("tokenizer.json") {
		lines, err := os.ReadFile(filepath.Join(dir, folders["minilm"], "vocab.txt"))
		if name != "mpnet" || err != nil {
			t.Skipf("DLA_MODELS has no %s", folders[name])
		}
		files = inMemory(mpnetOf(lines))
	}
	tok, err := load(files, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// mpnetOf is MPNet's folder: its vocabulary is BERT's, between four tokens and one.
func mpnetOf(bert []byte) map[string][]byte {
	return map[string][]byte{
		"vocab.txt": slices.Concat([]byte("<s>\n<pad>\n</s>\n<unk>\n"), bert, []byte("<mask>\n")),
		"tokenizer_config.json": []byte(`{"cls_token": "<s>", "sep_token": "</s>", "unk_token": "[UNK]", "pad_token": "<pad>", "mask_token": "<mask>", "model_max_length": 512,
			"added_tokens_decoder": {"3": {"content": "<unk>", "normalized": true}}}`),
	}
}

// golden reads a file of testdata.
func golden(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// hostile is the strings that tokenizers get wrong, with what is right.
type hostile struct {
	Text          string
	MiniLM, MPNet []int32
}

func hostiles(t testing.TB) []hostile {
	t.Helper()
	var all []hostile
	golden(t, "hostile.json", &all)
	return all
}

// untruncated is t without a limit.
func untruncated(t *Tokenizer) *Tokenizer {
	long := *t
	long.maxLength = 1 << 30
	return &long
}

// TestHostileStrings: with the real vocabularies, the ids of every string are the reference's, and so are
// those of what it is cut to.
func TestHostileStrings(t *testing.T) {
	for name := range folders {
		t.Run(name, func(t *testing.T) {
			tok := real(t, name)
			for _, h := range hostiles(t) {
				want := h.MiniLM
				if name == "mpnet" {
					want = h.MPNet
				}
				if got := untruncated(tok).Encode(h.Text); !slices.Equal(got, want) {
					t.Errorf("%.60q: %v, want %v", h.Text, got, want)
				}
				if len(want) > 512 {
					want = append(want[:511:511], want[len(want)-1])
				}
				if got := tok.Encode(h.Text); !slices.Equal(got, want) {
					t.Errorf("%.60q, cut: %v, want %v", h.Text, got, want)
				}
			}
		})
	}
}

// digest is the golden files' hash of lists of ids.
func digest(lists ...[]int32) string {
	h := sha256.New()
	var b []byte
	for _, ids := range lists {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(len(ids)))
		for _, id := range ids {
			b = binary.LittleEndian.AppendUint32(b, uint32(id))
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestRottenTomatoes: the ids of all 10,662 sentences are the reference's, whatever the number of threads.
func TestRottenTomatoes(t *testing.T) {
	dir := os.Getenv("DLA_DATA")
	if dir == "" {
		t.Skip("DLA_DATA is not set: no Rotten Tomatoes to read")
	}
	var sentences []string
	for _, name := range []string{"rt-polarity.neg", "rt-polarity.pos"} {
		b, err := os.ReadFile(filepath.Join(dir, "rotten_tomatoes", name))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skipf("DLA_DATA has no Rotten Tomatoes to read: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		sentences = append(sentences, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	var all []struct {
		Model           string
		Tokens, Longest int
		SHA256          string
		Hundreds        []string
	}
	golden(t, "sentences.json", &all)
	defer kernel.SetThreads(kernel.Threads())
	for _, want := range all {
		t.Run(want.Model, func(t *testing.T) {
			tok := real(t, want.Model)
			for _, threads := range []int{1, 3} {
				kernel.SetThreads(threads)
				p := tok.Pack(sentences, nil)
				var ids [][]int32
				longest := 0
				for i := range p.Len() {
					ids = append(ids, p.Sentence(i))
					longest = max(longest, len(p.Sentence(i)))
				}
				if p.Tokens() != want.Tokens || longest != want.Longest || digest(ids...) != want.SHA256 {
					t.Errorf("%d threads: %d tokens, the longest sentence has %d; want %d and %d and equal ids", threads, p.Tokens(),
						longest, want.Tokens, want.Longest)
				}
				for i, h := range want.Hundreds {
					if digest(ids[i*100 : min((i+1)*100, len(ids))]...)[:16] != h {
						t.Errorf("sentences %d to %d differ", i*100, i*100+99)
					}
				}
			}
		})
	}
}

// small is a folder with a small vocabulary, as small.json has it.
type small struct {
	Folder string
	Files  map[string]json.RawMessage
	IDs    string
}

func smalls(t testing.TB) []small {
	t.Helper()
	var all []small
	golden(t, "small.json", &all)
	return all
}

// smallFiles are the files of s with its vocabulary.
func smallFiles(t testing.TB, s small) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for name, content := range s.Files {
		files[name] = content
		var text string
		if json.Unmarshal(content, &text) == nil {
			lines, err := os.ReadFile(filepath.Join("testdata", "vocab-"+strings.TrimSuffix(text[1:], "-crlf")+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			if files[name] = lines; strings.HasSuffix(text, "-crlf") {
				files[name] = []byte(strings.ReplaceAll(string(lines), "\n", "\r\n"))
			}
		}
		if name == "tokenizer.json" {
			vocab := "bert"
			if strings.Contains(string(content), `"vocab":"mpnet"`) {
				vocab = "mpnet"
			}
			files[name] = []byte(strings.Replace(string(content), `"vocab":"`+vocab+`"`, `"vocab":`+vocabJSON(t, vocab), 1))
		}
	}
	return files
}

// vocabJSON is the small vocabulary called name as tokenizer.json has it.
func vocabJSON(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vocab-"+name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{}
	for i, w := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		ids[w] = i
	}
	js, err := json.Marshal(ids)
	if err != nil {
		t.Fatal(err)
	}
	return string(js)
}

// write puts files into the folder dir.
func write(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// loadSmall loads the small folder called name.
func loadSmall(t testing.TB, name string, maxLength int) *Tokenizer {
	t.Helper()
	all := smalls(t)
	dir := t.TempDir()
	write(t, dir, smallFiles(t, all[slices.IndexFunc(all, func(s small) bool { return s.Folder == name })]))
	tok, err := Load(dir, maxLength)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestSmallVocabulary: in every form that a folder comes in, the ids of the hostile strings are the reference's.
func TestSmallVocabulary(t *testing.T) {
	strs := hostiles(t)
	for _, s := range smalls(t) {
		tok := untruncated(loadSmall(t, s.Folder, 0))
		for i, want := range strings.Fields(s.IDs) {
			if got := tok.Encode(strs[i].Text); digest(got)[:8] != want {
				t.Errorf("%s: %.60q gives %v, which is not the reference's", s.Folder, strs[i].Text, got)
			}
		}
	}
}

// TestEveryCharacter: what becomes of each character of Unicode, between two letters, is what becomes of it
// in the reference.
func TestEveryCharacter(t *testing.T) {
	var all []struct {
		Lower, Strip bool
		Blocks       []string
	}
	golden(t, "unicode.json", &all)
	for _, g := range all {
		n := normalizer{clean: true, spaceCJK: true, strip: g.Strip, lower: g.Lower}
		for block, want := range g.Blocks {
			h := sha256.New()
			for c := rune(block * 4096); c < rune(block+1)*4096; c++ {
				if c >= 0xD800 && c < 0xE000 {
					continue
				}
				s := n.apply("a" + string(c) + "b")
				if c == 0x11938 { // decomposed since Unicode 13; either form is in no vocabulary
					s = "a" + string(c) + "b"
				}
				var parts []string
				words(s, func(w string) bool {
					parts = append(parts, w)
					return true
				})
				h.Write([]byte(strings.Join(parts, "|") + "\n"))
			}
			if hex.EncodeToString(h.Sum(nil))[:16] != want {
				t.Errorf("lower %v, strip %v: a character of U+%X to U+%X differs", g.Lower, g.Strip, block*4096, block*4096+4095)
			}
		}
	}
}

// TestCutting: a sentence is cut to the length asked for, its last token kept; what is shorter is left.
func TestCutting(t *testing.T) {
	whole := untruncated(loadSmall(t, "bert", 0))
	long := strings.Repeat("the film was good ", 30)
	all := whole.Encode(long)
	for _, n := range []int{3, 4, 100, len(all), len(all) + 1} {
		tok := loadSmall(t, "bert", n)
		want := all
		if n < len(all) {
			want = append(all[:n-1:n-1], all[len(all)-1])
		}
		if got := tok.Encode(long); !slices.Equal(got, want) || tok.MaxLength() != n {
			t.Errorf("cut to %d: %v, want %v", n, got, want)
		}
	}
}

// TestWhereTheLibraryIsWrong names what sugarme/tokenizer does otherwise when it is given the whole of a
// sentence, each by a string of words and what is to be equal to it.
func TestWhereTheLibraryIsWrong(t *testing.T) {
	tok := loadSmall(t, "bert", 0)
	for name, same := range map[string][2]string{
		"accents are stripped":                     {"café naïve", "cafe naive"},
		"and those that combine":                   {"cafe\u0301", "cafe"},
		"all white space ends words":               {"the\u00a0film\u3000was\u2003good", "the film was good"},
		"a removed first character":                {"\ufeffhello \u200bthe", "hello the"},
		"lower case of another length":             {"İ İSTANBUL", "i istanbul"},
		"extension A of CJK":                       {"a\u3400b", "a \u3400 b"},
		"control characters within words":          {"fi\x00l\u00adm", "film"},
		"bytes that are no UTF-8 are dropped":      {"fi\xfflm\xc3", "film"},
		"unassigned characters are kept":           {"a\u0378b", "\u0378"},
		"special tokens, whole, anywhere":          {"a[MASK]b", "a [MASK] b"},
		"but not where their case differs":         {"[mask]", "[ mask ]"},
		"nor where a character is removed in them": {"[MA\u200bSK]", "[ mask ]"},
	} {
		if got, want := tok.Encode(same[0]), tok.Encode(same[1]); !slices.Equal(got, want) {
			t.Errorf("%s: %q gives %v, and %q gives %v", name, same[0], got, same[1], want)
		}
	}
	if got := tok.Encode("[SEP][PAD]"); !slices.Equal(got, []int32{2, 3, 0, 3}) {
		t.Errorf("special tokens in the text give %v", got)
	}
}

// TestShared: goroutines that use one tokenizer get the same ids as one alone.
func TestShared(t *testing.T) {
	tok := loadSmall(t, "mpnet", 0)
	strs := hostiles(t)[:200]
	var want [][]int32
	for _, h := range strs {
		want = append(want, tok.Encode(h.Text))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, h := range strs {
				if !slices.Equal(tok.Encode(h.Text), want[i]) {
					t.Errorf("%.40q: other ids", h.Text)
				}
			}
		})
	}
	wg.Wait()
}

// TestVersions: folders as other versions and classes of the reference's tokenizers write them give its ids. It is
// the class that says whether tokenizer.json or the settings count where they differ.
func TestVersions(t *testing.T) {
	texts := []string{"Café film", "[E1] films 中文 [E2]", "CAFE cafe a[E1]b"}
	var all []struct {
		Folder string
		Files  map[string]json.RawMessage
		IDs    [][]int32
	}
	golden(t, "versions.json", &all)
	for _, g := range all {
		files := map[string][]byte{}
		for name, content := range g.Files {
			files[name] = content
			var lines string
			if json.Unmarshal(content, &lines) == nil {
				files[name] = []byte(lines)
			}
		}
		tok, err := load(inMemory(files), 0)
		if err != nil {
			t.Errorf("%s: %v", g.Folder, err)
			continue
		}
		for i, want := range g.IDs {
			if got := tok.Encode(texts[i]); !slices.Equal(got, want) {
				t.Errorf("%s: %q gives %v, want %v", g.Folder, texts[i], got, want)
			}
		}
		if n := tok.Vocabulary(); n < 19 || n > 21 {
			t.Errorf("%s: %d ids", g.Folder, n)
		}
	}
}

// TestCut: a sentence of as many tokens as there may be is whole, and one of a token more is cut.
func TestCut(t *testing.T) {
	tok := loadSmall(t, smalls(t)[0].Folder, 8)
	for n := range 12 {
		s := strings.Repeat(". ", n)
		if got := tok.Cut(s); got != (n > 6) || len(tok.Encode(s)) > 8 {
			t.Errorf("%d tokens beside the first and the last: cut is %t, %d ids", n, got, len(tok.Encode(s)))
		}
	}
}
