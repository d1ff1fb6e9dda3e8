"""Writes golden.json: what PyTorch computes for ops of feature maps, forward and backward.

    python golden.py > golden.json        # made with torch 2.8

Inputs are given by formulas that golden_test.go repeats; only what PyTorch computes is stored, as base64 of
little-endian float32, images as NHWC. The gradients are those of the sum of y times a third wave.
"""
import base64, json, math
import torch, torch.nn.functional as F


def wave(n, seed, scale=1.0, shift=0.0):
    return torch.tensor([shift + scale * math.sin(0.37 * i * (1 + seed % 5) + 1.3 * seed) for i in range(n)], dtype=torch.float64).float()


def images(shape, seed, scale=1.0, shift=0.0):
    n, h, w, c = shape
    return wave(n * h * w * c, seed, scale, shift).reshape(shape).permute(0, 3, 1, 2).contiguous()


def text(t):
    t = t.detach()
    if t.dim() == 4:
        t = t.permute(0, 2, 3, 1)
    return base64.b64encode(t.contiguous().numpy().astype("<f4").tobytes()).decode()


out = {"torch": torch.__version__}

# Max pooling: rounded to halves, so that windows have equals, and with NaN and infinities.
for window in 2, 3:
    x = (2 * images((2, 7, 8, 11), window, 1.5)).round() / 2
    flat = x.permute(0, 2, 3, 1).contiguous().flatten()
    for i, v in enumerate([math.nan, -math.inf, math.inf, math.nan]):
        flat[301 * i + 50] = v
    x = flat.reshape(2, 7, 8, 11).permute(0, 3, 1, 2).contiguous().requires_grad_()
    y = F.max_pool2d(x, window)
    y.backward(images((2, 7 // window, 8 // window, 11), 9))
    out[f"max-pool {window}"] = {"y": text(y), "dx": text(x.grad)}

print(json.dumps(out, indent=1))
