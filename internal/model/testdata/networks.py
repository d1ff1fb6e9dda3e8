"""Writes torch-*.pth, small networks of PyTorch's programs, and networks.json, the logits that they give.

    python networks.py        # made with torch 2.8

Layers, names and shortcuts are those of akamaster/pytorch_resnet_cifar10 (resnet-a: zeros on both sides of the channels;
linear, DataParallel), chenyaofo/pytorch-cifar-models (resnet-b: downsample, fc), kuangliu/pytorch-cifar (resnet18:
shortcut, linear) and xternalz/WideResNet-pytorch (wide: block1.layer.0, convShortcut). Weights are drawn and rounded to
float16, in which they are stored; images are given by the formula that torch_test.go repeats.
"""
import json
import math
import pathlib

import torch, torch.nn as nn, torch.nn.functional as F

here = pathlib.Path(__file__).parent
torch.manual_seed(1)


class Block(nn.Module):
    def __init__(s, i, o, st, kind):
        super().__init__()
        s.conv1, s.bn1 = nn.Conv2d(i, o, 3, st, 1, bias=False), nn.BatchNorm2d(o)
        s.conv2, s.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        s.pad = (o - i) // 2 if kind == "pad" and i != o else None
        if kind != "pad" and (st != 1 or i != o):
            setattr(s, kind, nn.Sequential(nn.Conv2d(i, o, 1, st, bias=False), nn.BatchNorm2d(o)))
            s.kind = kind
        else:
            s.kind = None

    def forward(s, x):
        y = s.bn2(s.conv2(F.relu(s.bn1(s.conv1(x)))))
        if s.pad is not None:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, s.pad, s.pad))
        elif s.kind:
            x = getattr(s, s.kind)(x)
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(s, width, stages, blocks, kind, head):
        super().__init__()
        s.conv1, s.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        s.stages, i = stages, width
        for stage in range(stages):
            o, layer = width << stage, []
            for b in range(blocks):
                layer.append(Block(i, o, 2 if stage and not b else 1, kind))
                i = o
            setattr(s, f"layer{stage + 1}", nn.Sequential(*layer))
        setattr(s, head, nn.Linear(i, 10))
        s.head = head

    def forward(s, x):
        x = F.relu(s.bn1(s.conv1(x)))
        for stage in range(s.stages):
            x = getattr(s, f"layer{stage + 1}")(x)
        return getattr(s, s.head)(x.mean((2, 3)))


class WideBlock(nn.Module):
    def __init__(s, i, o, st):
        super().__init__()
        s.bn1, s.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, o, 3, st, 1, bias=False)
        s.bn2, s.conv2 = nn.BatchNorm2d(o), nn.Conv2d(o, o, 3, 1, 1, bias=False)
        s.same = i == o
        s.convShortcut = None if s.same else nn.Conv2d(i, o, 1, st, 0, bias=False)

    def forward(s, x):
        first = F.relu(s.bn1(x))
        y = s.conv2(F.relu(s.bn2(s.conv1(first))))
        return (x if s.same else s.convShortcut(first)) + y


class WideGroup(nn.Module):
    def __init__(s, i, o, st):
        super().__init__()
        s.layer = nn.Sequential(*[WideBlock(o if b else i, o, 1 if b else st) for b in range(4)])

    def forward(s, x):
        return s.layer(x)


class Wide(nn.Module):
    def __init__(s, width):
        super().__init__()
        s.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        s.block1, s.block2, s.block3 = WideGroup(16, width, 1), WideGroup(width, 2 * width, 2), WideGroup(2 * width, 4 * width, 2)
        s.bn1, s.fc = nn.BatchNorm2d(4 * width), nn.Linear(4 * width, 10)

    def forward(s, x):
        x = s.block3(s.block2(s.block1(s.conv1(x))))
        return s.fc(F.relu(s.bn1(x)).mean((2, 3)))


x = torch.tensor([[0.5 + 0.5 * math.sin((0.37 + 0.31 * n) * i) for i in range(8 * 8 * 3)] for n in range(2)])
x = x.reshape(2, 8, 8, 3).permute(0, 3, 1, 2)
out = {}
for name, m in [("resnet-a", ResNet(2, 3, 3, "pad", "linear")), ("resnet-b", ResNet(2, 3, 3, "downsample", "fc")),
                ("resnet18", ResNet(2, 4, 2, "shortcut", "linear")), ("wide", Wide(2))]:
    with torch.no_grad():
        for k, v in m.state_dict().items():
            if k.endswith("running_var"):
                v.uniform_(0.5, 1.5)
            elif v.dim() == 4:
                nn.init.kaiming_normal_(v)
            elif k.endswith("running_mean") or k.endswith("bias"):
                v.uniform_(0, 0.5)
            elif v.dim() == 1:
                v.uniform_(0.7, 1.3)
            if v.is_floating_point():
                v.copy_(v.half().float())
        logits = m.eval()(x)
    state = {k: v.half() for k, v in m.state_dict().items() if v.is_floating_point()}
    if name == "resnet-a":
        state = {"module." + k: v for k, v in state.items()}
    torch.save({"state_dict": state, "epoch": 3}, here / f"torch-{name}.pth",
               _use_new_zipfile_serialization=False)
    out[name] = logits.reshape(-1).tolist()
(here / "networks.json").write_text(json.dumps(out) + "\n")
