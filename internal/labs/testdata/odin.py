"""Writes odin.json: logits of a residual MLP after ODIN's step, by pytorch-ood.

    python odin.py > odin.json        # made with pytorch-ood 0.4, torch 2.8

Weights and images are given by formulas that ood_test.go repeats.
"""
import json, math
import torch, torch.nn as nn
from pytorch_ood.detector.odin import odin_preprocessing


def wave(n, seed, scale):
    return torch.tensor([scale * math.sin(0.37 * i * (1 + seed % 5) + 1.3 * seed) for i in range(n)], dtype=torch.float64).float()


class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.stem, s.fc1, s.fc2, s.head = nn.Linear(784, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(s, x):
        h = s.stem(x).relu()
        return s.head(h + s.fc2(s.fc1(h).relu()).relu())


net = Net()
for i, p in enumerate(net.parameters()):
    p.data.copy_(wave(p.numel(), i + 1, 0.1 if i == 0 else 0.5).reshape(p.shape))
x = torch.tensor([[(20 + (i * i * 7 + i * 13 + n * 29) % 210) / 255 for i in range(784)] for n in range(4)])
out = {str(eps): net(odin_preprocessing(net, x, eps=eps, temperature=1000)).flatten().tolist() for eps in (0.0, 0.0014, 0.02)}
print(json.dumps(out))
