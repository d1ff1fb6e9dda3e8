"""Writes the golden values of encoder_test.go: python golden.py (transformers 5.24, torch 2.8, safetensors).

For each family a folder of a small random model as save_pretrained writes it, in half precision, and beside it what
that model makes of a few sentences: hidden states, a loss, and the loss's gradient by every parameter. The loss is the
cross-entropy of the pooled hidden states, taken as logits. buckets.json has MPNet's bucket of each distance.
"""
import json, torch, torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import (BertConfig, BertModel, DistilBertConfig, DistilBertForSequenceClassification, MPNetConfig,
                          MPNetModel)

torch.manual_seed(7)
LENGTHS, VOCAB, HIDDEN, LABELS = [5, 1, 19, 33], 40, 32, [3, 0, 31, 12]
IDS = [[int(torch.randint(5, VOCAB, ())) for _ in range(n)] for n in LENGTHS]

bert = dict(vocab_size=VOCAB, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
MODELS = {
    "bert": (BertModel(BertConfig(max_position_embeddings=36, **bert)), "mean"),
    "distilbert": (DistilBertForSequenceClassification(DistilBertConfig(
        vocab_size=VOCAB, dim=HIDDEN, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=36)), "cls"),
    "mpnet": (MPNetModel(MPNetConfig(max_position_embeddings=38, **bert)), "mean"),
}


def half(t):
    return t.detach().half().float()


for name, (model, pooling) in MODELS.items():
    with torch.no_grad():
        for n, p in model.named_parameters():  # far from the initial values, or half the gradients are next to nothing
            if p.dim() > 1: p.copy_(half(torch.randn_like(p) * (1.0 if "embeddings" in n else 2.0 / p.shape[1] ** 0.5)))
            elif "norm" in n.lower() and n.endswith("weight"): p.copy_(half(1 + 0.2 * torch.randn_like(p)))
            else: p.copy_(half(0.2 * torch.randn_like(p)))
    model.eval()
    model.save_pretrained(name)
    halves = {k: v.half() for k, v in load_file(f"{name}/model.safetensors").items()}
    if name == "bert":  # as older versions of the library wrote it
        halves["embeddings.position_ids"] = torch.arange(36)[None]
    save_file(halves, f"{name}/model.safetensors", {"format": "pt"})
    encoder = getattr(model, "distilbert", model)
    pad, longest = model.config.pad_token_id, max(LENGTHS)
    x = torch.tensor([s + [pad] * (longest - len(s)) for s in IDS])
    mask = torch.tensor([[1] * n + [0] * (longest - n) for n in LENGTHS])
    h = encoder(input_ids=x, attention_mask=mask).last_hidden_state
    m = mask[..., None].float()
    pooled = (h * m).sum(1) / m.sum(1) if pooling == "mean" else h[:, 0]
    loss = F.cross_entropy(pooled, torch.tensor(LABELS))
    loss.backward()
    out = {"hidden": h[mask.bool()].detach().contiguous(), "pooled": pooled.detach().contiguous(), "loss": loss.detach()[None]}
    for n, p in encoder.named_parameters():
        if p.grad is not None:
            out["grad/" + n] = p.grad.contiguous()
    save_file(out, f"{name}/golden.safetensors")

json.dump({"ids": IDS, "labels": LABELS}, open("sentences.json", "w"))
bias = MODELS["mpnet"][0].encoder.relative_position_bucket
json.dump([int(b) for b in bias(torch.arange(-600, 601), num_buckets=32)], open("buckets.json", "w"))
