package labs

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"dla/internal/atomicfile"
	"dla/internal/data"
	"dla/internal/hub"
	"dla/internal/lora"
	"dla/internal/model"
	"dla/internal/record"
	"dla/internal/run"
	"dla/internal/torch"
)

// The formats that a trained network is exported in.
const (
	FormatDLA         = "dla"         // a checkpoint, as the commands here read it; of an adapter, PEFT's format
	FormatPyTorch     = "pytorch"     // a state dict and the Python module that loads it
	FormatONNX        = "onnx"        // graph and weights in one file of ONNX
	FormatHuggingFace = "huggingface" // a folder of transformers, adapters merged into the weights
)

// ExportFormats lists the formats.
var ExportFormats = []string{FormatDLA, FormatPyTorch, FormatONNX, FormatHuggingFace}

// ExportAs writes the trained network that from names to the folder dir in one of ExportFormats. from is the id of a
// finished run under root, or, but for FormatDLA, a checkpoint's folder or its name under checkpoints/; for FormatONNX
// also an encoder (hub.Find). Folders of FormatDLA are replaced (Export); for the others dir must be new or empty.
func ExportAs(root, from, dir, format string) (Checkpoint, error) {
	switch format {
	case FormatDLA:
		return Export(root, from, dir)
	case FormatPyTorch:
		if classifiesText(root, from) {
			return Checkpoint{}, fmt.Errorf("%s classifies sentences: --to %s writes it for PyTorch, as transformers loads "+
				"it", from, FormatHuggingFace)
		}
		return exportPyTorch(root, from, dir)
	case FormatONNX:
		return exportONNX(root, from, dir)
	case FormatHuggingFace:
		return exportHuggingFace(root, from, dir)
	}
	return Checkpoint{}, fmt.Errorf("no format is called %q; want one of %s", format, strings.Join(ExportFormats, ", "))
}

// classifiesText reports whether from names a classifier of sentences, as FindSentiment finds it. An encoder alone is
// none.
func classifiesText(root, from string) bool {
	for _, dir := range checkpointPlaces(from) {
		if lora.IsFolder(dir) || isHuggingFace(dir) {
			return !holdsEncoder(dir)
		}
	}
	for _, root := range []string{root, run.DefaultRoot} {
		if rec, err := run.Find(root, from); err == nil {
			return rec.Experiment == FinetuneExperiment
		}
	}
	return false
}

// exportPyTorch writes a classifier of images as model.pt, model.py and a card.
func exportPyTorch(root, from, dir string) (Checkpoint, error) {
	n, c, err := exported(root, from, dir)
	if err != nil {
		return Checkpoint{}, err
	}
	images := model.Images{H: n.Images.H, W: n.Images.W, C: n.Images.C, Classes: n.ClassNames()}
	module, err := model.PyTorch(n.Model, images)
	if err != nil {
		return Checkpoint{}, err
	}
	return c, exportFiles(dir, n.record.Dir, "", []exportFile{
		{model.PyTorchWeights, func(w io.Writer) error { return torch.Write(w, model.StateDict(n.Params)) }},
		{model.PyTorchFile, content(module)},
		{model.CardName, content(imagesCard(n, "pytorch", "import torch\n"+
			"from model import CLASSES, load  # model.py of this folder\n\n"+
			"model = load()\n"+
			"x = torch.rand(1, "+shapeOf(n.Images)+")  # an image: pixels from 0 to 1\n"+
			"with torch.no_grad():\n"+
			"    p = model(x).softmax(1)[0]\n"+
			"print(CLASSES[int(p.argmax())], float(p.max()))"))},
	})
}

// exported loads the classifier of images that from names, for an export to dir.
func exported(root, from, dir string) (*Network, Checkpoint, error) {
	if err := model.Unused(dir); err != nil {
		return nil, Checkpoint{}, err
	}
	n, err := networkToExport(root, from)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	return n, Checkpoint{Name: dir, Network: n.Name, Data: n.Data.Name, Params: n.Params.Count(),
		TestAccuracy: &n.Result.Test.Accuracy}, nil
}

// networkToExport loads the classifier of images that from names. What is written in ONNX alone is said to be.
func networkToExport(root, from string) (*Network, error) {
	k, err := findKept(root, from)
	if err != nil {
		if _, notFound := hub.Find(from); notFound == nil {
			return nil, fmt.Errorf("%s is an encoder, a folder that transformers loads as it is; use --to %s", from, FormatONNX)
		}
		return nil, err
	}
	if k.Experiment == AutoencoderExperiment {
		return nil, fmt.Errorf("%s is an autoencoder; use --to %s", from, FormatONNX)
	}
	return restore(k)
}

// shapeOf is the shape of one image in Python: 3, 32, 32.
func shapeOf(i data.Description) string { return fmt.Sprintf("%d, %d, %d", i.C, i.H, i.W) }

// exportFile is a file of an exported folder.
type exportFile struct {
	name  string
	write func(w io.Writer) error
}

// content writes s.
func content(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// exportFiles makes the folder dir of files, whole or not at all, as readable as the folder from. The files of the
// tokenizer lie in the folder beside; "": there is none.
func exportFiles(dir, from, beside string, files []exportFile) error {
	err := atomicfile.NewFolder(dir, atomicfile.Permissions(from), func(tmp string) error {
		for _, f := range files {
			if _, _, err := atomicfile.WriteAs(filepath.Join(tmp, f.name), atomicfile.Permissions(from), f.write); err != nil {
				return err
			}
		}
		if beside == "" {
			return nil
		}
		return model.CopyBeside(beside, tmp)
	})
	if err != nil {
		return fmt.Errorf("%w; free some space there or name another folder", err)
	}
	return nil
}

// exportHuggingFace writes a classifier of sentences, adapters merged, as transformers loads it.
func exportHuggingFace(root, from, dir string) (Checkpoint, error) {
	if !classifiesText(root, from) {
		if _, err := networkToExport(root, from); err != nil {
			return Checkpoint{}, err
		}
		return Checkpoint{}, fmt.Errorf("%s classifies images, and transformers has no class for it; use --to %s or "+
			"%s", from, FormatPyTorch, FormatONNX)
	}
	if err := model.Unused(dir); err != nil { // fail before the weights are read
		return Checkpoint{}, err
	}
	s, err := FindSentiment(root, from)
	if err != nil {
		return Checkpoint{}, err
	}
	c := s.checkpoint(root, from)
	c.Name = dir
	return c, s.Write(dir)
}

// checkpoint describes s, which from names. A model without a record has no accuracy and no data.
func (s *Sentiment) checkpoint(root, from string) Checkpoint {
	c := Checkpoint{Network: s.Name, Params: s.Params}
	if rec, res, ok := recordOfText(root, from); ok {
		c.Network, c.Data, c.TestAccuracy = rec.Variant, rec.Env.Data.Name, &res.Test.Accuracy
	}
	return c
}

// recordOfText returns the record and the result of the classifier of sentences that from names; false if it has none.
func recordOfText(root, from string) (rec run.Record, res record.Classifier, ok bool) {
	for _, dir := range checkpointPlaces(from) {
		if lora.IsFolder(dir) || isHuggingFace(dir) {
			rec, err := run.ReadFolder(dir)
			return rec, res, err == nil && record.Read(rec, &res) == nil
		}
	}
	for _, root := range []string{root, run.DefaultRoot} {
		if rec, err := run.Find(root, from); err == nil {
			return rec, res, record.Read(rec, &res) == nil
		}
	}
	return rec, res, false
}
