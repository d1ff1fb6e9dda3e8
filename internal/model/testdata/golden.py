"""Writes golden.json: two residual blocks in PyTorch, forward, backward and running statistics.

    python golden.py > golden.json        # made with torch 2.8

Inputs and weights are given by a formula that resnet_test.go repeats; only what PyTorch computes of
them is stored, as base64 of little-endian float32, images as NHWC and weights as [k, k, in, out].
"""
import base64, json, math
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F


def wave(n, seed, scale, shift=0.0):
    return torch.tensor([shift + scale * math.sin(0.37 * i * (1 + seed % 5) + 1.3 * seed) for i in range(n)], dtype=torch.float64).float()


class Block(nn.Module):
    def __init__(s, i, o, st):
        super().__init__()
        s.conv1, s.bn1 = nn.Conv2d(i, o, 3, st, 1, bias=False), nn.BatchNorm2d(o)
        s.conv2, s.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        s.downsample = nn.Sequential(nn.Conv2d(i, o, 1, st, bias=False), nn.BatchNorm2d(o)) if st != 1 or i != o else None

    def forward(s, x):
        y = s.bn2(s.conv2(F.relu(s.bn1(s.conv1(x)))))
        return F.relu(y + (s.downsample(x) if s.downsample else x))


class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.a, s.b, s.fc = Block(16, 16, 1), Block(16, 24, 2), nn.Linear(24, 5)

    def forward(s, x):
        return s.fc(s.b(s.a(x)).mean((2, 3)))


net = Net()
# In the order in which the Go network first asks for them: conv1, bn1, conv2, downsample, bn2.
order = [f"{b}.{l}" for b, ls in (("a", ("conv1", "bn1", "conv2", "bn2")), ("b", ("conv1", "bn1", "conv2", "downsample.0", "downsample.1", "bn2"))) for l in ls] + ["fc"]
params = dict(net.named_parameters())
seed = 1
for layer in order:
    for kind in ("weight", "bias"):
        p = params.get(f"{layer}.{kind}")
        if p is None:
            continue
        with torch.no_grad():
            if p.dim() == 4:  # given as [k, k, in, out]
                o, i, k, _ = p.shape
                p.copy_(wave(p.numel(), seed, 0.15).reshape(k, k, i, o).permute(3, 2, 0, 1))
            elif "bn" in layer or layer.endswith("downsample.1"):
                p.copy_(wave(p.numel(), seed, 0.3, 1.0 if kind == "weight" else 0.1))
            else:
                p.copy_(wave(p.numel(), seed, 0.4).reshape(p.shape))
        seed += 1

N = 3
x = wave(N * 8 * 8 * 16, 90, 1.0).reshape(N, 8, 8, 16).permute(0, 3, 1, 2).contiguous().requires_grad_(True)
y = torch.tensor([0, 3, 2])
out = {}


def keep(name, t):
    t = t.detach()
    if t.dim() == 4:
        t = t.permute(0, 2, 3, 1) if name.startswith(("x", "grad/x")) else t.permute(2, 3, 1, 0)
    out[name] = base64.b64encode(t.contiguous().numpy().astype("<f4").tobytes()).decode()


logits = net(x)
loss = F.cross_entropy(logits, y)
loss.backward()
keep("logits", logits); keep("loss", loss.reshape(1)); keep("grad/x", x.grad)
for name, p in net.named_parameters():
    keep("grad/" + name, p.grad)
for name, b in net.named_buffers():
    if "running" in name:
        keep(name, b)
net.eval()
x2 = x.detach().clone().requires_grad_(True)
logits = net(x2)
F.cross_entropy(logits, y).backward()
keep("eval/logits", logits); out["eval/grad/x"] = base64.b64encode(x2.grad.permute(0, 2, 3, 1).contiguous().numpy().astype("<f4").tobytes()).decode()
print(json.dumps(out, indent=0, sort_keys=True))
