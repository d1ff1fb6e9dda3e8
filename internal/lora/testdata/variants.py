"""Writes the golden values of config_test.go: python variants.py (peft 0.21, transformers 5.24, torch 2.8).

variants/base is a small random DistilBERT, variants/NAME an adapter of it that PEFT made with other settings than the
usual ones, and the logits that PEFT computes with it after loading it from the folder. variants/targets.json says for
more settings, on small encoders of all families, which linear layers PEFT adapts, by what rank and scale.
"""
import json, os, torch, warnings
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from transformers import (BertConfig, BertForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification,
                          DistilBertModel, MPNetConfig, MPNetForSequenceClassification, logging)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "variants")
BASE = os.path.join(HERE, "base")
IDS = json.load(open(os.path.join(os.path.dirname(HERE), "../../model/testdata/encoders/sentences.json")))["ids"]
logging.set_verbosity_error()
logging.disable_progress_bar()
os.makedirs(HERE, exist_ok=True)
warnings.simplefilter("ignore")
torch.manual_seed(5)
DistilBertModel(DistilBertConfig(vocab_size=40, max_position_embeddings=36, dim=16, hidden_dim=24, n_heads=2, n_layers=2,
                                 initializer_range=0.4)).save_pretrained(BASE)

VARIANTS = {
    "pissa": dict(init_lora_weights="pissa", r=3, lora_alpha=5, target_modules=["q_lin", "v_lin", "lin1"]),
    "pissa-all": dict(init_lora_weights="pissa", r=20, lora_alpha=10, target_modules=["k_lin"]),
    "olora": dict(init_lora_weights="olora", r=3, lora_alpha=5, target_modules=["q_lin", "lin1", "lin2"]),
    "rslora": dict(use_rslora=True, r=4, lora_alpha=3, target_modules=["q_lin", "v_lin"]),
    "patterns": dict(r=2, lora_alpha=5, target_modules=["q_lin", "k_lin", "lin1"], rank_pattern={r"layer\.1\..*": 1, "q_lin": 3},
                     alpha_pattern={"transformer.layer.0.ffn.lin1": 9, "^distilbert.*k_lin": 2}),
    "ending": dict(r=2, lora_alpha=5, target_modules=["attention.q_lin", "ffn.lin2"]),
    "regex": dict(r=2, lora_alpha=5, target_modules=r".*\.layer\.1\.(attention\.[qk]_lin|ffn\.lin2)"),
    "all-linear": dict(r=1, lora_alpha=2, target_modules="all-linear"),
    "layers": dict(r=2, lora_alpha=5, target_modules=["q_lin", "k_lin", "out_lin"], exclude_modules=["k_lin"], layers_to_transform=[1],
                   layers_pattern="layer"),
    "bias-all": dict(r=2, lora_alpha=5, target_modules=["q_lin", "lin1"], bias="all", lora_bias=True),
    "bias-lora": dict(r=2, lora_alpha=5, target_modules=["v_lin"], bias="lora_only"),
}


def base():
    torch.manual_seed(6)  # of the head, which the base does not have
    return DistilBertForSequenceClassification.from_pretrained(BASE)


def logits(model):
    longest = max(map(len, IDS))
    x = torch.tensor([s + [0] * (longest - len(s)) for s in IDS])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in IDS])
    with torch.no_grad():
        return model.eval()(input_ids=x, attention_mask=mask).logits


for i, (name, settings) in enumerate(VARIANTS.items()):
    at = os.path.join(HERE, name)
    model = get_peft_model(base(), LoraConfig(task_type="SEQ_CLS", modules_to_save=["pre_classifier"], **settings))
    torch.manual_seed(20 + i)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad: p.add_(torch.randn_like(p) * 0.2)
    model.save_pretrained(at)
    os.remove(os.path.join(at, "README.md"))
    config = json.load(open(os.path.join(at, "adapter_config.json")))
    config["base_model_name_or_path"] = "base"
    for key in ("target_modules", "exclude_modules"):
        if isinstance(config[key], list): config[key].sort()
    json.dump(config, open(os.path.join(at, "adapter_config.json"), "w"), indent=1)
    y = logits(PeftModel.from_pretrained(base(), at))
    save_file({"logits": y}, os.path.join(at, "golden.safetensors"))

small = dict(vocab_size=10, max_position_embeddings=12)
MODELS = {
    "distilbert": lambda: DistilBertForSequenceClassification(DistilBertConfig(dim=8, hidden_dim=12, n_heads=2, n_layers=12, **small)),
    "bert": lambda: BertForSequenceClassification(BertConfig(hidden_size=8, intermediate_size=12, num_attention_heads=2, num_hidden_layers=3, **small)),
    "mpnet": lambda: MPNetForSequenceClassification(MPNetConfig(hidden_size=8, intermediate_size=12, num_attention_heads=2, num_hidden_layers=3, **small)),
}
TARGETS = [
    ("bert", dict(target_modules=["output.dense"])),
    ("bert", dict(target_modules=["attention.output.dense", "query"])),
    ("bert", dict(target_modules=["dense"], exclude_modules=r".*attention.*")),
    ("bert", dict(target_modules="all-linear")),
    ("bert", dict(target_modules="ALL-linear", exclude_modules=["bert.encoder.layer.1.attention.self.key", "dense"])),
    ("bert", dict(target_modules=["bert.encoder.layer.1.attention.self.key", "value"], layers_to_transform=2)),
    ("bert", dict(target_modules=["self.key", "self.value"], layers_to_transform=[0, 2], layers_pattern=["encoder.layer", "h"])),
    ("bert", dict(target_modules=["key"], layers_to_transform=[])),
    ("mpnet", dict(target_modules=["q", "attention.attn.v"])),
    ("mpnet", dict(target_modules="all-linear")),
    ("mpnet", dict(target_modules=r"mpnet.*\.(q|intermediate\.dense)", use_rslora=True)),
    ("mpnet", dict(target_modules=["dense"], rank_pattern={"output.dense": 3, "dense": 4, "layer.2.output.dense": 5})),
    ("distilbert", dict(target_modules=["lin1", "lin2"], layers_to_transform=1)),
    ("distilbert", dict(target_modules=["q_lin"], rank_pattern={r"layer\.1.*": 2, r"layer.\d.attention.q_lin|nothing": 3}, alpha_pattern={"lin": 1, "[a-z]_lin": 7})),
    ("distilbert", dict(target_modules="distilbert.transformer.layer.1?[02]\\.(?=a).*_lin")),
    ("distilbert", dict(target_modules="distilbert.transformer.layer.1?[02]\\.attention\\.\\w+_lin", alpha_pattern={"[qk]_lin": 3, "q_lin": 4})),
]
out = []
for family, settings in TARGETS:
    config = LoraConfig(task_type="SEQ_CLS", r=6, lora_alpha=4, **settings)
    model = get_peft_model(MODELS[family](), config).base_model.model
    layers = {}
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and ".layer." in name:
            layers[name] = [module.r["default"], module.scaling["default"]]
    out.append({"family": family, "config": settings, "layers": layers})
with open(os.path.join(HERE, "targets.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(x) for x in out) + "\n]\n")
