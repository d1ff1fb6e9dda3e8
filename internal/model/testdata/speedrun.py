"""Writes speedrun.json: the speedrun network of width 8 in PyTorch, forward, backward and running statistics.

    python speedrun.py > speedrun.json        # made with torch 2.8

Images and weights are given by the formula that resnet_test.go repeats; only what PyTorch computes of them is stored,
as base64 of little-endian float32, images as NHWC and weights as [k, k, in, out], of both every 17th value.
"""
import base64, json, math
import torch, torch.nn as nn, torch.nn.functional as F


def wave(n, seed, scale, shift=0.0):
    return torch.tensor([shift + scale * math.sin(0.37 * i * (1 + seed % 5) + 1.3 * seed) for i in range(n)], dtype=torch.float64).float().double()


class Norm(nn.BatchNorm2d):
    def __init__(s, w):
        super().__init__(w, eps=1e-12, momentum=0.4)
        s.weight.requires_grad = False


class Group(nn.Module):
    def __init__(s, i, o):
        super().__init__()
        s.conv1, s.norm1 = nn.Conv2d(i, o, 3, 1, 1, bias=False), Norm(o)
        s.conv2, s.norm2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), Norm(o)

    def forward(s, x):
        x = F.gelu(s.norm1(F.max_pool2d(s.conv1(x), 2)))
        return F.gelu(s.norm2(s.conv2(x)))


class Net(nn.Module):
    def __init__(s, w=8):
        super().__init__()
        s.whiten = nn.Conv2d(3, 24, 2)
        s.whiten.weight.requires_grad = False
        s.layer1, s.layer2, s.layer3 = (nn.Sequential(Group(i, o)) for i, o in ((24, w), (w, 4 * w), (4 * w, 4 * w)))
        s.head = nn.Linear(4 * w, 10, bias=False)

    def forward(s, x):
        x = s.layer3(s.layer2(s.layer1(F.gelu(s.whiten(x)))))
        return s.head(F.max_pool2d(x, 3).flatten(1)) / 9


torch.set_default_dtype(torch.float64)  # what float32 should come near
net = Net()
seed = 1
for name, p in net.named_parameters():
    if "norm" in name and name.endswith("weight"):
        continue
    with torch.no_grad():
        if p.dim() == 4:  # given as [k, k, in, out]
            o, i, k, _ = p.shape
            p.copy_(wave(p.numel(), seed, 0.15).reshape(k, k, i, o).permute(3, 2, 0, 1))
        else:
            p.copy_(wave(p.numel(), seed, 0.3, 0.1 if p.dim() == 1 else 0.0).reshape(p.shape))
    seed += 1

N = 3
x = wave(N * 32 * 32 * 3, 90, 0.5, 0.5).reshape(N, 32, 32, 3).permute(0, 3, 1, 2).contiguous().requires_grad_(True)
mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.49139968, 0.48215841, 0.44653091], [0.24703223, 0.24348513, 0.26158784]))
y = torch.tensor([0, 3, 2])
out = {}


def keep(name, t):
    if t.dim() == 4:
        t = t.permute(0, 2, 3, 1) if "/x" in name else t.permute(2, 3, 1, 0)
        t = t.reshape(-1)[::17]
    out[name] = base64.b64encode(t.detach().contiguous().numpy().astype("<f4").tobytes()).decode()


def run(prefix):
    x.grad = None
    net.zero_grad()
    logits = net((x - mean) / std)
    loss = F.cross_entropy(logits, y, label_smoothing=0.2)
    loss.backward()
    keep(prefix + "logits", logits); keep(prefix + "loss", loss.reshape(1)); keep(prefix + "grad/x", x.grad)


run("")
for name, p in net.named_parameters():
    if p.grad is not None:
        keep("grad/" + name, p.grad)
for name, b in net.named_buffers():
    if "running" in name:
        keep(name, b)
net.eval()
run("eval/")
del out["eval/loss"]  # there without smoothing
# The gradient in evaluation is of the cross-entropy without smoothing.
x.grad = None
F.cross_entropy(net((x - mean) / std), y).backward()
keep("eval/grad/x", x.grad)
print(json.dumps(out, indent=0, sort_keys=True))
