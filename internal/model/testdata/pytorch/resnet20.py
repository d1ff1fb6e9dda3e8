"""resnet20 as a module of PyTorch.

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


def conv(inputs, filters, stride=1):
    return nn.Conv2d(inputs, filters, 3, stride, padding=1, bias=False)


class Block(nn.Module):
    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, filters, stride), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = conv(filters, filters), nn.BatchNorm2d(filters)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        # The shortcut has no parameters (option A): every s-th pixel, and zeros for new channels.
        s = self.conv1.stride[0]
        y = y + F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu(y)


def stage(inputs, filters, stride):
    rest = [Block(filters, filters, 1) for _ in range(3 - 1)]
    return nn.Sequential(Block(inputs, filters, stride), *rest)


class Network(Images):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(CHANNELS, 16), nn.BatchNorm2d(16)
        self.layer1 = stage(16, 16, 1)
        self.layer2 = stage(16, 32, 2)
        self.layer3 = stage(32, 64, 2)
        self.fc = nn.Linear(64, len(CLASSES))

    def forward(self, x):
        x = self.conv1(self.standardize(x))
        x = F.relu(self.bn1(x))
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        return self.fc(x.mean((2, 3)))


def load(path=Path(__file__).with_name("model.pt")):
    model = Network()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
