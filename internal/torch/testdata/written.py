"""Reads written.pt with PyTorch as restrictively as it can and compares what TestWrite wrote. Run by hand after
`go test ./internal/torch -update`; needs torch."""
import sys

import torch

path = __file__.replace("written.py", "written.pt")
want = {
    "conv.weight": torch.tensor([1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, 0.5]).reshape(2, 1, 2, 3),
    "größe": torch.tensor(7.0),
    "none": torch.zeros(0, 3),
    "fc.bias": torch.tensor([1e-30, 3e38, -0.1]),
}
for mapped in (False, True):
    got = torch.load(path, weights_only=True, mmap=mapped)
    assert list(got) == list(want), list(got)
    for name, t in want.items():
        assert got[name].dtype == torch.float32 and got[name].shape == t.shape and torch.equal(got[name], t), name
print("equal", file=sys.stderr)
