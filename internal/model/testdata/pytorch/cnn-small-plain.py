"""cnn-small-plain as a module of PyTorch.

Takes images [n, 3, 32, 32] with values from 0 to 1, which it standardises itself, and gives logits [n, 10].

    model = load()                       # reads model.pt beside this file
    probabilities = model(x).softmax(1)  # of the classes CLASSES
"""
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

CHANNELS, HEIGHT, WIDTH = 3, 32, 32
CLASSES = ["a", "b", "c", "d", "e", "f", "g", "\"h\"", "größe", "j<k"]


class Images(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.49139968, 0.48215841, 0.44653091]).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.24703223, 0.24348513, 0.26158784]).view(-1, 1, 1), persistent=False)

    def standardize(self, x):
        return (x - self.mean) / self.std


def conv(inputs, filters):
    return nn.Conv2d(inputs, filters, 3, padding=1, bias=False)


class Block(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.conv1, self.bn1 = conv(32, inner), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner), nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 32, 1)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return self.conv3(F.relu(self.bn2(self.conv2(y))))


class Network(Images):
    def __init__(self):
        super().__init__()
        self.stem = nn.ModuleDict({"conv": conv(CHANNELS, 32), "bn": nn.BatchNorm2d(32)})
        self.blocks = nn.Sequential(*[Block(inner) for inner in [16, 10]])
        self.head = nn.Linear(32, len(CLASSES))

    def forward(self, x):
        x = F.relu(self.stem["bn"](self.stem["conv"](self.standardize(x))))
        return self.head(self.blocks(x).mean((2, 3)))


def load(path=Path(__file__).with_name("model.pt")):
    model = Network()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
