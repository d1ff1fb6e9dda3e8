"""Writes the checkpoints of this folder, and what PyTorch reads from them.

Run: python golden.py (PyTorch 2.8). zip.pt and legacy.pth hold the same: a training program's checkpoint of a
DataParallel model, with a class of its own beside the weights. bare.pt is a state dict alone, written from a
compiled model's.
"""
import argparse
import collections
import json
import pathlib

import numpy as np
import torch

here = pathlib.Path(__file__).parent
torch.manual_seed(0)
row = torch.arange(24.0).reshape(4, 6) / 8
state = collections.OrderedDict()
for name, dtype in [("f64", torch.float64), ("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16),
                    ("i64", torch.int64), ("i32", torch.int32), ("i16", torch.int16), ("i8", torch.int8)]:
    state[name] = torch.tensor([[-2, 0.5], [1.25, 100]]).to(dtype)
state["u8"] = torch.tensor([0, 200], dtype=torch.uint8)
state["bool"] = torch.tensor([True, False])
state["row"] = row
state["transposed"] = row.t()  # the storage of row
state["part"] = row[1:3, 1::2]
state["expanded"] = torch.tensor([[1.5]]).expand(2, 3)
state["number"] = torch.tensor(7)
state["empty"] = torch.zeros(0, 3)
state["parameter"] = torch.nn.Parameter(torch.tensor([3.0]))
state["u16"] = torch.tensor([1, 2, 3], dtype=torch.int16)[1:]
prefixed = collections.OrderedDict(("module." + k, v) for k, v in state.items())
prefixed._metadata = {"": {"version": 1}}
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
checkpoint = {"epoch": 200, "state_dict": prefixed, "best_prec1": 91.78, "acc1": torch.tensor(12.5),
              "scalar": np.float64(0.25), "args": argparse.Namespace(lr=0.1), "arch": "resnet20", "done": True,
              "optimizer": optimizer.state_dict(), "random": np.random.default_rng(0).integers(9, size=3)}
torch.save(checkpoint, here / "zip.pt")
torch.save(checkpoint, here / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"_orig_mod.weight": torch.tensor([1.0, 2.0])}, here / "bare.pt")
torch.save(torch.nn.Linear(2, 2), here / "module.pt")
values = {k: {"shape": list(v.shape), "values": v.detach().to(torch.float32).reshape(-1).tolist()}
          for k, v in state.items()}
(here / "golden.json").write_text(json.dumps(values, indent=1) + "\n")
