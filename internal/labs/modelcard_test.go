package labs

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"dla/internal/config"
	"dla/internal/record"
	"dla/internal/run"
)

// TestModelCard: the front matter is YAML whatever the names are, with the accuracy as the hub reads it, and the text
// says who trained the network.
func TestModelCard(t *testing.T) {
	rec := run.Record{}
	rec.Experiment, rec.Seed = ResnetExperiment, 7
	rec.Env.Data.Name, rec.Env.Data.Fingerprint = `pets: "big" # 1`, strings.Repeat("a", 64)
	rec.Env.Command = []string{"dla", "lab1", "resnet"}
	c := card{name: `- "net"`, library: "onnx", pipeline: "image-classification", about: "A network.", rec: &rec,
		test: record.Test{N: 1000, Accuracy: 0.9125, CI95: [2]float64{0.89, 0.93}}, python: "import onnx"}
	text := c.String()
	parts := strings.SplitN(text, "---\n", 3)
	var front struct {
		License  string
		Datasets []string
		Index    []struct {
			Name    string
			Results []struct {
				Dataset struct{ Name, Type, Split string }
				Metrics []struct {
					Type, Name string
					Value      float64
				}
			}
		} `yaml:"model-index"`
	}
	if err := yaml.Unmarshal([]byte(parts[1]), &front); err != nil {
		t.Fatalf("%v:\n%s", err, parts[1])
	}
	r := front.Index[0].Results[0]
	expect(t, front, map[string]bool{
		"the name":     front.Index[0].Name == c.name,
		"the data":     front.Datasets[0] == rec.Env.Data.Name && r.Dataset.Type == rec.Env.Data.Name,
		"a licence":    front.License == "unknown",
		"the accuracy": r.Metrics[0].Value == 0.9125 && r.Metrics[0].Type == "accuracy",
		"the interval": r.Metrics[0].Name == "accuracy on 1000, 95 % Wilson interval 0.8900 to 0.9300",
	})
	for _, want := range []string{"91.25 % of n = 1000, 95 % Wilson interval 89.00 to 93.00 %.", "training, of seed 7.",
		"Trained by `dla lab1 resnet`", "Whoever trained the weights", "```python\nimport onnx\n```"} {
		if !strings.Contains(text, want) {
			t.Errorf("the card lacks %q:\n%s", want, text)
		}
	}
	rec.Experiment, c.base = config.ImportedExperiment, "minilm"
	text = c.String()
	for _, want := range []string{"Another program trained it.", "Imported by `", "That of the encoder minilm applies"} {
		if !strings.Contains(text, want) || strings.Contains(text, "of seed") {
			t.Errorf("the card of an imported network lacks %q:\n%s", want, text)
		}
	}
	c.rec = nil
	if text = c.String(); strings.Contains(text, "model-index") || strings.Contains(text, "accuracy") {
		t.Errorf("a network without a record reaches something:\n%s", text)
	}
}
