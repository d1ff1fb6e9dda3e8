package model

import (
	"encoding/json"
	"fmt"
	"strings"
)

// CardName is the file of a Hugging Face folder that says what it holds.
const CardName = "README.md"

// card is the model card of a folder with the whole model.
func (c *SentenceClassifier) card(labels []string) string {
	if c.TransformersClass() != "" {
		return cardHead("transformers", c, labels) + python(
			"from transformers import pipeline",
			"",
			`classify = pipeline("text-classification", model=".")  # this folder`,
			`print(classify("A film of rare warmth."))`)
	}
	return cardHead("transformers", c, labels) + noClass + python(c.pooledModule("safetensors.torch import load_file", labels)+fmt.Sprintf(`

folder = "."  # this one
model = Classifier(AutoModel.from_pretrained(folder%s)).eval()
model.load_state_dict(load_file(folder + "/model.safetensors"))
tokenizer = AutoTokenizer.from_pretrained(folder)
`, c.withoutPooler())+classify)
}

// AdapterCard is the model card of a folder with an adapter of the encoder base, and the head.
func (c *SentenceClassifier) AdapterCard(base string, labels []string) string {
	if c.TransformersClass() != "" {
		id2label := map[int]string{}
		for i, l := range labels {
			id2label[i] = l
		}
		names, _ := json.Marshal(id2label) // strings always can be
		dict := strings.NewReplacer(`{"`, "{", `":`, ": ", `,"`, ", ").Replace(string(names))
		return cardHead("peft", c, labels) + python(fmt.Sprintf(`import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

labels = %s
base = AutoModelForSequenceClassification.from_pretrained(%q, id2label=labels).float()
model = PeftModel.from_pretrained(base, ".").eval()  # this folder
tokenizer = AutoTokenizer.from_pretrained(%q)
x = tokenizer("A film of rare warmth.", return_tensors="pt")
with torch.no_grad():
    p = model(**x).logits.softmax(-1)[0]
print(labels[int(p.argmax())], float(p.max()))`, dict, base, base))
	}
	return cardHead("peft", c, labels) + noClass + python(c.pooledModule("peft import PeftModel", labels)+fmt.Sprintf(`

base = %q
model = PeftModel.from_pretrained(Classifier(AutoModel.from_pretrained(base%s).float()), ".").eval()  # this folder
tokenizer = AutoTokenizer.from_pretrained(base)
`, base, c.withoutPooler())+classify)
}

// cardHead is the front matter and the first lines.
func cardHead(library string, c *SentenceClassifier, labels []string) string {
	return fmt.Sprintf(`---
library_name: %s
pipeline_tag: text-classification
---

A classifier of sentences, fine-tuned by `+"`dla lab3 finetune`"+`. Classes: %s. Head: %s.
`, library, strings.Join(labels, ", "), c.Describe())
}

const noClass = `
transformers has no class with this head. Its Auto classes load the encoder without it, or with a new one drawn at
random, and then answer by chance. These lines load all of it:
`

func python(lines ...string) string { return "\n```python\n" + strings.Join(lines, "\n") + "\n```\n" }

const classify = `x = tokenizer("A film of rare warmth.", return_tensors="pt")
with torch.no_grad():
    p = model(x["input_ids"], x["attention_mask"]).softmax(-1)[0]
print(labels[int(p.argmax())], float(p.max()))`

// pooledModule is the PyTorch module that has the tensors' names, with one more import.
func (c *SentenceClassifier) pooledModule(imports string, labels []string) string {
	list, _ := json.Marshal(labels) // strings always can be
	names := strings.ReplaceAll(string(list), `","`, `", "`)
	pool := "m = attention_mask[..., None].to(h.dtype)\n        x = (h * m).sum(1) / m.sum(1)"
	if c.Pooling.CLS {
		pool = "x = h[:, 0]"
	}
	return fmt.Sprintf(`import torch
from %s
from transformers import AutoModel, AutoTokenizer

labels = %s


class Classifier(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.%s, width = encoder, encoder.config.hidden_size
        self.pre_classifier = torch.nn.Linear(width, width)
        self.classifier = torch.nn.Linear(width, len(labels))

    def forward(self, input_ids, attention_mask):
        h = self.%s(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        %s
        return self.classifier(torch.relu(self.pre_classifier(x)))
`, imports, names, c.Family, c.Family, pool)
}

// withoutPooler is the argument by which transformers leaves out a pooler, which these models do not use.
func (c *SentenceClassifier) withoutPooler() string {
	if c.Family == "distilbert" { // has none
		return ""
	}
	return ", add_pooling_layer=False"
}
