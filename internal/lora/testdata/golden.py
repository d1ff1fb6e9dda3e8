"""Writes the golden values of peft_test.go: python golden.py (peft 0.21, transformers 5.24, torch 2.8).

peft/FAMILY is an adapter that PEFT made on the small random encoder of ../../model/testdata/encoders/FAMILY, with
random weights, and what PEFT computes with it: logits, a loss and its gradients. ours/FAMILY is an adapter that the
program wrote (go test ./internal/lora -update); PEFT loads it here, and its logits are kept beside it.

The base model is the family's ...ForSequenceClassification where the name ends in -seqcls and for DistilBERT. The
others have the pooled head (the mean of the hidden states, pre_classifier, ReLU, classifier), which transformers has
no class for: SentenceClassifier below is one. bert-seqcls-frozen saves the classifier alone, as PEFT does unless told
otherwise, and leaves the pooler to the encoder's file.
"""
import json, os, torch, torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForSequenceClassification

HERE = os.path.dirname(os.path.abspath(__file__))
ENCODERS = os.path.join(HERE, "../../model/testdata/encoders")
IDS = json.load(open(os.path.join(ENCODERS, "sentences.json")))["ids"]
LABELS = torch.tensor([1, 0, 0, 1])
HEAD = ["pre_classifier", "classifier"]
CASES = {
    "distilbert": (["q_lin", "v_lin"], HEAD),
    "bert": (["query", "key", "value", "attention.output.dense"], HEAD),
    "mpnet": (["attn.q"], HEAD),
    "bert-seqcls": (["query", "value"], ["pooler", "classifier"]),
    "bert-seqcls-frozen": (["query", "value"], None),
    "mpnet-seqcls": (["attn.q", "attn.v"], ["classifier"]),
}


class SentenceClassifier(torch.nn.Module):
    """An encoder, the mean of its hidden states, and the head of DistilBertForSequenceClassification."""

    def __init__(self, folder, classes=2):
        super().__init__()
        encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
        self.name, width = encoder.config.model_type, encoder.config.hidden_size
        setattr(self, self.name, encoder)
        self.pre_classifier, self.classifier = torch.nn.Linear(width, width), torch.nn.Linear(width, classes)

    def forward(self, input_ids, attention_mask):
        h = getattr(self, self.name)(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        m = attention_mask[..., None].to(h.dtype)
        return self.classifier(torch.relu(self.pre_classifier((h * m).sum(1) / m.sum(1))))


def has_class(case):
    return case == "distilbert" or "-seqcls" in case


def base(case):
    folder = os.path.join(ENCODERS, case.split("-")[0])
    if has_class(case):
        return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, dtype=torch.float32)
    return SentenceClassifier(folder)


def logits(family, model):
    pad, longest = {"mpnet": 1}.get(family, 0), max(map(len, IDS))
    x = torch.tensor([s + [pad] * (longest - len(s)) for s in IDS])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in IDS])
    out = model(input_ids=x, attention_mask=mask)
    return getattr(out, "logits", out)


for i, (case, (targets, head)) in enumerate(CASES.items()):
    family = case.split("-")[0]
    torch.manual_seed(11 + i)
    config = LoraConfig(r=3, lora_alpha=5, lora_dropout=0.1, target_modules=targets, modules_to_save=head,
                        task_type="SEQ_CLS" if has_class(case) else None)
    model = get_peft_model(base(case), config).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if p.requires_grad: p.copy_(torch.randn_like(p) * 0.3)
    at = os.path.join(HERE, "peft", case)
    model.save_pretrained(at)
    for name in ("README.md",): os.remove(os.path.join(at, name))
    config = json.load(open(os.path.join(at, "adapter_config.json")))
    config["base_model_name_or_path"] = family
    json.dump(config, open(os.path.join(at, "adapter_config.json"), "w"), indent=1)
    y = logits(family, model)
    loss = F.cross_entropy(y, LABELS)
    loss.backward()
    out = {"logits": y.detach(), "loss": loss.detach()[None]}
    for n, p in model.named_parameters():
        if p.grad is not None:
            n = n.replace("base_model.model.", "").replace(".default", "").replace(".modules_to_save", "")
            out["grad/" + n.removeprefix(family + ".")] = p.grad.contiguous()
    save_file(out, os.path.join(at, "golden.safetensors"))
    at = os.path.join(HERE, "ours", case)
    if os.path.exists(at):
        ours = PeftModel.from_pretrained(base(case), at).eval()
        with torch.no_grad():
            save_file({"logits": logits(family, ours)}, os.path.join(at, "golden.safetensors"))
        print(case, "loads in PEFT", ours.active_peft_config.target_modules)
