package text

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sugarme/tokenizer/model"
	"github.com/sugarme/tokenizer/model/wordpiece"

	"dla/internal/weights"
)

// What a folder may hold. Files that claim more are refused before memory is taken for it.
const (
	maxTokenizerFile = 16 << 20 // bytes; BERT's, of 30,522 tokens, has 0.5 MB
	maxVocabulary    = 1 << 20  // tokens
	maxWordChars     = 1000     // a word's characters, which WordPiece's time grows with the square of
	maxAdded         = 1000     // tokens beside the vocabulary's, each of which is looked for
	usualMaxLength   = 512      // where a folder gives none: that of all models of the family
)

// Load reads the tokenizer of a Hugging Face folder: tokenizer.json, or else vocab.txt, with what
// tokenizer_config.json and special_tokens_map.json add. Sentences are cut to maxLength tokens, 0 being
// the model's own limit.
//
// It must be a tokenizer of BERT's kind, by which DistilBERT, MiniLM and MPNet go too. Anything else, and
// what is malformed, truncated or contradicts itself, is an error that names the file; memory is bounded
// by the files' size.
func Load(folder string, maxLength int) (*Tokenizer, error) {
	if st, err := os.Stat(folder); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("%s is not a folder; name that of a Hugging Face model of the BERT family", folder)
	}
	return load(folderReader{folder, os.DirFS(folder)}, maxLength)
}

// load is Load of what f reads.
func load(f folderReader, maxLength int) (*Tokenizer, error) {
	cfg, err := f.config()
	if err != nil {
		return nil, err
	}
	var d definition
	switch {
	case f.has("tokenizer.json"):
		d, err = f.document(cfg)
	case f.has("vocab.txt"):
		d, err = f.vocabulary(cfg)
	default:
		return nil, fmt.Errorf("%s holds neither tokenizer.json nor vocab.txt; name the folder of a Hugging Face model of the BERT family", f.folder)
	}
	if err != nil {
		return nil, err
	}
	if d.maxLength, err = limit(f.folder, cfg, maxLength); err != nil {
		return nil, err
	}
	return d.tokenizer(), nil
}

// limit is the number of tokens a sentence is cut to.
func limit(folder string, cfg config, asked int) (int, error) {
	own := usualMaxLength
	if m := float64(cfg.ModelMaxLength); m >= 1 && m < 1e9 { // 1e30 is written where there is none
		own = int(m)
	}
	switch asked = cmp.Or(asked, own); {
	case asked > own:
		return 0, fmt.Errorf("sentences of %d tokens are more than the %d that the model in %s takes", asked, own, folder)
	case asked < 3:
		return 0, fmt.Errorf("sentences of %d tokens for the model in %s leave no room between its first and its last; at least 3 are needed", asked, folder)
	}
	return asked, nil
}

// definition is a tokenizer as its folder describes it, checked.
type definition struct {
	vocab           map[string]int
	ids             int // of the vocabulary: 0 to ids-1, of which vocab.txt may leave some out
	prefix, unknown string
	maxWordChars    int
	normalizer      normalizer
	added           []addedToken
	first, last     string
	maxLength       int
}

// tokenizer builds what d says.
func (d *definition) tokenizer() *Tokenizer {
	vocab := model.Vocab(d.vocab)
	t := &Tokenizer{
		model:      wordpiece.NewWordPieceBuilder().Vocab(&vocab).UnkToken(d.unknown).ContinuingSubwordPrefix(d.prefix).MaxInputCharsPerWord(d.maxWordChars).Build(),
		normalizer: d.normalizer, maxLength: d.maxLength, vocabulary: d.ids,
	}
	var raw, folded []mark
	for _, a := range d.added {
		t.vocabulary = max(t.vocabulary, a.ID+1)
		if a.Normalized {
			folded = append(folded, mark{d.normalizer.apply(a.Content), int32(a.ID)})
		} else {
			raw = append(raw, mark{a.Content, int32(a.ID)})
		}
	}
	t.raw, t.folded = newMarks(raw), newMarks(folded)
	first, _ := d.id(d.first) // check has seen both
	last, _ := d.id(d.last)
	t.first, t.last = int32(first), int32(last)
	h := sha256.New()
	added := slices.SortedFunc(slices.Values(d.added), func(a, b addedToken) int { return cmp.Compare(a.ID, b.ID) }) // where they are listed changes no id
	fmt.Fprintf(h, "%q %q %d %+v %q %q %d %+v\n", d.prefix, d.unknown, d.maxWordChars, d.normalizer, d.first, d.last,
		d.maxLength, added)
	for _, w := range slices.Sorted(maps.Keys(d.vocab)) {
		fmt.Fprintf(h, "%q %d\n", w, d.vocab[w])
	}
	t.fingerprint = hex.EncodeToString(h.Sum(nil))
	return t
}

// addedToken is a token that is looked for in a text before words are split.
type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	Normalized bool   `json:"normalized"`
}

// UnmarshalJSON reads a token that is given as an object or by its content alone.
func (a *addedToken) UnmarshalJSON(b []byte) error {
	*a = addedToken{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &a.Content)
	}
	type object addedToken
	return json.Unmarshal(b, (*object)(a))
}

// config is what is used of tokenizer_config.json, and of special_tokens_map.json, which has some of it.
type config struct {
	Class          string `json:"tokenizer_class"`
	ModelMaxLength number `json:"model_max_length"`
	LowerCase      *bool  `json:"do_lower_case"`
	StripAccents   *bool  `json:"strip_accents"`
	SpaceCJK       *bool  `json:"tokenize_chinese_chars"`

	CLS        *addedToken           `json:"cls_token"`
	SEP        *addedToken           `json:"sep_token"`
	UNK        *addedToken           `json:"unk_token"`
	PAD        *addedToken           `json:"pad_token"`
	Mask       *addedToken           `json:"mask_token"`
	BOS        *addedToken           `json:"bos_token"`
	EOS        *addedToken           `json:"eos_token"`
	Additional []addedToken          `json:"additional_special_tokens"`
	Extra      extraTokens           `json:"extra_special_tokens"` // transformers 5 calls them so
	Added      map[string]addedToken `json:"added_tokens_decoder"` // by id

	modelIDs float64 // how many the model has a vector of; 0: not said
}

// number is a JSON number of any size.
type number float64

// UnmarshalJSON reads a number, or null as 0.
func (n *number) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, (*float64)(n))
}

// extraTokens are tokens in a list, or each with a name, which is of no use here.
type extraTokens struct {
	all    []addedToken
	listed bool
}

// UnmarshalJSON reads the list or the object.
func (e *extraTokens) UnmarshalJSON(b []byte) error {
	*e = extraTokens{}
	if len(b) > 0 && b[0] == '[' {
		e.listed = true
		return json.Unmarshal(b, &e.all)
	}
	var byName map[string]addedToken
	err := json.Unmarshal(b, &byName)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		e.all = append(e.all, byName[name])
	}
	return err
}

// named are the tokens that c gives a role.
func (c *config) named() []*addedToken {
	return []*addedToken{c.CLS, c.SEP, c.UNK, c.PAD, c.Mask, c.BOS, c.EOS}
}

// folderReader reads the files of a folder.
type folderReader struct {
	folder string // its name, for errors
	files  fs.FS
}

func (f *folderReader) path(name string) string { return filepath.Join(f.folder, name) }

// has says whether there is a file name. One that cannot be looked at is there: reading it is to fail.
func (f *folderReader) has(name string) bool {
	_, err := fs.Stat(f.files, name)
	return !errors.Is(err, fs.ErrNotExist)
}

// bad is the error of a file that is not what its name says.
func (f *folderReader) bad(name, format string, args ...any) error {
	return fmt.Errorf("%s: %w; fetch the folder again, or name that of a Hugging Face model of the BERT family",
		f.path(name), fmt.Errorf(format, args...))
}

// read is the content of the file name, UTF-8 of a bounded size.
func (f *folderReader) read(name string) ([]byte, error) {
	if st, err := fs.Stat(f.files, name); err == nil && !st.Mode().IsRegular() { // opening a pipe would block
		return nil, f.bad(name, "is no regular file")
	}
	r, err := f.files.Open(name)
	if err != nil {
		return nil, f.bad(name, "%w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxTokenizerFile+1))
	if err != nil {
		return nil, f.bad(name, "%w", err)
	}
	switch {
	case len(b) > maxTokenizerFile:
		return nil, f.bad(name, "has more than the %d bytes that are read", maxTokenizerFile)
	case !utf8.Valid(b):
		return nil, f.bad(name, "is not UTF-8")
	}
	return b, nil
}

// decode reads the JSON file name into v, and refuses an object that names a key twice: readers disagree
// on which one counts.
func (f *folderReader) decode(name string, v any) error {
	b, err := f.read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil { // checks the syntax and the depth of all of it first
		return f.bad(name, "%w", err)
	}
	if err := weights.UniqueKeys(b); err != nil {
		return f.bad(name, "%w", err)
	}
	return nil
}

// config reads tokenizer_config.json and special_tokens_map.json, of which either may be missing.
func (f *folderReader) config() (config, error) {
	const tokenizerConfig, specialTokens, modelConfig = "tokenizer_config.json", "special_tokens_map.json", "config.json"
	var c, m config
	if f.has(tokenizerConfig) {
		if err := f.decode(tokenizerConfig, &c); err != nil {
			return c, err
		}
	}
	if f.has(specialTokens) {
		if err := f.decode(specialTokens, &m); err != nil {
			return c, err
		}
	}
	for i, role := range []struct {
		name string
		c    **addedToken
	}{{"cls_token", &c.CLS}, {"sep_token", &c.SEP}, {"unk_token", &c.UNK}, {"pad_token", &c.PAD}, {"mask_token",
		&c.Mask}, {"bos_token", &c.BOS}, {"eos_token", &c.EOS}} {
		other := m.named()[i]
		switch {
		case *role.c == nil:
			*role.c = other
		case other != nil && other.Content != (*role.c).Content:
			return c, f.bad(specialTokens, "%s is %q, and %q in %s", role.name, other.Content, (*role.c).Content,
				tokenizerConfig)
		}
	}
	c.Additional = append(c.Additional, m.Additional...)
	c.Extra.all = append(c.Extra.all, m.Extra.all...)
	if c.Extra.listed && len(c.Extra.all) > 0 { // then transformers does not look at the others
		c.Additional = nil
	}
	c.Additional = append(c.Additional, c.Extra.all...)
	if f.has(modelConfig) {
		var model struct {
			Class string `json:"tokenizer_class"`
			Type  string `json:"model_type"`
			Vocab number `json:"vocab_size"`
		}
		if err := f.decode(modelConfig, &model); err != nil {
			return c, err
		}
		c.Class, c.modelIDs = cmp.Or(c.Class, model.Class, classes[model.Type]), float64(model.Vocab)
	}
	c.Class = strings.TrimSuffix(c.Class, "Fast")
	return c, nil
}

// classes are the tokenizers of transformers that a model's type has where its folder names none.
var classes = map[string]string{"bert": "BertTokenizer", "distilbert": "DistilBertTokenizer", "mpnet": "MPNetTokenizer"}

// document is the definition in tokenizer.json.
func (f *folderReader) document(cfg config) (d definition, err error) {
	const name = "tokenizer.json"
	var doc struct {
		Added      []addedToken `json:"added_tokens"`
		Normalizer struct {
			Type         string `json:"type"`
			Clean        *bool  `json:"clean_text"`
			SpaceCJK     *bool  `json:"handle_chinese_chars"`
			StripAccents *bool  `json:"strip_accents"`
			LowerCase    *bool  `json:"lowercase"`
		} `json:"normalizer"`
		Splitter struct {
			Type string `json:"type"`
		} `json:"pre_tokenizer"`
		Around around `json:"post_processor"`
		Model  struct {
			Type         string         `json:"type"`
			Unknown      string         `json:"unk_token"`
			Prefix       string         `json:"continuing_subword_prefix"`
			MaxWordChars int            `json:"max_input_chars_per_word"`
			Vocab        map[string]int `json:"vocab"`
			Merges       any            `json:"merges"` // of BPE
		} `json:"model"`
	}
	if err := f.decode(name, &doc); err != nil {
		return d, err
	}
	n, m := doc.Normalizer, doc.Model
	if m.Type == "" && m.Merges == nil && m.Prefix != "" { // of before tokenizers 0.9, as published for BERT and DistilBERT
		m.Type = "WordPiece"
	}
	for _, part := range []struct{ key, got, want string }{
		{"model", m.Type, "WordPiece"}, {"normalizer", n.Type, "BertNormalizer"}, {"pre_tokenizer", doc.Splitter.Type,
			"BertPreTokenizer"},
	} {
		if part.got != part.want {
			return d, f.bad(name, "its %s is %q, want %s", part.key, part.got, part.want)
		}
	}
	switch {
	case n.Clean == nil || n.SpaceCJK == nil || n.LowerCase == nil:
		return d, f.bad(name, "its normalizer lacks clean_text, handle_chinese_chars or lowercase")
	case m.MaxWordChars < 1 || m.MaxWordChars > maxWordChars:
		return d, f.bad(name, "max_input_chars_per_word is %d, want 1 to %d", m.MaxWordChars, maxWordChars)
	case m.Prefix == "":
		return d, f.bad(name, "its model has no continuing_subword_prefix")
	}
	// The tokenizers of these models take the configuration's word, and their own where it has none; others, such
	// as PreTrainedTokenizerFast, take the document as it stands.
	lower, strip, spaceCJK := *n.LowerCase, n.StripAccents, *n.SpaceCJK
	if slices.Contains(slices.Collect(maps.Values(classes)), cfg.Class) {
		lower, strip, spaceCJK = flag(cfg.LowerCase, true), cfg.StripAccents, flag(cfg.SpaceCJK, true)
	}
	d = definition{
		vocab: m.Vocab, ids: len(m.Vocab), prefix: m.Prefix, unknown: m.Unknown, maxWordChars: m.MaxWordChars,
		normalizer: normalizer{clean: *n.Clean, spaceCJK: spaceCJK, strip: flag(strip, lower), lower: lower},
		added:      doc.Added,
	}
	words := make([]string, d.ids) // by id
	for w, id := range d.vocab {
		if id < 0 || id >= len(words) || words[id] != "" || w == "" {
			return d, f.bad(name, "token %q has the id %d: the %d tokens must have the ids from 0 up, each once", w, id,
				len(words))
		}
		words[id] = w
	}
	if d.first, d.last, err = doc.Around.tokens(); err != nil {
		return d, f.bad(name, "its post_processor %w", err)
	}
	if err := d.check(cfg); err != nil {
		return d, f.bad(name, "%w", err)
	}
	for _, a := range doc.Around.ids() {
		if id, ok := d.id(a.Content); !ok || id != a.ID {
			return d, f.bad(name, "its post_processor gives %q the id %d, which is not the token's", a.Content, a.ID)
		}
	}
	more, err := f.addedTokens()
	if err != nil {
		return d, err
	}
	for _, token := range slices.Sorted(maps.Keys(more)) {
		if !slices.ContainsFunc(d.added, func(a addedToken) bool { return a.Content == token && a.ID == more[token] }) {
			return d, f.bad(addedName, "adds the token %q with the id %d, which tokenizer.json does not", token, more[token])
		}
	}
	return d, nil
}

// flag is what b says, or otherwise where it is not given.
func flag(b *bool, otherwise bool) bool { return b == nil && otherwise || b != nil && *b }

const addedName = "added_tokens.json"

// addedTokens are the tokens that added_tokens.json adds, with their ids; the file may be missing.
func (f *folderReader) addedTokens() (ids map[string]int, err error) {
	if f.has(addedName) {
		err = f.decode(addedName, &ids)
	}
	return ids, err
}

// around is what sets the model's tokens around a sentence.
type around struct {
	Type   string `json:"type"`
	CLS    pair   `json:"cls"` // of BertProcessing and RobertaProcessing
	SEP    pair   `json:"sep"`
	Single []struct {
		Special  *struct{ ID string } `json:"SpecialToken"`
		Sequence *struct{ ID string } `json:"Sequence"`
	} `json:"single"` // of TemplateProcessing
	Special map[string]struct{ IDs []int } `json:"special_tokens"`
}

// pair is a token and its id, as a list of both.
type pair struct {
	token string
	id    int
}

// UnmarshalJSON reads the list.
func (p *pair) UnmarshalJSON(b []byte) error {
	list := [2]any{&p.token, &p.id}
	return json.Unmarshal(b, &list)
}

// tokens are the one before a sentence and the one after it.
func (a *around) tokens() (first, last string, err error) {
	switch a.Type {
	case "BertProcessing", "RobertaProcessing":
		return a.CLS.token, a.SEP.token, nil
	case "TemplateProcessing":
		if s := a.Single; len(s) == 3 && s[0].Special != nil && s[1].Sequence != nil && s[2].Special != nil {
			return s[0].Special.ID, s[2].Special.ID, nil
		}
		return "", "", errors.New("does not set one token before a sentence and one after it")
	}
	return "", "", fmt.Errorf("is %q, want TemplateProcessing, BertProcessing or RobertaProcessing", a.Type)
}

// ids are the tokens with the ids that a says they have.
func (a *around) ids() []addedToken {
	all := []addedToken{{Content: a.CLS.token, ID: a.CLS.id}, {Content: a.SEP.token, ID: a.SEP.id}}
	if a.Type == "TemplateProcessing" {
		all = all[:0]
		for _, at := range []int{0, 2} {
			t := addedToken{Content: a.Single[at].Special.ID, ID: -1}
			if ids := a.Special[t.Content].IDs; len(ids) == 1 {
				t.ID = ids[0]
			}
			all = append(all, t)
		}
	}
	return all
}

// vocabulary is the definition by vocab.txt, one token a line: BERT's unless the configuration says else. As in the
// reference a token's id is its line, white space at a line's end is none of it, and of two lines the later counts.
func (f *folderReader) vocabulary(cfg config) (d definition, err error) {
	const name = "vocab.txt"
	b, err := f.read(name)
	if err != nil {
		return d, err
	}
	d = definition{vocab: map[string]int{}, prefix: "##", maxWordChars: 100}
	id := 0
	for line := range strings.Lines(string(b)) {
		if id == maxVocabulary {
			return d, f.bad(name, "has more than %d tokens", maxVocabulary)
		}
		if line = strings.TrimRightFunc(line, isSpace); line != "" {
			d.vocab[line], d.ids = id, id+1
		}
		id++
	}
	if !strings.HasSuffix(string(b), "\n") && float64(d.ids) < cfg.modelIDs {
		return d, f.bad(name, "truncated: its last line has no end, and its %d tokens are fewer than the %g of config.json",
			d.ids, cfg.modelIDs)
	}
	more, err := f.addedTokens()
	if err != nil {
		return d, err
	}
	if len(more) > 0 {
		return d, f.bad(addedName, "adds tokens, which are read from tokenizer.json only, and there is none")
	}
	_, mpnet := d.vocab["<s>"]
	for _, role := range []struct {
		key, usual string
		token      **addedToken
	}{{"cls_token", "[CLS]", &cfg.CLS}, {"sep_token", "[SEP]", &cfg.SEP}, {"unk_token", "[UNK]", &cfg.UNK}, {"pad_token",
		"[PAD]", &cfg.PAD}, {"mask_token", "[MASK]", &cfg.Mask}} {
		if *role.token == nil {
			if mpnet {
				return d, f.bad(name,
					"holds <s> as MPNet's vocabulary does, and no tokenizer_config.json or special_tokens_map.json says what %s is",
					role.key)
			}
			*role.token = &addedToken{Content: role.usual}
		}
	}
	lower := flag(cfg.LowerCase, true)
	d.normalizer = normalizer{clean: true, spaceCJK: flag(cfg.SpaceCJK, true), strip: flag(cfg.StripAccents, lower),
		lower: lower}
	d.first, d.last, d.unknown = cfg.CLS.Content, cfg.SEP.Content, cfg.UNK.Content
	if err := d.check(cfg); err != nil {
		return d, f.bad(name, "%w", err)
	}
	return d, nil
}

// check says what is wrong with d, after adding the tokens that cfg names.
func (d *definition) check(cfg config) error {
	if len(d.vocab) == 0 || len(d.vocab) > maxVocabulary {
		return fmt.Errorf("holds %d tokens, want 1 to %d", len(d.vocab), maxVocabulary)
	}
	if _, ok := d.vocab[d.unknown]; !ok {
		return fmt.Errorf("holds no token %q, which stands for unknown words", d.unknown)
	}
	for _, role := range []struct {
		key   string
		named *addedToken
		used  string
	}{{"cls_token", cfg.CLS, d.first}, {"sep_token", cfg.SEP, d.last}, {"unk_token", cfg.UNK, d.unknown}} {
		if role.named != nil && role.named.Content != role.used {
			return fmt.Errorf("its %s is %q, and %q in tokenizer_config.json or special_tokens_map.json", role.key, role.used,
				role.named.Content)
		}
	}
	if err := d.add(cfg); err != nil {
		return err
	}
	byID, byContent := map[int]bool{}, map[string]bool{}
	for _, a := range d.added {
		id, inVocab := d.vocab[a.Content]
		switch {
		case a.Content == "" || d.normalizer.apply(a.Content) == "":
			return fmt.Errorf("the added token %q is nothing", a.Content)
		case a.SingleWord:
			return fmt.Errorf("the added token %q is one for single words, which this program does not read", a.Content)
		case byID[a.ID] || byContent[a.Content]:
			return fmt.Errorf("the added token %q or its id %d occurs twice", a.Content, a.ID)
		case inVocab && id != a.ID || !inVocab && (a.ID < d.ids || a.ID >= maxVocabulary+maxAdded):
			return fmt.Errorf("the added token %q has the id %d, which is not its own", a.Content, a.ID)
		}
		byID[a.ID], byContent[a.Content] = true, true
	}
	for _, w := range []string{d.first, d.last} {
		if _, ok := d.id(w); !ok {
			return fmt.Errorf("holds no token %q, which every sentence gets", w)
		}
	}
	return nil
}

// add adds the tokens of cfg that are not yet among the added ones.
func (d *definition) add(cfg config) error {
	have := map[string]bool{}
	for _, a := range d.added {
		have[a.Content] = true
	}
	for _, key := range slices.Sorted(maps.Keys(cfg.Added)) {
		a := cfg.Added[key]
		if _, err := fmt.Sscan(key, &a.ID); err != nil {
			return fmt.Errorf("added_tokens_decoder of tokenizer_config.json has the key %q, which is not an id", key)
		}
		if !have[a.Content] {
			d.added, have[a.Content] = append(d.added, a), true
		}
	}
	for _, a := range append(slices.Clone(cfg.named()), pointers(cfg.Additional)...) {
		if a == nil || have[a.Content] {
			continue
		}
		id, ok := d.vocab[a.Content]
		if !ok {
			return fmt.Errorf("holds no token %q, which tokenizer_config.json or special_tokens_map.json names", a.Content)
		}
		a.ID = id
		d.added, have[a.Content] = append(d.added, *a), true
	}
	if len(d.added) > maxAdded {
		return fmt.Errorf("adds %d tokens, more than %d", len(d.added), maxAdded)
	}
	return nil
}

func pointers(all []addedToken) []*addedToken {
	var p []*addedToken
	for i := range all {
		p = append(p, &all[i])
	}
	return p
}

// id is the id of a token of the vocabulary or an added one.
func (d *definition) id(token string) (int, bool) {
	for _, a := range d.added {
		if a.Content == token {
			return a.ID, true
		}
	}
	id, ok := d.vocab[token]
	return id, ok
}
