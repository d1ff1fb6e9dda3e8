"""Checks exported models and compares their results with those of dla: check.py FOLDER..., each with model.onnx and
want.pt, the inputs and the result. TestOnnxruntime runs it; needs onnx, onnxruntime and torch."""
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 3
wrong = 0
for folder in map(Path, sys.argv[1:]):
    path = str(folder / "model.onnx")
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    want = {name: t.numpy() for name, t in torch.load(folder / "want.pt", weights_only=True).items()}
    feed = {i.name: want[i.name].astype(np.int64 if "int64" in i.type else np.float32) for i in session.get_inputs()}
    (output,) = session.get_outputs()
    (got,) = session.run(None, feed)
    off, largest = float(np.abs(got - want[output.name]).max()), float(np.abs(want[output.name]).max())
    print(f"{folder.name}: {output.shape}, values up to {largest:.3g}, off by {off:.2g}")
    wrong += got.shape != want[output.name].shape or not off <= 1e-4 * max(1, largest)
sys.exit(wrong)
