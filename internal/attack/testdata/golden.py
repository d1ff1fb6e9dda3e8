"""Writes golden.json: the input gradient, FGSM and PGD of a small network in PyTorch.

    python golden.py > golden.json        # made with torch 2.8

The network, its images and the points PGD starts from are given by formulas that golden_test.go repeats;
only what PyTorch computes is stored, as base64 of little-endian float32, images as NHWC. Attacks as in
the papers: FGSM Goodfellow et al. 2015, PGD Madry et al. 2018.
"""
import base64, json, math
import torch, torch.nn as nn, torch.nn.functional as F


def wave(n, seed, scale, shift=0.0):
    return torch.tensor([shift + scale * math.sin(0.37 * i * (1 + seed % 5) + 1.3 * seed) for i in range(n)], dtype=torch.float64).float()


def images(n, seed, scale, shift=0.0):
    return wave(n * 8 * 8 * 3, seed, scale, shift).reshape(n, 8, 8, 3).permute(0, 3, 1, 2).contiguous()


class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.conv1, s.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        s.conv2, s.bn2 = nn.Conv2d(16, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        s.fc = nn.Linear(16, 5)

    def forward(s, x):
        x = (x - 0.5) / 0.25
        x = F.relu(s.bn1(s.conv1(x)))
        return s.fc(F.relu(s.bn2(s.conv2(x))).mean((2, 3)))


net = Net()
seed = 1
with torch.no_grad():
    for layer in ("conv1", "bn1", "conv2", "bn2", "fc"):
        m = getattr(net, layer)
        if isinstance(m, nn.Conv2d):  # given as [k, k, in, out]
            o, i, k, _ = m.weight.shape
            m.weight.copy_(wave(m.weight.numel(), seed, 0.3).reshape(k, k, i, o).permute(3, 2, 0, 1))
        elif isinstance(m, nn.BatchNorm2d):
            m.weight.copy_(wave(16, seed, 0.3, 1.0)); m.bias.copy_(wave(16, seed + 1, 0.3, 0.1))
            m.running_mean.copy_(wave(16, seed + 2, 0.2)); m.running_var.copy_(wave(16, seed + 3, 0.3, 1.0))
            seed += 3
        else:
            m.weight.copy_(wave(m.weight.numel(), seed, 2.0).reshape(5, 16)); m.bias.copy_(wave(5, seed + 1, 0.4))
        seed += 1
net.eval()

N = 4
x, start = images(N, 41, 0.5, 0.5), images(N, 43, 1.0)  # start: in units of the radius, per value
y, wish = torch.tensor([0, 3, 2, 1]), torch.tensor([1, 4, 4, 0])
out = {}


def keep(name, t):
    t = t.detach()
    if t.dim() == 4:
        t = t.permute(0, 2, 3, 1)
    out[name] = base64.b64encode(t.contiguous().numpy().astype("<f4").tobytes()).decode()


def gradient(z, labels):
    z = z.detach().clone().requires_grad_(True)
    F.cross_entropy(net(z), labels, reduction="sum").backward()
    return z.grad


def project(z, norm, eps):
    d = z - x
    if norm == "linf":
        d = d.clamp(-eps, eps)
    else:
        n = d.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        d = d * (eps / n.clamp_min(1e-12)).clamp(max=1)
    return (x + d).clamp(0, 1)


def pgd(norm, eps, step, steps, labels, sign):
    scale = eps if norm == "linf" else eps / math.sqrt(8 * 8 * 3)
    z = project(x + scale * start, norm, eps)
    for _ in range(steps):
        g = gradient(z, labels)
        g = g.sign() if norm == "linf" else g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        z = project(z + sign * step * g, norm, eps)
    return z


keep("logits", net(x)); keep("gradient", gradient(x, y))
keep("fgsm", (x + 8 / 255 * gradient(x, y).sign()).clamp(0, 1))
keep("fgsm targeted", (x - 8 / 255 * gradient(x, wish).sign()).clamp(0, 1))
keep("pgd linf", pgd("linf", 8 / 255, 2 / 255, 5, y, 1))
keep("pgd linf targeted", pgd("linf", 8 / 255, 2 / 255, 5, wish, -1))
keep("pgd l2", pgd("l2", 0.5, 0.125, 5, y, 1))
keep("pgd l2 targeted", pgd("l2", 0.5, 0.125, 5, wish, -1))
print(json.dumps(out, indent=0, sort_keys=True))
