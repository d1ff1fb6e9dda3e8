"""Times PyTorch on the work of lab 4 and prints one JSON line a part: PGD-20 on the CIFAR-10 test set, and
the table of out-of-distribution detection.

    python peer_lab4.py CHECKPOINT_FOLDER CIFAR10_PNG_TAR PEOPLE_PNG_TAR [IMAGES]

The network is the ResNet-20 of CHECKPOINT_FOLDER (model.safetensors), in evaluation mode, in the layout of
two in which two steps of PGD are faster. The table is that of `dla lab4 ood` but for reconstruction, the JPEG set and the bootstrap:
features of the training, validation-sized and evaluated images, fourteen detectors of pytorch-ood at one
setting each, AUROC, both AUPRs and FPR95 by scikit-learn. Needs torch, pytorch-ood, scikit-learn, pillow.
"""
import io, json, os, struct, sys, tarfile, time
import numpy as np, torch, torch.nn.functional as F
from PIL import Image

folder, cifar, people = sys.argv[1:4]
LIMIT = int(sys.argv[4]) if len(sys.argv) > 4 else 10000
torch.manual_seed(0)
torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count())))
raw = open(os.path.join(folder, "model.safetensors"), "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
T = {k: torch.from_numpy(np.frombuffer(raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]], "<f4").reshape(v["shape"]).copy())
     for k, v in json.loads(raw[8:8 + n]).items() if k != "__metadata__"}
MEAN = torch.tensor([0.49139968, 0.48215841, 0.44653091]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.24703223, 0.24348513, 0.26158784]).reshape(1, 3, 1, 1)
LAYOUT = torch.contiguous_format
CONV = {}


def use(layout):
    global LAYOUT
    LAYOUT = layout
    for k, v in T.items():
        if v.ndim == 4:  # [k, k, in, out]
            CONV[k] = v.permute(3, 2, 0, 1).contiguous(memory_format=layout)


def block_norm(x, k):
    return F.batch_norm(x, T[k + ".running_mean"], T[k + ".running_var"], T[k + ".weight"], T[k + ".bias"], False, 0, 1e-5)


def pooled(x):
    h = F.relu(block_norm(F.conv2d((x - MEAN) / STD, CONV["conv1.weight"], None, 1, 1), "bn1"))
    for stage in (1, 2, 3):
        for i in range(3):
            stride, p = 2 if stage > 1 and i == 0 else 1, f"layer{stage}.{i}"
            y = F.relu(block_norm(F.conv2d(h, CONV[p + ".conv1.weight"], None, stride, 1), p + ".bn1"))
            y = block_norm(F.conv2d(y, CONV[p + ".conv2.weight"], None, 1, 1), p + ".bn2")
            h = F.relu(y + (h if stride == 1 else F.pad(h[:, :, ::2, ::2], (0, 0, 0, 0, 0, h.shape[1]))))
    return h.mean((2, 3))


def head(z):
    return F.linear(z, T["fc.weight"], T["fc.bias"])


def images(path, part, classes=None):
    xs, ys = [], []
    with tarfile.open(path) as tar:
        for m in tar:
            p = m.name.split("/")
            if m.isfile() and part in p:
                xs.append(np.asarray(Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")))
                ys.append(p[-2])
    names = classes or sorted(set(ys))
    return torch.from_numpy(np.stack(xs)), torch.tensor([names.index(y) for y in ys])


def batches(x, rows=256):
    for i in range(0, len(x), rows):
        yield i, (x[i:i + rows].float() / 255).permute(0, 3, 1, 2).contiguous(memory_format=LAYOUT)


def pgd(x, y, eps, steps=20):
    """PGD in L-infinity (Madry et al. 2018), steps of 2.5 eps / steps from a random start; images it fools."""
    wrong = 0
    for i, b in batches(x):
        t = y[i:i + len(b)]
        a = (b + (torch.rand_like(b) * 2 - 1) * eps).clamp(0, 1)
        for _ in range(steps):
            a.requires_grad_(True)
            g, = torch.autograd.grad(F.cross_entropy(head(pooled(a)), t, reduction="sum"), a)
            a = torch.minimum(torch.maximum(a.detach() + 2.5 * eps / steps * g.sign(), b - eps), b + eps).clamp(0, 1)
        with torch.no_grad():
            wrong += int((head(pooled(a)).argmax(1) != t).sum())
    return wrong


def features(x):
    with torch.no_grad():
        return torch.cat([pooled(b) for _, b in batches(x)])


test, labels = images(cifar, "test")
test, labels = test[:LIMIT], labels[:LIMIT]
best = {}
for name, layout in (("nchw", torch.contiguous_format), ("nhwc", torch.channels_last)):
    use(layout)
    pgd(test[:256], labels[:256], 8 / 255, 1)
    t0 = time.perf_counter()
    pgd(test[:1024], labels[:1024], 8 / 255, 2)
    best[layout] = time.perf_counter() - t0, name
layout = min(best, key=lambda k: best[k][0])
use(layout)
t0 = time.perf_counter()
wrong = pgd(test, labels, 8 / 255)
print(json.dumps(dict(case=f"pgd-20 {best[layout][1]}", images=len(test), accuracy=1 - wrong / len(test), seconds=round(time.perf_counter() - t0, 2))), flush=True)

from pytorch_ood.detector import ASH, DICE, GEN, RMD, SHE, EnergyBased, KLMatching, KNN, Mahalanobis, MaxLogit, MaxSoftmax, ReAct, ViM
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

train, train_labels = images(cifar, "train")
out = {"people": images(people, "train")[0], "fake": torch.from_numpy(np.random.default_rng(0).integers(0, 256, (LIMIT, 32, 32, 3), dtype=np.uint8))}
t0 = time.perf_counter()
z = {"train": features(train), "test": features(test)} | {k: features(v) for k, v in out.items()}
W, b = T["fc.weight"], T["fc.bias"]
l = {k: head(v) for k, v in z.items()}


def odin(x, eps=0.0014, temperature=1000):
    scores = []
    for _, batch in batches(x):
        batch.requires_grad_(True)
        logits = head(pooled(batch)) / temperature
        g, = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(1), reduction="sum"), batch)
        with torch.no_grad():
            scores.append(-torch.softmax(head(pooled(batch - eps * g.sign())) / temperature, 1).amax(1))
    return torch.cat(scores)


maps = lambda v: v[:, :, None, None]
flat = lambda v: head(v.reshape(len(v), -1))
fitted = [Mahalanobis(None).fit_features(z["train"], train_labels), RMD(None).fit_features(z["train"], train_labels), KNN(None, k=10).fit_features(z["train"], train_labels),
          ViM(None, 32, W, b).fit_features(z["train"], train_labels), DICE(None, W, b, 0.3).fit_features(z["train"], train_labels), SHE(None, flat).fit_features(z["train"], train_labels)]
react = ReAct(None, flat, percentile=0.9).fit_feature_maps(z["train"], train_labels)
ash = ASH(None, flat, percentile=0.5)
kl = KLMatching(None).fit_logits(l["train"][:2000].double())
parts = ["test", *out]
pixels = {"test": test} | out
scores = []
for f in [lambda k: MaxSoftmax.score(l[k]), lambda k: MaxLogit.score(l[k]), lambda k: EnergyBased.score(l[k]), lambda k: GEN.score(l[k], gamma=0.01),
          lambda k: kl.predict_logits(l[k].double()), lambda k: react.predict_feature_maps(z[k]), lambda k: ash.predict_feature_maps(maps(z[k])),
          lambda k: odin(pixels[k])] + [lambda k, d=d: d.predict_features(z[k]) for d in fitted]:
    scores.append({k: np.asarray(f(k).detach(), dtype=float) for k in parts})
aurocs = []
for s in scores:
    for k in out:
        y, v = np.r_[np.zeros(len(s["test"])), np.ones(len(s[k]))], np.r_[s["test"], s[k]]
        aurocs.append(round(roc_auc_score(y, v), 4))
        average_precision_score(y, v), average_precision_score(1 - y, -v)
        fpr, tpr, _ = roc_curve(1 - y, -v)
        fpr[np.argmax(tpr >= 0.95)]
print(json.dumps(dict(case="ood table", images=sum(len(v) for v in z.values()), detectors=len(scores), seconds=round(time.perf_counter() - t0, 2), auroc=aurocs)))
