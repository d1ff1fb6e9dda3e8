package model

import (
	"encoding/json"
	"fmt"
	"strings"

	"dla/internal/nn"
	"dla/internal/weights"
)

// pytorch is a network that can be written as a module of PyTorch.
type pytorch interface {
	// python returns the classes of the module. Network is the last; it has the parameters' names, and uses the
	// constants CHANNELS, HEIGHT, WIDTH and CLASSES.
	python() string
}

// Images is the size of a network's images and the names of their classes.
type Images struct {
	H, W, C int
	Classes []string
}

// PyTorchFile and PyTorchWeights are the files of a network in PyTorch: the module, and the state dict that it loads.
const (
	PyTorchFile    = "model.py"
	PyTorchWeights = "model.pt"
)

// PyTorch returns a Python module that computes what m computes on images, with a function load that reads the state
// dict beside it. A network without one is an error.
func PyTorch(m Model, images Images) (string, error) {
	p, ok := m.(pytorch)
	if !ok {
		return "", fmt.Errorf("%s is not written as a module of PyTorch; export it to onnx", m.Name())
	}
	return fmt.Sprintf(pythonModule, m.Name(), images.C, images.H, images.W, len(images.Classes), PyTorchWeights, images.C,
		images.H, images.W, list(images.Classes), strings.TrimSpace(p.python())), nil
}

// list is v in Python.
func list(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings and numbers always can be
	return strings.ReplaceAll(strings.TrimSpace(b.String()), ",", ", ")
}

const pythonModule = `"""%s as a module of PyTorch.

Takes images [n, %d, %d, %d] with values from 0 to 1, which it standardises itself, and gives logits [n, %d].

    model = load()                       # reads %s beside this file
    probabilities = model(x).softmax(1)  # of the classes CLASSES
"""
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

CHANNELS, HEIGHT, WIDTH = %d, %d, %d
CLASSES = %s


%s


def load(path=Path(__file__).with_name("model.pt")):
    model = Network()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
`

// python is the class that networks of standardised images are made of.
func (p Pixels) python() string {
	return fmt.Sprintf(`
class Images(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(%s).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(%s).view(-1, 1, 1), persistent=False)

    def standardize(self, x):
        return (x - self.mean) / self.std
`, list(p.Mean), list(p.Std))
}

func (m MLP) python() string {
	skip, images, base, x := "", "", "nn.Module", "x"
	if m.Res {
		skip = "x + "
	}
	if m.Mean != nil {
		images, base, x = m.Pixels.python()+"\n", "Images", "self.standardize(x)"
	}
	return images + fmt.Sprintf(`
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(%[1]d, %[1]d), nn.Linear(%[1]d, %[1]d)

    def forward(self, x):
        return %[2]sF.relu(self.fc2(F.relu(self.fc1(x))))


class Network(%[4]s):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(CHANNELS * HEIGHT * WIDTH, %[1]d)
        self.blocks = nn.Sequential(*[Block() for _ in range(%[3]d)])
        self.head = nn.Linear(%[1]d, len(CLASSES))

    def forward(self, x):
        x = %[5]s.permute(0, 2, 3, 1).flatten(1)  # the channels of a pixel side by side
        return self.head(self.blocks(F.relu(self.stem(x))))
`, m.Width, skip, m.Depth, base, x)
}

func (m CNN) python() string {
	skip := ""
	if m.Res {
		skip = "x + "
	}
	return m.Pixels.python() + fmt.Sprintf(`

def conv(inputs, filters):
    return nn.Conv2d(inputs, filters, 3, padding=1, bias=False)


class Block(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.conv1, self.bn1 = conv(%[1]d, inner), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner), nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, %[1]d, 1)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return %[2]sself.conv3(F.relu(self.bn2(self.conv2(y))))


class Network(Images):
    def __init__(self):
        super().__init__()
        self.stem = nn.ModuleDict({"conv": conv(CHANNELS, %[1]d), "bn": nn.BatchNorm2d(%[1]d)})
        self.blocks = nn.Sequential(*[Block(inner) for inner in %[3]s])
        self.head = nn.Linear(%[1]d, len(CLASSES))

    def forward(self, x):
        x = F.relu(self.stem["bn"](self.stem["conv"](self.standardize(x))))
        return self.head(self.blocks(x).mean((2, 3)))
`, cnnFilters, skip, list(m.Inner))
}

func (m ResNet) python() string {
	shortcut, downsample := "", ""
	switch {
	case m.Res && m.Projection:
		shortcut = "\n        y = y + self.downsample(x)"
		downsample = `
        self.downsample = nn.Sequential()
        if stride > 1:  # a projection (option B)
            self.downsample = nn.Sequential(nn.Conv2d(inputs, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))`
	case m.Res:
		zeros := "0, y.shape[1] - x.shape[1]"
		if m.PadBoth {
			zeros = "new // 2, new - new // 2"
		}
		shortcut = `
        # The shortcut has no parameters (option A): every s-th pixel, and zeros for new channels.
        s = self.conv1.stride[0]`
		if m.PadBoth {
			shortcut += `
        new = y.shape[1] - x.shape[1]`
		}
		shortcut += `
        y = y + F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, ` + zeros + `))`
	}
	return m.Pixels.python() + fmt.Sprintf(`

def conv(inputs, filters, stride=1):
    return nn.Conv2d(inputs, filters, 3, stride, padding=1, bias=False)


class Block(nn.Module):
    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, filters, stride), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = conv(filters, filters), nn.BatchNorm2d(filters)%s

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))%s
        return F.relu(y)

`, downsample, shortcut) + stages(m.Width, m.Width, m.Blocks, m.stages(), false)
}

// stages is the network of blocks in count stages, of which each has twice the filters of the one before. bn1 with ReLU
// stands before them or, last, behind.
func stages(stem, width, blocks, count int, last bool) string {
	var layers, calls strings.Builder
	inputs := stem
	for i := range count {
		filters, stride := width<<i, min(i+1, 2)
		fmt.Fprintf(&layers, "\n        self.layer%d = stage(%d, %d, %d)", i+1, inputs, filters, stride)
		fmt.Fprintf(&calls, "\n        x = self.layer%d(x)", i+1)
		inputs = filters
	}
	const norm = "\n        x = F.relu(self.bn1(x))"
	channels, body := stem, norm+calls.String()
	if last {
		channels, body = inputs, calls.String()+norm
	}
	return fmt.Sprintf(`
def stage(inputs, filters, stride):
    rest = [Block(filters, filters, 1) for _ in range(%d - 1)]
    return nn.Sequential(Block(inputs, filters, stride), *rest)


class Network(Images):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(CHANNELS, %d), nn.BatchNorm2d(%d)%s
        self.fc = nn.Linear(%d, len(CLASSES))

    def forward(self, x):
        x = self.conv1(self.standardize(x))%s
        return self.fc(x.mean((2, 3)))
`, blocks, stem, channels, layers.String(), inputs, body)
}

func (m Wide) python() string {
	skip, projection := "", ""
	if m.Res {
		projection = `
        self.downsample = nn.Sequential()
        if stride > 1 or inputs != filters:
            self.downsample.append(nn.Conv2d(inputs, filters, 1, stride, bias=False))`
		skip = "(self.downsample(first) if len(self.downsample) else x) + "
	}
	return m.Pixels.python() + fmt.Sprintf(`

def conv(inputs, filters, stride=1):
    return nn.Conv2d(inputs, filters, 3, stride, padding=1, bias=False)


class Block(nn.Module):
    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, filters, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(filters), conv(filters, filters)%s

    def forward(self, x):
        first = F.relu(self.bn1(x))
        return %sself.conv2(F.relu(self.bn2(self.conv1(first))))

`, projection, skip) + stages(wideStem, m.Width, wideBlocks, 3, true)
}

func (m Speedrun) python() string {
	return m.Pixels.python() + fmt.Sprintf(`

class Norm(nn.BatchNorm2d):  # without a scale
    def __init__(self, filters):
        super().__init__(filters, eps=%[2]g, momentum=%[3]g)
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
        self.layer1 = nn.Sequential(Group(8 * CHANNELS, %[1]d))
        self.layer2 = nn.Sequential(Group(%[1]d, 4 * %[1]d))
        self.layer3 = nn.Sequential(Group(4 * %[1]d, 4 * %[1]d))
        self.head = nn.Linear(4 * %[1]d, len(CLASSES), bias=False)

    def forward(self, x):
        x = F.gelu(self.whiten(self.standardize(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = F.max_pool2d(x, min(3, *x.shape[2:])).mean((2, 3))
        return self.head(x) / 9
`, m.Width, speedrunNorm.Eps, speedrunNorm.Momentum)
}

// StateDict returns the parameters of p as PyTorch has them: the weights of convolutions [k, k, in, out] as
// [out, in, k, k], all others as they are.
func StateDict(p *nn.Params) (ts []weights.Tensor) {
	for _, q := range p.List() {
		t := weights.Tensor{Name: q.Name, Shape: q.Shape, Data: q.Data}
		if len(q.Shape) == 4 {
			t.Shape, t.Data = nn.OutputsFirst(q.Shape, q.Data)
		}
		ts = append(ts, t)
	}
	return ts
}
