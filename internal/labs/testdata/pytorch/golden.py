"""Writes the weights of two of the small classifiers as older programs did: bert.bin in the format of PyTorch before 1.6,
with gamma and beta, and those of mpnet in two files with an index.

Run: python golden.py (PyTorch 2.8, safetensors).
"""
import json
import pathlib

import torch
from safetensors.torch import load_file

here = pathlib.Path(__file__).parent
classifiers = here.parent / "classifiers"
bert = load_file(classifiers / "bert" / "model.safetensors")
old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
       for k, v in bert.items()}
torch.save(old, here / "bert.bin", _use_new_zipfile_serialization=False)
mpnet = load_file(classifiers / "mpnet" / "model.safetensors")
names = sorted(mpnet)
weight_map = {}
for i, part in enumerate([names[: len(names) // 2], names[len(names) // 2:]], 1):
    file = f"pytorch_model-{i:05}-of-00002.bin"
    torch.save({k: mpnet[k] for k in part}, here / file)
    weight_map.update({k: file for k in part})
(here / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}) + "\n")
