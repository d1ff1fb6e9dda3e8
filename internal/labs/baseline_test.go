package labs

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dla/internal/config"
	"dla/internal/data"
	"dla/internal/kernel"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/weights"
)

// tinyEncoder makes the folder of an encoder of the given kind, drawn at random, that knows the words of the
// made-up reviews.
func tinyEncoder(t *testing.T, seed uint64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	set, err := data.LoadSentences(context.Background(), data.SyntheticSentences, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for _, s := range set.Text {
		for _, w := range strings.Fields(s) {
			if !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	cfg := fmt.Sprintf(`{"model_type": "bert", "vocab_size": %d, "max_position_embeddings": 24, "type_vocab_size": 2, "hidden_size": 32, "num_hidden_layers": 1,
"num_attention_heads": 2, "intermediate_size": 32, "pad_token_id": 0, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}`, len(words))
	for name, content := range map[string]string{"config.json": cfg, "vocab.txt": strings.Join(words, "\n") + "\n"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e, err := model.ReadEncoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := nn.NewParams(seed)
	g := nn.NewGraph(p)
	e.Hidden(g, g.Packed(2, 1))
	if _, err := weights.Save(filepath.Join(dir, modelName), stateOf(p), nil); err != nil || g.Err() != nil {
		t.Fatal(err, g.Err())
	}
	return dir
}

func encoderIn(t *testing.T, dir string) *SentenceEncoder {
	t.Helper()
	e, err := FindSentenceEncoder(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// savedAnew is a copy of the encoder in dir as another program might write it: other names, order and settings
// beside, the same values.
func savedAnew(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "anew")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	file := must(weights.Load(filepath.Join(dir, modelName), ""))(t)
	for i := range file.Tensors {
		file.Tensors[i].Name = "bert." + strings.Replace(file.Tensors[i].Name, "LayerNorm.weight", "LayerNorm.gamma", 1)
	}
	must(weights.Save(filepath.Join(to, modelName), file.Tensors, map[string]string{"format": "pt"}))(t)
	b := must(os.ReadFile(filepath.Join(dir, "config.json")))(t)
	anew := strings.Replace(string(b), `"layer_norm_eps": 1e-12, `, `"transformers_version": "9.9", `, 1)
	if err := os.WriteFile(filepath.Join(to, "config.json"), []byte(anew), 0o600); err != nil || anew == string(b) {
		t.Fatal(err)
	}
	return to
}

// TestEncoderSavedAnew: an encoder is known by what it computes, not by the bytes of its files; an older record, which
// has a hash of those, finds them still, and no others unless that is said.
func TestEncoderSavedAnew(t *testing.T) {
	cacheIn(t, t.TempDir())
	dir := tinyEncoder(t, 1)
	anew, other := savedAnew(t, dir), tinyEncoder(t, 2)
	e := encoderIn(t, dir)
	files := must(hashFiles(dir, "config.json", modelName))(t)
	if a := encoderIn(t, anew); a.Weights != e.Weights || a.Content != e.Content || e.Weights != e.Content ||
		e.Weights == files {
		t.Errorf("fingerprints %s and %s, of files %s", e.Weights, a.Weights, files)
	}
	for _, c := range []struct{ dir, fingerprint, weights, err string }{
		{dir, e.Weights, e.Weights, ""},
		{anew, e.Weights, e.Weights, ""},
		{dir, files, files, ""},
		{anew, files, "", "set DLA_ANY_ENCODER=1"},
		{other, e.Weights, "", "set DLA_ANY_ENCODER=1"},
	} {
		t.Setenv(anyEncoder, "")
		got, err := FindSentenceEncoder(c.dir, c.fingerprint)
		switch {
		case c.err == "" && (err != nil || got.Weights != c.weights):
			t.Errorf("%s of %s: %+v, %v; want the weights %s", c.dir, c.fingerprint, got, err, c.weights)
		case c.err == "":
		case err == nil || !strings.Contains(err.Error(), c.err):
			t.Errorf("%s of %s: error %v, want one with %q", c.dir, c.fingerprint, err, c.err)
		case !strings.Contains(err.Error(), c.dir):
			t.Errorf("%s of %s: error %v does not name the folder", c.dir, c.fingerprint, err)
		}
		t.Setenv(anyEncoder, "1")
		if got, err := FindSentenceEncoder(c.dir, c.fingerprint); err != nil || got.Weights == "" {
			t.Errorf("%s, whatever it is: %+v, %v", c.dir, got, err)
		}
		goingOn := options(t, t.TempDir())
		goingOn.goesOn = &run.Record{}
		if _, err := encoderOf(c.dir, c.fingerprint, goingOn); (c.err != "") != (err != nil &&
			strings.Contains(err.Error(), anyEncoder)) {
			t.Errorf("%s in a run that goes on: %v", c.dir, err)
		}
	}
}

// baselineStudy trains the heads of cfgs.
func baselineStudy(t *testing.T, opt Options, cfgs ...config.Baseline) []Outcome {
	t.Helper()
	var tasks []Task
	for _, c := range cfgs {
		tasks = append(tasks, Task{Settings: c})
	}
	return must(Study(context.Background(), tasks, opt, func(int, Outcome) {}))(t)
}

// TestOlderRecords: a run whose record has the hash of the encoder's files, and its folder as it was typed, is the
// same as one of today.
func TestOlderRecords(t *testing.T) {
	cacheIn(t, t.TempDir())
	root, dir := t.TempDir(), tinyEncoder(t, 1)
	t.Chdir(filepath.Dir(dir))
	e := encoderIn(t, "tiny")
	cfg := tinyBaseline("tiny")
	cfg.Train.Epochs = 1
	opt := options(t, root)
	job := func(cfg config.Baseline) *training {
		return must(openBaseline(context.Background(), cfg, opt))(t).(*training)
	}
	if c := job(cfg).settings.(config.Baseline); c.Encoder.From != dir || c.Encoder.Weights != e.Weights {
		t.Errorf("settings %+v", c.Encoder)
	}
	study := func(cfg config.Baseline) Outcome { return baselineStudy(t, opt, cfg)[0] }
	for i, as := range []config.Features{
		{From: "tiny", Weights: must(e.files())(t)}, {From: dir, Weights: must(e.files())(t)}, {From: "tiny",
			Weights: e.Weights},
	} {
		old := seeded(cfg, uint64(i))
		old.Encoder.From, old.Encoder.Weights = as.From, as.Weights
		tr := job(seeded(cfg, uint64(i)))
		tr.settings = old
		first := must(Do(context.Background(), tr, opt))(t)
		if first.Reused || !first.Done() {
			t.Fatalf("%+v", first)
		}
		if again := study(seeded(cfg, uint64(i))); !again.Reused || again.ID != first.ID {
			t.Errorf("recorded as %+v the run was made anew: %+v", as, again)
		}
	}
	if fresh := study(seeded(cfg, 9)); fresh.Reused {
		t.Error("a run of another seed was taken for one made before")
	}
}

// TestPublishedEncoders: those that the records which ship were made with, and copies of them, are known by the
// fingerprint that is in those records.
func TestPublishedEncoders(t *testing.T) {
	if os.Getenv("DLA_MODELS") == "" {
		t.Skip("DLA_MODELS names no folder of models")
	}
	for _, name := range []string{"minilm", "mpnet"} {
		e, err := FindSentenceEncoder(name, "")
		if err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		if old := recordedAs[e.Content]; old != "" && e.Weights != old {
			t.Errorf("%s is %s, want %s", name, e.Weights, old)
		}
		for content, old := range recordedAs {
			if old == must(e.files())(t) && content != e.Content {
				t.Errorf("%s has the files %s of records, and the content %s, want %s", name, old, e.Content, content)
			}
		}
	}
}

// TestFrozenLimit: features are of as many tokens as sentence-transformers takes of a sentence; training takes all
// that the model does.
func TestFrozenLimit(t *testing.T) {
	cacheIn(t, t.TempDir())
	dir := tinyEncoder(t, 1)
	whole := encoderIn(t, dir)
	limit := func(content string) *SentenceEncoder {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "sentence_bert_config.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return encoderIn(t, dir)
	}
	vectors := func(e *SentenceEncoder, text string) []float32 {
		return must(e.embeddings(context.Background(), []string{text}, config.PoolMean, options(t, t.TempDir())))(t)
	}
	const long, short = "the plot is dull and the cast is vivid .", "the plot is dull"
	six := limit(`{"max_seq_length": 6, "do_lower_case": false}`)
	if six.Frozen.MaxLength() != 6 || six.Tokenizer.MaxLength() != 24 || six.Weights != whole.Weights ||
		six.Tokenizer.Fingerprint() != whole.Tokenizer.Fingerprint() {
		t.Errorf("cut to %d for features, %d for training", six.Frozen.MaxLength(), six.Tokenizer.MaxLength())
	}
	if cut := vectors(six, long); !slices.Equal(cut, vectors(whole, short)) || slices.Equal(cut, vectors(whole, long)) {
		t.Error("the features of a long sentence are not those of its first tokens")
	}
	if more := limit(`{"max_seq_length": 4000}`); more.Frozen.MaxLength() != 24 {
		t.Errorf("cut to %d, and the model takes 24", more.Frozen.MaxLength())
	}
}

// heard collects what is said.
func heard(opt Options, all *[]string) Options {
	opt.Say = func(format string, args ...any) { *all = append(*all, fmt.Sprintf(format, args...)) }
	return opt
}

// cacheIn puts the user's cache folder under dir for a test.
func cacheIn(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, dir)
	}
	t.Setenv("HF_HOME", t.TempDir())
}

// TestEmbeddings: a sentence's vector does not depend on what is encoded beside it, the mean is over its
// tokens, and pooling is what it says.
func TestEmbeddings(t *testing.T) {
	cacheIn(t, t.TempDir())
	e := encoderIn(t, tinyEncoder(t, 1))
	opt := options(t, "")
	var sentences []string
	set := must(data.LoadSentences(context.Background(), data.SyntheticSentences, data.Options{}))(t)
	sentences = append(sentences, set.Text[:200]...) // more than a batch holds
	sentences = append(sentences, "", "the plot", strings.Repeat("dull plot ", 100))
	x := must(e.embeddings(context.Background(), sentences, config.PoolMean, opt))(t)
	cls := must(e.embeddings(context.Background(), sentences, config.PoolCLS, opt))(t)
	for _, i := range []int{0, 7, 150, 200, 201, 202} {
		alone := must(e.embeddings(context.Background(), sentences[i:i+1], config.PoolMean, opt))(t)
		if got := x[i*e.Width : (i+1)*e.Width]; far(got, alone) > 1e-5 {
			t.Errorf("%.30q has another vector alone", sentences[i])
		}
		if far(cls[i*e.Width:(i+1)*e.Width], alone) < 1e-3 {
			t.Errorf("%.30q has the same vector by both poolings", sentences[i])
		}
	}
	if far(x[:e.Width], x[e.Width:2*e.Width]) < 1e-3 {
		t.Error("two sentences have the same vector")
	}
}

// far is the largest difference of elements.
func far(a, b []float32) (most float64) {
	for i := range a {
		most = max(most, math.Abs(float64(a[i]-b[i])))
	}
	return most
}

// must ends the test where what it is given has an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestKeptEmbeddings: vectors are computed once for the same weights, tokenizer, pooling and sentences, again
// for others, and again, with a line that says why, where the file is damaged. A folder that cannot be written
// to is no obstacle.
func TestKeptEmbeddings(t *testing.T) {
	cache := t.TempDir()
	cacheIn(t, cache)
	dir := tinyEncoder(t, 1)
	var said []string
	opt := heard(options(t, ""), &said)
	embed := func(dir, pooling string, sentences ...string) (x []float32, computed bool) {
		t.Helper()
		said = nil
		x = must(encoderIn(t, dir).embeddings(context.Background(), sentences, pooling, opt))(t)
		return x, slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "encodes") })
	}
	first, computed := embed(dir, config.PoolMean, "the plot is dull", "the cast is fresh")
	if !computed {
		t.Fatal("nothing was computed")
	}
	if again, computed := embed(dir, config.PoolMean, "the plot is dull", "the cast is fresh"); computed ||
		!slices.Equal(again, first) {
		t.Errorf("computed again: %v; equal: %v", computed, slices.Equal(again, first))
	}
	if x, computed := embed(dir, config.PoolMean, "the cast is fresh", "the plot is dull"); !computed ||
		far(x[:32], first[32:]) > 1e-6 {
		t.Error("other sentences have the vectors of the first ones")
	}
	if _, computed := embed(dir, config.PoolCLS, "the plot is dull", "the cast is fresh"); !computed {
		t.Error("another pooling has the vectors of the first one")
	}
	if _, computed := embed(tinyEncoder(t, 2), config.PoolMean, "the plot is dull", "the cast is fresh"); !computed {
		t.Error("other weights have the vectors of the first ones")
	}
	b := must(os.ReadFile(filepath.Join(dir, "vocab.txt")))(t)
	lines := strings.Split(string(b), "\n")
	lines[6], lines[7] = lines[7], lines[6]
	if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, computed := embed(dir, config.PoolMean, "the plot is dull", "the cast is fresh"); !computed {
		t.Error("another vocabulary has the vectors of the first one")
	}
	if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), b, 0o644); err != nil {
		t.Fatal(err)
	}

	files := must(filepath.Glob(filepath.Join(cache, "dla", "features", "*")))(t)
	if len(files) != 5 {
		t.Errorf("%d files of vectors: %v", len(files), files)
	}
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)-9] },
		func(b []byte) []byte { b[len(b)-2] ^= 1; return b },
		func([]byte) []byte { return nil },
	} {
		for _, f := range files {
			if err := os.WriteFile(f, damage(must(os.ReadFile(f))(t)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		again, computed := embed(dir, config.PoolMean, "the plot is dull", "the cast is fresh")
		if !computed || !slices.Equal(again, first) || !strings.Contains(strings.Join(said, "\n"), "is computed again: ") {
			t.Errorf("of a damaged file: computed %v, equal %v, said %v", computed, slices.Equal(again, first), said)
		}
	}
	if err := os.WriteFile(filepath.Join(cache, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cacheIn(t, filepath.Join(cache, "file"))
	again, computed := embed(dir, config.PoolMean, "the plot is dull", "the cast is fresh")
	if !computed || !slices.Equal(again, first) || !strings.Contains(strings.Join(said, "\n"), "cannot be cached") {
		t.Errorf("without a cache: computed %v, said %v", computed, said)
	}
}

// TestEncoderRefused: weights that are not those wanted, and a tokenizer that is not the encoder's.
func TestEncoderRefused(t *testing.T) {
	cacheIn(t, t.TempDir())
	dir := tinyEncoder(t, 1)
	if _, err := FindSentenceEncoder(dir, "abc"); err == nil || !strings.Contains(err.Error(), "want abc") {
		t.Errorf("other weights: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "vocab.txt"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("onemore\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := FindSentenceEncoder(dir, ""); err == nil || !strings.Contains(err.Error(), "tokens and the encoder") {
		t.Errorf("a token too many: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := encoderIn(t, tinyEncoder(t, 1)).embeddings(ctx, []string{"the plot"}, config.PoolMean,
		options(t, "")); err == nil {
		t.Error("an ended context gave vectors")
	}
}

// tinyBaseline is a training of moments on the made-up reviews.
func tinyBaseline(encoder string) config.Baseline {
	c := config.DefaultBaseline()
	c.Data.Name, c.Encoder.From = data.SyntheticSentences, encoder
	c.Head = config.Head{Hidden: 16, Standardize: true}
	c.Train.LR, c.Train.Epochs = 0.01, 8
	return c
}

// TestBaseline: a head learns what the words say, the record has what it reached and of which encoder, the test
// part is that of the set, and features are standardised over the training part alone.
func TestBaseline(t *testing.T) {
	cacheIn(t, t.TempDir())
	root, dir := t.TempDir(), tinyEncoder(t, 1)
	e := encoderIn(t, dir)
	cfg := tinyBaseline(dir)
	opt := options(t, root)
	all := baselineStudy(t, opt, cfg, seeded(cfg, 1))
	r := all[0].Result.(*record.Classifier)
	if len(all) != 2 || r.Train == nil || r.Encoder == nil {
		t.Fatalf("%d runs, %+v", len(all), r)
	}
	expect(t, r, map[string]bool{
		"a test accuracy of 80 %":     r.Test.Accuracy >= 0.8,
		"200 test sentences":          r.Test.N == 200,
		"a training accuracy of 80 %": r.Train.Accuracy >= 0.8,
		"a note":                      r.Note != "",
		"the encoder's weights":       r.Encoder.Weights == e.Weights,
		"the encoder's parameters":    r.Encoder.Params == e.Parameters(),
		"features of width 32":        r.Encoder.Width == 32,
		"the head's parameters":       r.Params == 32*16+16+16*2+2,
	})
	rec := must(run.Find(root, all[0].ID))(t)
	if back := must(settingsOf[config.Baseline](rec))(t); back.Encoder.Weights != e.Weights ||
		rec.Env.Data.Fingerprint == "" || !rec.Env.Data.Synthetic {
		t.Errorf("%+v on %+v", back, rec.Env.Data)
	}
	again := baselineStudy(t, opt, cfg)
	if !again[0].Reused || again[0].ID != all[0].ID {
		t.Errorf("the same run again is %+v", again[0])
	}

	set := must(readSentences(context.Background(), cfg.Data, opt))(t)
	m := must(newFeatures(context.Background(), set, e, cfg, opt))(t)
	mean, std := m.moments()
	for j := range mean {
		var sum, squares float64
		for _, i := range m.train {
			v := (float64(m.vectors.X[int(i)*32+j]) - mean[j]) / std[j]
			sum, squares = sum+v, squares+v*v
		}
		if n := float64(len(m.train)); math.Abs(sum/n) > 1e-9 || math.Abs(squares/n-1) > 1e-6 {
			t.Errorf("feature %d has mean %g and mean square %g", j, sum/n, squares/n)
		}
	}
	if m.vectors.Labels[m.test[3]] != set.Labels[set.Test[3]] || len(m.val) != len(set.Val) {
		t.Error("the parts are not those of the set")
	}
	cfg.Encoder.Normalize, cfg.Data.Limit = true, 100
	m = must(newFeatures(context.Background(), set, e, cfg, opt))(t)
	positive := 0
	for _, i := range m.train {
		positive += int(m.vectors.Labels[i])
		if l := kernel.SumSquares(m.vectors.X[int(i)*32 : int(i+1)*32]); math.Abs(l-1) > 1e-5 {
			t.Fatalf("a vector of squared length %g", l)
		}
	}
	if len(m.train) != 100 || positive < 35 || positive > 65 {
		t.Errorf("%d of %d are positive", positive, len(m.train))
	}
}

func seeded(c config.Baseline, seed uint64) config.Baseline {
	c.Seed = seed
	return c
}

// TestBaselineResume: a run that was stopped ends in the same bits, and not on another encoder.
func TestBaselineResume(t *testing.T) {
	cacheIn(t, t.TempDir())
	dir := tinyEncoder(t, 1)
	cfg := tinyBaseline(dir)
	cfg.Head.Dropout, cfg.Train.Epochs = 0.5, 3
	begin := func(root string, stop bool) Outcome {
		opt := options(t, root)
		if stop {
			opt.MaxTime = 1
		}
		return baselineStudy(t, opt, cfg)[0]
	}
	root := t.TempDir()
	whole, stopped := begin(t.TempDir(), false), begin(root, true)
	if stopped.Done() {
		t.Fatal("it was not stopped")
	}
	kept := must(os.ReadFile(filepath.Join(dir, modelName)))(t)
	b := slices.Clone(kept)
	b[len(b)-1] ^= 1
	if err := os.WriteFile(filepath.Join(dir, modelName), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(context.Background(), stopped.ID, options(t, root)); err == nil ||
		!strings.Contains(err.Error(), "make the original encoder available again") {
		t.Errorf("resumed on other weights: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, modelName), kept, 0o644); err != nil {
		t.Fatal(err)
	}
	resumed := must(Resume(context.Background(), stopped.ID, options(t, root)))(t)
	if !resumed.Done() {
		t.Fatalf("%+v", resumed)
	}
	got, want := resumed.Result.(*record.Classifier), whole.Result.(*record.Classifier)
	if got.WeightsSHA256 != want.WeightsSHA256 {
		t.Errorf("best weights %s, want %s", got.WeightsSHA256, want.WeightsSHA256)
	}
	if got.LastWeightsSHA256 != want.LastWeightsSHA256 {
		t.Errorf("last weights %s, want %s", got.LastWeightsSHA256, want.LastWeightsSHA256)
	}
}

// TestBaselineVariant: names of encoders become names of runs.
func TestBaselineVariant(t *testing.T) {
	for from, want := range map[string]string{"minilm": "minilm-mlp256",
		"/a/b/all MiniLM-L6-v2": "all_MiniLM_L6_v2-mlp256", "owner/name": "name-mlp256", "../": "encoder-mlp256"} {
		c := config.DefaultBaseline()
		c.Encoder.From, c.Head.Hidden = from, 256
		if got := BaselineVariant(c); got != want {
			t.Errorf("%s is called %s, want %s", from, got, want)
		}
	}
}
