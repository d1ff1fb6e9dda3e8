package text

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"dla/internal/rng"
)

// few is a tokenizer of few tokens, in both forms, with both files of settings.
var few = map[string][]byte{
	"tokenizer.json": []byte(`{"added_tokens": [
	{"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
	{"id": 1, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": true},
	{"id": 8, "content": "[E]", "single_word": false, "lstrip": true, "rstrip": false, "normalized": false, "special": true}],
"normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
"pre_tokenizer": {"type": "BertPreTokenizer"},
"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
	"special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
	"vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "##b": 5, "film": 6, "##s": 7}}}
`),
	"vocab.txt":               []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\nfilm\n##s\n"),
	"tokenizer_config.json":   []byte(`{"model_max_length": 64, "do_lower_case": true, "cls_token": "[CLS]", "mask_token": null, "additional_special_tokens": ["film"]}`),
	"special_tokens_map.json": []byte(`{"cls_token": "[CLS]", "sep_token": {"content": "[SEP]", "lstrip": false}, "mask_token": "a"}`),
}

// TestHostileFolders: every one is an error that names the file, says what is wrong and what to do.
func TestHostileFolders(t *testing.T) {
	const document, list, cfg, special = "tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"
	deep := strings.Repeat("[", 1<<20)
	for name, tc := range map[string]struct {
		file     string // which is changed; all others are as they should be
		old, new string // old "": the whole content is new
		want     string
	}{
		"nothing":           {document, "", "", "unexpected end of JSON input"},
		"no JSON":           {document, "", "<html>", "invalid character"},
		"something follows": {document, "}}}\n", "}}} x", "invalid character"},
		"deep":              {document, "", deep, "exceeded max depth"},
		"deep, in a key not read": {document, `{"added`, `{"x":` + deep + strings.Repeat("]", 1<<20) + `,"added`,
			"exceeded max depth"},
		"large": {document, "", strings.Repeat(" ", maxTokenizerFile+1),
			"has more than the 16777216 bytes"},
		"latin-1":       {document, `"film"`, "\"f\xeflm\"", "is not UTF-8"},
		"a token twice": {document, `"a": 4`, `"a": 4, "a": 4`, `key "a" stands twice`},
		"a setting twice": {document, `"lowercase": true`, `"lowercase": true, "lowercase": false`,
			`key "lowercase" stands twice`},
		"an id twice": {document, `"a": 4`, `"a": 5`,
			"has the id 5: the 8 tokens must have the ids from 0 up, each once"},
		"an id missing":        {document, `"##s": 7`, `"##s": 9`, `token "##s" has the id 9`},
		"a negative id":        {document, `"a": 4`, `"a": -4`, `token "a" has the id -4`},
		"a fraction for an id": {document, `"a": 4`, `"a": 4.5`, "cannot unmarshal number 4.5"},
		"a huge id":            {document, `"a": 4`, `"a": 4e30`, "cannot unmarshal number"},
		"an empty token":       {document, `"a": 4`, `"": 4`, `token "" has the id 4`},
		"no vocabulary":        {document, `"vocab"`, `"vocabulary"`, "holds 0 tokens"},
		"BPE without a type":   {document, `{"type": "WordPiece"`, `{"merges": []`, `its model is "", want WordPiece`},
		"no type and no prefix": {document,
			`"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"`, `"unk_token": "[UNK]"`,
			`its model is "", want WordPiece`},
		"BPE":                {document, `"WordPiece"`, `"BPE"`, `its model is "BPE", want WordPiece`},
		"another normalizer": {document, `"BertNormalizer"`, `"NFC"`, `its normalizer is "NFC", want BertNormalizer`},
		"no normalizer":      {document, `"normalizer"`, `"normaliser"`, `its normalizer is "", want BertNormalizer`},
		"half a normalizer":  {document, `"clean_text": true, `, ``, "lacks clean_text"},
		"another splitter":   {document, `"BertPreTokenizer"`, `"ByteLevel"`, `its pre_tokenizer is "ByteLevel"`},
		"no token before a sentence": {document, `{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, `, ``,
			"post_processor does not set one token before"},
		"no post_processor": {document, `"post_processor"`, `"x"`,
			`its post_processor is "", want TemplateProcessing`},
		"another id around":       {document, `"ids": [2]`, `"ids": [3]`, `gives "[CLS]" the id 3, which is not`},
		"many ids around":         {document, `"ids": [2]`, `"ids": [2, 2]`, `gives "[CLS]" the id -1`},
		"an unknown token around": {document, `"Sequence"`, `"Seq"`, "post_processor does not set"},
		"no unknown token": {document, `"[UNK]": 1`, `"[unk]": 1`,
			`holds no token "[UNK]", which stands for unknown words`},
		"no prefix": {document, `"continuing_subword_prefix": "##", `, ``, "continuing_subword_prefix"},
		"no limit of characters": {document, `"max_input_chars_per_word": 100`, `"max_input_chars_per_word": 1000000`,
			"max_input_chars_per_word is 1000000, want 1 to 1000"},
		"another id of a token": {document, `"id": 1,`, `"id": 2,`,
			`added token "[UNK]" has the id 2, which is not its own`},
		"an id of another token": {document, `"id": 8,`, `"id": 7,`,
			`added token "[E]" has the id 7, which is not its own`},
		"an id beyond all":     {document, `"id": 8,`, `"id": 2147483647,`, `added token "[E]" has the id 2147483647`},
		"an empty added token": {document, `"content": "[E]"`, `"content": ""`, `added token "" is nothing`},
		"an added token twice": {document, `"id": 8, "content": "[E]"`, `"id": 0, "content": "[PAD]"`, "occurs twice"},
		"a token for single words": {document, `"content": "[E]", "single_word": false`,
			`"content": "[E]", "single_word": true`, "is one for single words"},
		"tokens that are a number": {document, `"added_tokens": [`, `"added_tokens": 3, "x": [`, "cannot unmarshal"},

		"settings cut":        {cfg, "", `{"model_max_length": 64`, "unexpected end of JSON input"},
		"settings of a type":  {cfg, `: true`, `: "yes"`, "cannot unmarshal string"},
		"settings are a list": {cfg, "", `[]`, "cannot unmarshal array"},
		"another first token": {cfg, `"[CLS]"`, `"[SEP]"`,
			`special_tokens_map.json: cls_token is "[CLS]", and "[SEP]" in tokenizer_config.json`},
		"an unknown token": {cfg, `["film"]`, `["movie"]`,
			`holds no token "movie", which tokenizer_config.json or special_tokens_map.json names`},
		"a key that is no id": {cfg, `"do_l`, `"added_tokens_decoder": {"x": {"content": "y"}}, "do_l`,
			`has the key "x", which is not an id`},
		"a wrong key": {cfg, `"do_l`, `"added_tokens_decoder": {"5": {"content": "a"}}, "do_l`,
			`added token "a" has the id 5`},
		"a limit of no tokens":   {cfg, `64`, `2`, "leave no room between its first and its last"},
		"names of a type":        {special, `"mask_token": "a"`, `"mask_token": 3`, "cannot unmarshal number"},
		"extra tokens of a type": {cfg, `["film"]`, `[], "extra_special_tokens": 3`, "cannot unmarshal number"},
		"an unknown extra token": {cfg, `["film"]`, `[], "extra_special_tokens": {"x": "movie"}`,
			`holds no token "movie", which tokenizer_config.json`},
		"another last token": {special, `"content": "[SEP]"`, `"content": "a"`, `its sep_token is "[SEP]", and "a" in`},

		"no vocab.txt": {list, "", "", "its 0 tokens are fewer than the 8"},
		"vocab.txt cut": {list, "film\n##s\n", "film",
			"truncated: its last line has no end, and its 7 tokens are fewer than the 8 of config.json"},
		"no UTF-8":              {list, "film\n", "f\xeflm\n", "is not UTF-8"},
		"no [CLS]":              {list, "[CLS]\n", "", `holds no token "[CLS]"`},
		"vocab.txt without unk": {list, "[UNK]\n", "", `holds no token "[UNK]"`},
		"no pad":                {list, "[PAD]\n", "", `holds no token "[PAD]"`},
		"MPNet's without names": {list, "film\n", "<s>\nfilm\n",
			"holds <s> as MPNet's vocabulary does, and no tokenizer_config.json or special_tokens_map.json says what unk_token is"},
		"many tokens": {list, "", manyLines(), "has more than 1048576 tokens"},
	} {
		files := maps.Clone(few)
		files[tc.file] = []byte(tc.new)
		if tc.old != "" {
			if files[tc.file] = bytes.Replace(few[tc.file], []byte(tc.old), []byte(tc.new), 1); bytes.Equal(files[tc.file],
				few[tc.file]) {
				t.Fatalf("%s: nothing is changed", name)
			}
		}
		if tc.file == list {
			delete(files, document)
			files["config.json"] = []byte(`{"model_type": "bert", "vocab_size": 8}`)
		}
		_, err := load(inMemory(files), 0)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "FOLDER") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
}

// inMemory is a folder of these files.
func inMemory(files map[string][]byte) folderReader {
	all := fstest.MapFS{}
	for name, b := range files {
		all[name] = &fstest.MapFile{Data: b}
	}
	return folderReader{"FOLDER", all}
}

// manyLines is a vocabulary of more tokens than any.
func manyLines() string {
	var b strings.Builder
	for i := range maxVocabulary + 1 {
		fmt.Fprintf(&b, "%x\n", i)
	}
	return b.String()
}

func TestFoldersWithout(t *testing.T) {
	empty := t.TempDir()
	file := filepath.Join(empty, "file")
	for _, tc := range []struct{ folder, want string }{
		{empty, "holds neither tokenizer.json nor vocab.txt; name the folder"},
		{file, "is not a folder; name that"},
		{filepath.Join(empty, "nowhere"), "is not a folder; name that"},
	} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(tc.folder, 0); err == nil || !strings.Contains(err.Error(), tc.want) ||
			!strings.Contains(err.Error(), tc.folder) {
			t.Errorf("%s: error %v, want one with %q", tc.folder, err, tc.want)
		}
	}
	old := map[string][]byte{"vocab.txt": few["vocab.txt"], "special_tokens_map.json": few["special_tokens_map.json"],
		"added_tokens.json": []byte(`{"x": 8}`)}
	if _, err := load(inMemory(old), 0); err == nil || !strings.Contains(err.Error(), "added_tokens.json: adds tokens") {
		t.Errorf("error %v, want one about added_tokens.json", err)
	}
	added := maps.Clone(few)
	added["added_tokens.json"] = []byte(`{"[E]": 8, "##b": 5}`)
	if _, err := load(inMemory(added), 0); err == nil || !strings.Contains(err.Error(),
		`added_tokens.json: adds the token "##b" with the id 5, which tokenizer.json does not`) {
		t.Errorf("error %v, want one about added_tokens.json", err)
	}
	for n, want := range map[int]string{65: "65 tokens are more than the 64", 2: "at least 3 are needed",
		-1: "at least 3 are needed"} {
		if _, err := load(inMemory(few), n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("cut to %d: error %v, want one with %q", n, err, want)
		}
	}
}

// TestFingerprint: it is another as soon as an id could be, and the same for the same tokenizer.
func TestFingerprint(t *testing.T) {
	from := load
	load := func(old, new string, maxLength int) *Tokenizer {
		files := maps.Clone(few)
		files["tokenizer.json"] = bytes.ReplaceAll(files["tokenizer.json"], []byte(old), []byte(new))
		tok, err := load(inMemory(files), maxLength)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	first := load("", "", 0)
	if again := load("false}, {", "false},{", 64); again.Fingerprint() != first.Fingerprint() || first.Vocabulary() != 9 {
		t.Errorf("another fingerprint of the same, or %d ids", first.Vocabulary())
	}
	seen := []string{first.Fingerprint()}
	listed := bytes.Replace(few["tokenizer.json"], []byte("\"added_tokens\": ["),
		[]byte(`"added_tokens": [{"id": 9, "content": "[F]"}, `), 1)
	last := bytes.Replace(few["tokenizer.json"], []byte(`"special": true}],`),
		[]byte(`"special": true}, {"id": 9, "content": "[F]"}],`), 1)
	var order [2]string
	for i, document := range [][]byte{listed, last} {
		files := maps.Clone(few)
		files["tokenizer.json"] = document
		tok, err := from(inMemory(files), 0)
		if err != nil {
			t.Fatal(err)
		}
		order[i] = tok.Fingerprint()
	}
	if order[0] != order[1] {
		t.Error("another fingerprint where the added tokens are listed in another order")
	}
	for _, tok := range []*Tokenizer{load("", "", 10), load(`"##b": 5, "film": 6`, `"##b": 6, "film": 5`, 0),
		load(`"handle_chinese_chars": true`, `"handle_chinese_chars": false`, 0), load(`"[E]"`, `"[F]"`, 0)} {
		if tok.Fingerprint() != first.Fingerprint() {
			seen = append(seen, tok.Fingerprint())
		}
	}
	if slices.Sort(seen); len(slices.Compact(seen)) != 5 {
		t.Errorf("%d fingerprints of 5 tokenizers", len(slices.Compact(seen)))
	}
}

// TestMutations: of 10,000 damaged folders each is an error or a tokenizer whose ids are all below its
// Vocabulary; none panics or takes memory out of proportion.
func TestMutations(t *testing.T) {
	r := rng.New(1, "mutations", 0, 0)
	names := slices.Sorted(maps.Keys(few))
	loaded := 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const rounds = 10000
	for i := range rounds {
		name, files := names[i%len(names)], maps.Clone(few)
		files[name] = mutated(&r, few[name])
		if name == "vocab.txt" {
			delete(files, "tokenizer.json")
		}
		tok, err := load(inMemory(files), 0)
		if err != nil {
			if !strings.Contains(err.Error(), "FOLDER") {
				t.Fatalf("the error names no file: %v", err)
			}
			continue
		}
		loaded++
		checkIDs(t, tok, "a films [E][PAD] x[UNK]ab \u4e2d\u0301 [CLS] \xff")
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > 1<<20 {
		t.Errorf("%d bytes of memory for a folder of 2 kB", each)
	}
	if loaded < rounds/100 || loaded > rounds/2 {
		t.Errorf("%d of %d damaged folders were read: the damage is too heavy or too light", loaded, rounds)
	}
}

// mutated is b with one to four changes: bits turned, bytes replaced, stretches removed, doubled or moved,
// the end cut.
func mutated(r *rng.Stream, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(4) {
		if len(b) < 2 {
			break
		}
		at := r.IntN(len(b))
		end := at + 1 + r.IntN(min(40, len(b)-at))
		switch r.IntN(7) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			const special = "\"{}[]:,-.\\e# \n\x00\xff"
			b[at] = special[r.IntN(len(special))]
		case 2:
			b = append(b[:at:at], b[end:]...)
		case 3:
			b = slices.Concat(b[:end], b[at:])
		case 4:
			to := r.IntN(len(b))
			b = slices.Concat(b[:to], b[at:end], b[to:])
		case 5:
			b[at] = "0123456789"[r.IntN(10)]
		case 6:
			if r.IntN(8) == 0 {
				b = b[:at]
			}
		}
	}
	return b
}

// checkIDs says what must hold of the ids of any text.
func checkIDs(t *testing.T, tok *Tokenizer, s string) {
	t.Helper()
	ids := tok.Encode(s)
	if len(ids) < 2 || len(ids) > tok.MaxLength() || ids[0] != tok.first || ids[len(ids)-1] != tok.last {
		t.Fatalf("%.60q: %d ids, from %d to %d", s, len(ids), ids[0], ids[len(ids)-1])
	}
	for _, id := range ids {
		if id < 0 || int(id) >= tok.Vocabulary() {
			t.Fatalf("%.60q: id %d of %d", s, id, tok.Vocabulary())
		}
	}
}
