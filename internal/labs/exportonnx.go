package labs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	G "gorgonia.org/gorgonia"

	"dla/internal/buildinfo"
	"dla/internal/data"
	"dla/internal/hub"
	"dla/internal/model"
	"dla/internal/nn"
	"dla/internal/onnx"
	"dla/internal/weights"
)

// onnxName is the file of a network in ONNX.
const onnxName = "model.onnx"

// exportONNX writes the network that from names as model.onnx with a card: a classifier of images, an autoencoder, a
// classifier of sentences or an encoder.
func exportONNX(root, from, dir string) (Checkpoint, error) {
	if err := model.Unused(dir); err != nil { // fail before the weights are read
		return Checkpoint{}, err
	}
	if classifiesText(root, from) {
		return exportSentimentONNX(root, from, dir)
	}
	k, err := findKept(root, from)
	switch {
	case err != nil:
		if _, notFound := hub.Find(from); notFound == nil {
			return exportEncoderONNX(from, dir)
		}
		return Checkpoint{}, err
	case k.Experiment == AutoencoderExperiment:
		return exportAutoencoderONNX(k, dir)
	}
	n, err := restore(k)
	if err != nil {
		return Checkpoint{}, err
	}
	g := nn.NewGraph(n.Params)
	x := g.Input("x", append([]int{1}, n.row()...)...)
	logits := n.Model.Logits(g, x, n.Images.Classes)
	if g.Err() != nil {
		return Checkpoint{}, g.Err()
	}
	m, err := onnx.Images(g, x, logits, n.Images.H, n.Images.W, n.Images.C, n.Name, "logits")
	if err != nil {
		return Checkpoint{}, err
	}
	if err := writable(m, n.Data.Name, n.Weights, n.ClassNames()); err != nil {
		return Checkpoint{}, err
	}
	names, _ := json.Marshal(n.ClassNames()) // strings always can be
	return Checkpoint{Name: dir, Network: n.Name, Data: n.Data.Name, Params: n.Params.Count(),
			TestAccuracy: &n.Result.Test.Accuracy},
		exportFiles(dir, n.record.Dir, "", []exportFile{{onnxName, m.Write}, {model.CardName, content(imagesCard(n, "onnx",
			onnxImages(n.Images)+"(logits,) = session.run([\"logits\"], {\"pixels\": x})\n"+
				"classes = "+string(names)+"\n"+
				"print(classes[int(logits[0].argmax())])"))}})
}

// onnxImages is Python that loads a network of images and makes an image.
func onnxImages(i data.Description) string {
	return "import numpy as np\nimport onnxruntime\n\n" +
		"session = onnxruntime.InferenceSession(\"" + onnxName + "\")  # of this folder\n" +
		"x = np.random.rand(1, " + shapeOf(i) + ").astype(np.float32)  # an image: pixels from 0 to 1\n"
}

// writable says in m where it comes from. A model that is too large for a file is an error.
func writable(m *onnx.Model, set, fingerprint string, classes []string) error {
	release, revision, _ := buildinfo.Version()
	m.Producer, m.Version = "dla", release
	m.Meta = map[string]string{"data": set, "weights_sha256": fingerprint, "revision": revision}
	if classes != nil {
		names, _ := json.Marshal(classes) // strings always can be
		m.Meta["classes"] = string(names)
	}
	if err := m.Fits(); err != nil {
		return fmt.Errorf("%w; use --to %s or %s", err, FormatPyTorch, FormatHuggingFace)
	}
	return nil
}

func exportAutoencoderONNX(k keptWeights, dir string) (Checkpoint, error) {
	a, err := restoreAutoencoder(k)
	if err != nil {
		return Checkpoint{}, err
	}
	g := nn.NewGraph(a.Params)
	x := g.Input("x", append([]int{1}, a.row()...)...)
	y := a.Model.Reconstruct(g, x)
	if g.Err() != nil {
		return Checkpoint{}, g.Err()
	}
	m, err := onnx.Images(g, x, y, a.Images.H, a.Images.W, a.Images.C, a.Name, "reconstruction")
	if err != nil {
		return Checkpoint{}, err
	}
	if err := writable(m, a.Data.Name, a.Weights, nil); err != nil {
		return Checkpoint{}, err
	}
	t := a.Result.Test
	c := card{name: a.Name, library: "onnx", pipeline: "image-to-image", about: fmt.Sprintf("An autoencoder of images, "+
		"trained on %s. It takes images [n, %s] with pixels from 0 to 1 and gives their reconstructions, of the same "+
		"shape. Mean squared error on the test set, n = %d: %.6f, 95 %% interval %.6f to %.6f.", data.Title(a.Data.Name),
		shapeOf(a.Images), t.N, t.MSE, t.CI95[0], t.CI95[1]),
		python: onnxImages(a.Images) + "(y,) = session.run([\"reconstruction\"], {\"pixels\": x})"}
	return Checkpoint{Name: dir, Network: a.Name, Data: a.Data.Name, Params: a.Params.Count(), TestMSE: &t.MSE},
		exportFiles(dir, k.Dir, "", []exportFile{{onnxName, m.Write}, {model.CardName, content(c.String())}})
}

// exportSentimentONNX writes a classifier of sentences, adapters merged into the weights.
func exportSentimentONNX(root, from, dir string) (Checkpoint, error) {
	s, err := FindSentiment(root, from)
	if err != nil {
		return Checkpoint{}, err
	}
	p, arch := s.params, s.arch
	if s.adapter != nil {
		if p, err = s.adapter.Merged(s.base.Encoder, p); err != nil {
			return Checkpoint{}, err
		}
		if arch, err = model.NewSentenceClassifier(s.base.Encoder, s.base.dir, s.arch.Head, 0, len(s.Labels)); err != nil {
			return Checkpoint{}, err
		}
	}
	c := s.checkpoint(root, from)
	c.Name = dir
	m, err := sentencesONNX(p, c.Network, "logits", arch.Logits)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := writable(m, c.Data, weights.Fingerprint(stateOf(p)), s.Labels); err != nil {
		return Checkpoint{}, err
	}
	config, err := arch.ConfigFor(s.base.dir, s.Labels)
	if err != nil {
		return Checkpoint{}, err
	}
	names, _ := json.Marshal(s.Labels) // strings always can be
	sheet := card{name: c.Network, library: "onnx", pipeline: "text-classification", about: fmt.Sprintf("A classifier of "+
		"sentences: the encoder %s with a head, %s. It takes tokens and gives logits [n, %d].", s.base.Name, arch.Describe(),
		len(s.Labels)), base: s.base.Name,
		python: onnxSentences(s.MaxLength()) + "(logits,) = session.run([\"logits\"], feed)\n" +
			"labels = " + string(names) + "\n" +
			"print(labels[int(logits[0].argmax())])"}
	if rec, res, ok := recordOfText(root, from); ok {
		sheet.rec, sheet.test = &rec, res.Test
	}
	return c, exportFiles(dir, s.base.dir, s.base.dir, []exportFile{{onnxName, m.Write},
		{"config.json", content(string(config))}, {model.CardName, content(sheet.String())}})
}

// sentencesONNX is the model of the network of sentences that build builds over p.
func sentencesONNX(p *nn.Params, name, output string, build func(*nn.Graph, nn.Packed) *G.Node) (*onnx.Model, error) {
	g := nn.NewGraph(p)
	in := g.Packed(2, 1)
	result := build(g, in)
	if g.Err() != nil {
		return nil, g.Err()
	}
	return onnx.Sentences(g, in, result, name, output)
}

// onnxSentences is Python that loads a network of sentences and tokenizes one.
func onnxSentences(longest int) string {
	return "import onnxruntime\nfrom transformers import AutoTokenizer\n\n" +
		"session = onnxruntime.InferenceSession(\"" + onnxName + "\")  # of this folder\n" +
		"tokenizer = AutoTokenizer.from_pretrained(\".\")\n" +
		"texts = [\"A film of rare warmth.\"]\n" +
		fmt.Sprintf("x = tokenizer(texts, padding=True, truncation=True, max_length=%d, return_tensors=\"np\")\n", longest) +
		"feed = {name: x[name].astype(\"int64\") for name in (\"input_ids\", \"attention_mask\")}\n"
}

// holdsEncoder reports whether the folder dir has an encoder without a head for classes.
func holdsEncoder(dir string) bool {
	e, err := model.ReadEncoder(dir)
	if err != nil {
		return false
	}
	r, err := weights.Open(filepath.Join(dir, modelName))
	if err != nil {
		return false
	}
	defer r.Close() // read only
	_, _, err = model.FindHead(r, "", e.Family)
	return err != nil
}

// exportEncoderONNX writes the encoder called name: vectors of sentences, pooled as its folder says.
func exportEncoderONNX(name, dir string) (Checkpoint, error) {
	e, err := FindSentenceEncoder(name, "")
	if err != nil {
		return Checkpoint{}, err
	}
	pooling, err := model.ReadPooling(e.dir)
	if err != nil {
		return Checkpoint{}, err
	}
	p := nn.NewParams(0)
	if err := e.Load(e.dir, p); err != nil {
		return Checkpoint{}, err
	}
	short := filepath.Base(name)
	m, err := sentencesONNX(p, short, "embeddings", func(g *nn.Graph, in nn.Packed) *G.Node {
		return pooling.Embedding(g, e.Hidden(g, in), in)
	})
	if err != nil {
		return Checkpoint{}, err
	}
	if err := writable(m, "", e.Content, nil); err != nil {
		return Checkpoint{}, err
	}
	how := "the mean of the tokens"
	if pooling.CLS {
		how = "the first token"
	}
	config, err := os.ReadFile(filepath.Join(e.dir, "config.json"))
	if err != nil {
		return Checkpoint{}, err
	}
	c := card{name: short, library: "onnx", pipeline: "sentence-similarity", base: name,
		about: fmt.Sprintf("The sentence encoder %s. It takes tokens and gives vectors [n, %d], %s, not normalised to length 1.",
			name, e.Width, how),
		python: onnxSentences(e.Frozen.MaxLength()) + "(vectors,) = session.run([\"embeddings\"], feed)\n" +
			"print(vectors.shape)"}
	return Checkpoint{Name: dir, Network: short, Params: e.Parameters()}, exportFiles(dir, e.dir, e.dir, []exportFile{
		{onnxName, m.Write}, {"config.json", content(string(config))}, {model.CardName, content(c.String())}})
}
