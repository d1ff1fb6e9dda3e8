"""Writes curve.json: the losses of 200 training steps of a residual network in PyTorch.

    python curve.py > curve.json        # made with torch 2.8

Weights, images and labels are given by formulas that curve_test.go repeats.
"""
import json, math
import torch, torch.nn as nn, torch.nn.functional as F

torch.set_num_threads(2)


def hashed(i):  # 32-bit integer hash to [0, 1)
    i = (i ^ (i >> 16)) * 0x45D9F3B & 0xFFFFFFFF
    i = (i ^ (i >> 16)) * 0x45D9F3B & 0xFFFFFFFF
    return ((i ^ (i >> 16)) & 0xFFFFFFFF) / 4294967296


def spread(n, seed, bound):  # as an initialiser would draw them; a formula with a pattern is ill-conditioned
    return torch.tensor([bound * (2 * hashed(seed * 100003 + i) - 1) for i in range(n)], dtype=torch.float64).float()


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
        s.conv1, s.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        s.layer1, s.layer2, s.layer3 = Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)
        s.fc = nn.Linear(64, 10)
        s.register_buffer("mean", torch.tensor([0.49139968, 0.48215841, 0.44653091]).reshape(1, 3, 1, 1))
        s.register_buffer("std", torch.tensor([0.24703223, 0.24348513, 0.26158784]).reshape(1, 3, 1, 1))

    def forward(s, x):
        h = F.relu(s.bn1(s.conv1((x - s.mean) / s.std)))
        return s.fc(s.layer3(s.layer2(s.layer1(h))).mean((2, 3)))


net = Net()
order = ["conv1", "bn1"] + [f"{b}.{l}" for b, ls in (("layer1", ("conv1", "bn1", "conv2", "bn2")), ("layer2", ("conv1", "bn1", "conv2", "downsample.0", "downsample.1", "bn2")),
                                                     ("layer3", ("conv1", "bn1", "conv2", "downsample.0", "downsample.1", "bn2"))) for l in ls] + ["fc"]
params = dict(net.named_parameters())
seed = 1
for layer in order:
    for kind in ("weight", "bias"):
        p = params.get(f"{layer}.{kind}")
        if p is None:
            continue
        with torch.no_grad():
            if p.dim() == 4:
                o, i, k, _ = p.shape
                p.copy_(spread(p.numel(), seed, math.sqrt(6 / (k * k * i))).reshape(k, k, i, o).permute(3, 2, 0, 1))
            elif "bn" in layer or layer.endswith("downsample.1"):
                p.fill_(1.0 if kind == "weight" else 0.0)
            else:
                p.copy_(spread(p.numel(), seed, 0.125).reshape(p.shape))
        seed += 1

N, SIDE = 16, 16
opt = torch.optim.SGD(net.parameters(), lr=0.005, momentum=0.9, weight_decay=5e-4, nesterov=True)
losses = []
for step in range(200):
    y = torch.tensor([(step * 7 + n * 3) % 10 for n in range(N)])
    # the class is in the brightness of the rows; the rest is noise
    x = torch.tensor([0.5 * hashed(((step % 8) * N + n) * SIDE * SIDE * 3 + j) + 0.5 * math.sin((int(y[n]) + 1) * (j // (SIDE * 3)) * 0.3) ** 2 for n in range(N) for j in range(SIDE * SIDE * 3)],
                     dtype=torch.float64).float().reshape(N, SIDE, SIDE, 3).permute(0, 3, 1, 2).contiguous()
    opt.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
    losses.append(float(f"{loss.item():.8g}"))
print(json.dumps(losses, indent=None))
