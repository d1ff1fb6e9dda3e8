"""Compares the logits of exported modules with those of dla: check.py FOLDER..., each with model.py, model.pt and want.pt,
images x [n, H, W, C] and their logits. TestPyTorch runs it; needs torch."""
import importlib.util
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
wrong = 0
for folder in map(Path, sys.argv[1:]):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    want = torch.load(folder / "want.pt", weights_only=True)
    with torch.no_grad():
        got = module.load()(want["x"].permute(0, 3, 1, 2))
    off = float((got - want["logits"]).abs().max())
    largest = float(want["logits"].abs().max())
    lines = (folder / "model.py").read_text().count("\n")
    print(f"{folder.name}: logits up to {largest:.3g}, off by {off:.2g}; {lines} lines")
    wrong += not off <= 1e-4 * max(1, largest)
sys.exit(wrong)
