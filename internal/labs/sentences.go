package labs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	G "gorgonia.org/gorgonia"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/hub"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/plainfile"
	"dla/internal/record"
	"dla/internal/rng"
	"dla/internal/run"
	"dla/internal/text"
	"dla/internal/train"
	"dla/internal/weights"
)

// SentenceEncoder is a Hugging Face folder with an encoder and its tokenizer. Its weights are read when needed.
type SentenceEncoder struct {
	*model.Encoder
	Name      string // that it was found by
	From      string // recorded name: Name, or the absolute path of a folder
	Source    string // where
	Content   string // fingerprint of settings and weights (model.Encoder)
	Weights   string // recorded fingerprint: Content, or an older one of the same encoder
	Tokenizer *text.Tokenizer
	Frozen    *text.Tokenizer // for features: truncates sentences as sentence-transformers does
	dir       string
}

// recordedAs maps the Content of published encoders to the SHA-256 of their files config.json and model.safetensors
// (hashFiles), by which older records identify them.
var recordedAs = map[string]string{
	"8d26523839d18f996dfc79cb2d40cf3d3b7fc1254ef22cd89c20c216d999c782": "33fb52aca1af7410828f8126e90fedb5f79bfbe349019122fa2fc967120d9f76", // all-MiniLM-L6-v2
	"67a6ebfd9c4b93360fb197da5d2d63de7f66a096c4d57007f524a21d7ee7159e": "96cd4f7b82ef22a886b0baa016b076982758253d54fe3ccd02dadf737cfc0a02", // all-mpnet-base-v2
}

// anyEncoder is the environment variable that allows an encoder other than the recorded one.
const anyEncoder = "DLA_ANY_ENCODER"

// FindSentenceEncoder finds the encoder called name (hub.Find). If fingerprint is not empty, another fingerprint is an
// error unless DLA_ANY_ENCODER is set.
func FindSentenceEncoder(name, fingerprint string) (*SentenceEncoder, error) {
	e, err := findSentenceEncoder(name, fingerprint)
	if e != nil && err != nil && os.Getenv(anyEncoder) != "" {
		return e, nil
	}
	return e, err
}

// findSentenceEncoder is FindSentenceEncoder without DLA_ANY_ENCODER. It returns the encoder even with the error of
// another fingerprint.
func findSentenceEncoder(name, fingerprint string) (*SentenceEncoder, error) {
	found, err := hub.Find(name)
	if err != nil {
		return nil, err
	}
	e := &SentenceEncoder{Name: name, From: name, Source: found.Source, dir: found.Dir}
	if found.Folder() {
		if e.From, err = filepath.Abs(name); err != nil {
			return nil, err
		}
	}
	if e.Encoder, err = model.ReadEncoder(e.dir); err != nil {
		return nil, err
	}
	if e.Tokenizer, err = text.Load(e.dir, 0); err != nil {
		return nil, err
	}
	if e.Tokenizer.MaxLength() > e.MaxTokens() { // the folder sets no limit, or too large a one
		if e.Tokenizer, err = text.Load(e.dir, e.MaxTokens()); err != nil {
			return nil, err
		}
	}
	most, err := model.MaxSentence(e.dir)
	if err != nil {
		return nil, err
	}
	if e.Frozen = e.Tokenizer; most > 0 && most < e.Tokenizer.MaxLength() {
		if e.Frozen, err = text.Load(e.dir, most); err != nil {
			return nil, err
		}
	}
	if e.Content, err = e.Fingerprint(e.dir); err != nil {
		return nil, err
	}
	e.Weights = cmp.Or(recordedAs[e.Content], e.Content)
	if fingerprint == "" || fingerprint == e.Weights || fingerprint == e.Content {
		return e, nil
	}
	files, err := e.files()
	if err != nil {
		return nil, err
	}
	if fingerprint == files { // of an older record
		e.Weights = files
		return e, nil
	}
	return e, fmt.Errorf("the encoder %s in %s has the fingerprint %.12s…, want %.12s… (encoder.weights); make the "+
		"original encoder available again. "+
		"A fingerprint in an old record covers the files' bytes, which differ in another program's copy of the same "+
		"encoder: if you know that the encoder is the same, set %s=1", name, e.dir, e.Weights, fingerprint, anyEncoder)
}

// files returns the fingerprint of the encoder's files, by which older records identify it.
func (e *SentenceEncoder) files() (string, error) {
	names, err := model.WeightFiles(e.dir)
	if err != nil {
		return "", err
	}
	return hashFiles(e.dir, append([]string{"config.json"}, names...)...)
}

// olderEncoders returns the settings that older records may have for a run on e, named from. settings makes them from a
// name and a fingerprint.
func olderEncoders(from string, e *SentenceEncoder, settings func(from, weights string) any) func() ([]any, error) {
	return func() ([]any, error) {
		files, err := e.files()
		if err != nil {
			return nil, err
		}
		return []any{settings(e.From, files), settings(from, files), settings(from, e.Weights)}, nil
	}
}

// recorded returns the description of e with the tokenizer tok in records.
func (e *SentenceEncoder) recorded(tok *text.Tokenizer) (*record.Encoder, error) {
	files, err := e.files()
	return &record.Encoder{Name: e.Name, Params: e.Parameters(), Width: e.Width, Weights: e.Weights, Content: e.Content,
		Files: files, Tokenizer: tok.Fingerprint()}, err
}

// hashFiles returns the SHA-256 (hex) of the content of the named files of dir.
func hashFiles(dir string, names ...string) (string, error) {
	h := sha256.New()
	for _, name := range names {
		f, _, err := plainfile.Open(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		n, err := io.Copy(h, f)
		f.Close() // read only
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", filepath.Join(dir, name), err)
		}
		fmt.Fprintf(h, "\n%s %d\n", name, n)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Limits of a batch of sentences in an encoder without gradients. They affect speed and memory, not results.
const (
	embedTokens    = 1024
	embedSentences = 128
)

// embeddingsOf is the key of cached vectors: equal keys mean equal vectors.
type embeddingsOf struct {
	Version   string `json:"version"`
	Weights   string `json:"weights"`
	Tokenizer string `json:"tokenizer"` // fingerprint
	Pooling   string `json:"pooling"`
	Text      string `json:"text"`   // SHA-256 of the sentences, in order
	Kernel    string `json:"kernel"` // instruction set, which affects the last bits
}

// embeddingsVersion is the version of the cached vectors of sentences.
const embeddingsVersion = "1"

// embeddings returns the encoder's vectors [sentences, width] of sentences, pooled and not normalised, from the user's
// cache folder, or computes and caches them.
func (e *SentenceEncoder) embeddings(ctx context.Context, sentences []string, pooling string,
	opt Options) ([]float32, error) {
	h := sha256.New()
	for _, s := range sentences {
		fmt.Fprintf(h, "%q\n", s)
	}
	key := embeddingsOf{embeddingsVersion, e.Content, e.Frozen.Fingerprint(), pooling, hex.EncodeToString(h.Sum(nil)),
		kernel.Level()}
	ts, err := keptFeatures(key, opt, func() ([]weights.Tensor, error) {
		x, err := e.embed(ctx, sentences, model.Pooling{CLS: pooling == config.PoolCLS}, opt)
		return []weights.Tensor{{Name: "embeddings", Shape: []int{len(sentences), e.Width}, Data: x}}, err
	})
	if err != nil {
		return nil, err
	}
	return ts[0].Data, nil
}

// embed computes the vectors of sentences.
func (e *SentenceEncoder) embed(ctx context.Context, sentences []string, pooling model.Pooling,
	opt Options) ([]float32, error) {
	p := nn.NewParams(0)
	if err := e.Load(e.dir, p); err != nil {
		return nil, err
	}
	packed := e.Frozen.Pack(sentences, nil)
	opt.Say("%s encodes %d sentences, %d tokens; the cache keeps the features", e.Name, len(sentences), packed.Tokens())
	return vectorsOf(ctx, e.Name, e.Encoder, p, packed, sentences, pooling, opt)
}

// vectorsOf computes the pooled vectors [sentences, width] of the tokens of sentences by the encoder e, called name,
// with the weights p.
func vectorsOf(ctx context.Context, name string, e *model.Encoder, p *nn.Params, packed *text.Packed,
	sentences []string, pooling model.Pooling, opt Options) ([]float32, error) {
	all, longest := make([]int32, packed.Len()), 0
	for i := range all {
		all[i], longest = int32(i), max(longest, len(packed.Sentence(i)))
	}
	loader, err := text.NewLoader(packed, all, text.Limits{Tokens: max(longest, embedTokens),
		Sentences: embedSentences}, false, 0)
	if err != nil {
		return nil, err
	}
	steps := loader.Steps(0)
	m, err := train.NewSentenceEncoder(func(g *nn.Graph, in nn.Packed) *G.Node {
		return pooling.Embedding(g, e.Hidden(g, in), in)
	}, p, loader.MaxTokens(), loader.MaxSentences())
	if err != nil {
		return nil, err
	}
	x, began := make([]float32, len(sentences)*e.Width), time.Now()
	_, err = train.EachBatch(ctx, "features of "+name, steps, opt.Sink, func(step int) (train.Stats, error) {
		loader.Batch(0, step, m.Batch())
		y, err := m.Run()
		if err != nil {
			return train.Stats{}, err
		}
		for row, at := range m.Batch().Index {
			copy(x[int(at)*e.Width:], y[row*e.Width:(row+1)*e.Width])
		}
		return train.Counted(m.Batch().Len()), nil
	})
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(x, func(v float32) bool { return v-v != 0 }); i >= 0 {
		return nil, fmt.Errorf("the vectors of the encoder %s are not finite, first for sentence %d (%.40q); its "+
			"weights are damaged or belong to another model", name, i/e.Width+1, sentences[i/e.Width])
	}
	seconds := time.Since(began).Seconds()
	opt.Say("%s: %d sentences in %.1f s, %.0f per second", name, len(sentences), seconds,
		float64(len(sentences))/seconds)
	return x, nil
}

// encoderOf calls FindSentenceEncoder once for all runs of a study. A continued run accepts no other encoder than that
// it began with.
func encoderOf(from, weights string, opt Options) (*SentenceEncoder, error) {
	return once(opt, "encoder "+from+" "+weights, func() (*SentenceEncoder, error) {
		if opt.goesOn != nil {
			e, err := findSentenceEncoder(from, weights)
			if err != nil {
				return nil, err
			}
			return e, nil
		}
		return FindSentenceEncoder(from, weights)
	})
}

// locateSentences makes the path of a file or folder of texts absolute, so that a record finds it from anywhere.
func locateSentences(dc *config.SentenceData) error {
	if !data.IsTextPath(dc.Name) {
		return nil
	}
	var err error
	dc.Name, err = filepath.Abs(dc.Name)
	return err
}

// readSentences reads the set of sentences that dc names.
func readSentences(ctx context.Context, dc config.SentenceData, opt Options) (*data.Sentences, error) {
	return once(opt, fmt.Sprintf("sentences %+v", dc), func() (*data.Sentences, error) {
		s, err := loadSentences(ctx, dc, opt)
		if err != nil {
			return nil, err
		}
		if s.Synthetic {
			opt.Say("SYNTHETIC SENTENCES, generated by dla")
		}
		if s.Files != nil {
			opt.Say("data: %d classes, %d train + %d validation + %d test texts, from %s", len(s.Classes), len(s.Train),
				len(s.Val), len(s.Test), s.Source)
			return s, nil
		}
		opt.Say("data: %s, %d train + %d validation + %d test sentences, from %s", s.Name, len(s.Train), len(s.Val),
			len(s.Test), s.Source)
		return s, nil
	})
}

// loadSentences finds the set of sentences that dc names.
func loadSentences(ctx context.Context, dc config.SentenceData, opt Options) (*data.Sentences, error) {
	by := data.TextOptions{TextColumns: data.TextColumns{Text: dc.Text, Label: dc.Label, Split: dc.Split}, Val: dc.Val,
		Test: dc.Test}
	if data.IsTextPath(dc.Name) {
		return data.ReadTexts(ctx, dc.Name, by, opt.Data)
	}
	if by != (data.TextOptions{}) {
		return nil, fmt.Errorf("data.text, data.label, data.split, data.val and data.test are of files and folders of "+
			"texts, not of the set %s", dc.Name)
	}
	return data.LoadSentences(ctx, dc.Name, opt.Data)
}

// sentencesSize returns how many sentences dc's training split has, how many classes there are, and the mean length of
// a sentence in tokens. Of a set of the catalogue it reads nothing.
func sentencesSize(dc config.SentenceData, e *SentenceEncoder, opt Options) (n, classes, tokens int, err error) {
	if !data.IsTextPath(dc.Name) {
		n, classes, err = data.DescribeSentences(dc.Name)
		tokens = meanTokens
	} else {
		s, readErr := readSentences(context.Background(), dc, opt)
		if readErr != nil {
			return 0, 0, 0, readErr
		}
		const some = 1000
		n, classes = len(s.Train), len(s.Classes)
		tokens = meanLength(e.Tokenizer.Pack(sentencesAt(s, limited(s.Train, some)), nil))
	}
	if dc.Limit > 0 {
		n = min(n, dc.Limit)
	}
	return n, classes, tokens, err
}

// sentencesAt returns the sentences of s at index.
func sentencesAt(s *data.Sentences, index []int32) []string {
	all := make([]string, len(index))
	for i, at := range index {
		all[i] = s.Text[at]
	}
	return all
}

// meanLength returns the mean length of p's sentences in tokens, rounded.
func meanLength(p *text.Packed) int { return (p.Tokens() + p.Len()/2) / max(1, p.Len()) }

// sentencesInfo returns the description of s in records.
func sentencesInfo(s *data.Sentences) run.DataInfo {
	return run.DataInfo{Name: s.Name, Source: s.Source, Fingerprint: s.Fingerprint, Synthetic: s.Synthetic}
}

// limited returns at most n elements of index in its order, or all for 0. They are spread over index, in which the
// classes may follow each other.
func limited(index []int32, n int) []int32 {
	if n == 0 || n >= len(index) {
		return index
	}
	order := make([]int32, len(index))
	for i := range order {
		order[i] = int32(i)
	}
	r := rng.New(0, "limit", 0, 0)
	r.Perm(order)
	some := order[:n]
	slices.Sort(some)
	for i, at := range some {
		some[i] = index[at]
	}
	return some
}
