"""speedrun as a module of PyTorch.

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


class Norm(nn.BatchNorm2d):  # without a scale
    def __init__(self, filters):
        super().__init__(filters, eps=1e-12, momentum=0.4)
        self.weight = None


class Group(nn.Module):
    def __init__(self, inputs, filters):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, filters, 3, padding=1, bias=False), Norm(filters)
        self.conv2, self.norm2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False), Norm(filters)

    def forward(self, x):
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class Network(Images):
    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(CHANNELS, 8 * CHANNELS, 2)
        self.layer1 = nn.Sequential(Group(8 * CHANNELS, 64))
        self.layer2 = nn.Sequential(Group(64, 4 * 64))
        self.layer3 = nn.Sequential(Group(4 * 64, 4 * 64))
        self.head = nn.Linear(4 * 64, len(CLASSES), bias=False)

    def forward(self, x):
        x = F.gelu(self.whiten(self.standardize(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = F.max_pool2d(x, min(3, *x.shape[2:])).mean((2, 3))
        return self.head(x) / 9


def load(path=Path(__file__).with_name("model.pt")):
    model = Network()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
