"""Writes autoencoder.json: the decoder of an autoencoder in PyTorch, its reconstruction, loss and gradients.

    python autoencoder.py > autoencoder.json        # made with torch 2.8

Features, images and weights are given by the formula that resnet_test.go repeats; only what PyTorch
computes of them is stored, as base64 of little-endian float32, images as NHWC and weights as
[k, k, in, out], of these every 17th value.
"""
import base64, json, math
import torch, torch.nn as nn, torch.nn.functional as F


def wave(n, seed, scale, shift=0.0):
    return torch.tensor([shift + scale * math.sin(0.37 * i * (1 + seed % 5) + 1.3 * seed) for i in range(n)], dtype=torch.float64).float()


N, H, C = 2, 4, 16
convs = [nn.Conv2d(C, 64, 3, padding=1), nn.Conv2d(64, 32, 3, padding=1), nn.Conv2d(32, 3, 3, padding=1)]
seed = 1
for c in convs:
    with torch.no_grad():
        o, i, k, _ = c.weight.shape
        c.weight.copy_(wave(c.weight.numel(), seed, 0.15).reshape(k, k, i, o).permute(3, 2, 0, 1))
        c.bias.copy_(wave(o, seed + 1, 0.3))
    seed += 2
features = wave(N * H * H * C, 90, 1.0).reshape(N, H, H, C).permute(0, 3, 1, 2)
x = wave(N * 16 * H * H * 3, 91, 0.5, 0.5).reshape(N, 4 * H, 4 * H, 3).permute(0, 3, 1, 2)

h = features
for i, c in enumerate(convs):
    if i < 2:
        h = F.interpolate(h, scale_factor=2, mode="nearest")
    h = c(h)
    if i < 2:
        h = F.relu(h)
loss = F.mse_loss(h, x)
loss.backward()


def b64(t):
    return base64.b64encode(t.detach().contiguous().numpy().astype("<f4").tobytes()).decode()


out = {"y": b64(h.permute(0, 2, 3, 1)), "loss": b64(loss.reshape(1)), "errors": b64(((h - x) ** 2).mean((1, 2, 3)))}
for i, c in enumerate(convs):
    out[f"grad/decoder.conv{i + 1}.weight"] = b64(c.weight.grad.permute(2, 3, 1, 0).reshape(-1)[::17])
    out[f"grad/decoder.conv{i + 1}.bias"] = b64(c.bias.grad)
print(json.dumps(out, indent=0, sort_keys=True))
