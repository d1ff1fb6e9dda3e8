"""Writes golden.json: scores of every detector on made-up features, by pytorch-ood where it has the
detector and computes what the paper says, else by NumPy in float64.

    python golden.py > golden.json        # made with pytorch-ood 0.4, torch 2.8

pytorch-ood's Mahalanobis distances are of the sum of squares instead of the covariance, and halved in one
of the two; its GEN is a mean. Both are scaled here.
"""
import json
import numpy as np, torch
from pytorch_ood.detector import ASH, DICE, GEN, RMD, SHE, EnergyBased, KLMatching, KNN, Mahalanobis, MaxLogit, MaxSoftmax, ReAct, ViM

rng = np.random.default_rng(1)
C, D, N = 4, 12, {"train": 60, "val": 30, "test": 25}
centres = rng.normal(0.5, 0.5, (C, D))
W = (2 * (centres - centres.mean(0)) + rng.normal(0, 0.3, (C, D))).astype(np.float32).round(3)
b = (rng.normal(0, 0.3, C) - 0.7 * W @ centres.mean(0)).astype(np.float32).round(3)
y = {k: rng.integers(0, C, n) for k, n in N.items()}
z = {k: np.maximum(0, centres[y[k]] + rng.normal(0, 0.6 if k != "test" else 0.9, (n, D))).astype(np.float32).round(3) for k, n in N.items()}
t = {k: torch.tensor(v) for k, v in z.items()}
Wt, bt = torch.tensor(W), torch.tensor(b)
head = lambda x: x.reshape(len(x), -1) @ Wt.T + bt
l = {k: head(v) for k, v in t.items()}
yt = torch.tensor(y["train"])
maps = lambda x: x[:, :, None, None]
n = N["train"]

l64 = l["test"].double()
s = {
    "max-softmax": 1 + MaxSoftmax.score(l64),
    "max-logit": MaxLogit.score(l64),
    "energy": EnergyBased.score(l64),
    "odin": 1 + MaxSoftmax.score(l64, t=1000),
    "mahalanobis": 2 * n * Mahalanobis(None).fit_features(t["train"], yt).predict_features(t["test"]),
    "rel-mahalanobis": n * RMD(None).fit_features(t["train"], yt).predict_features(t["test"]),
    "knn 3": KNN(None, k=3).fit_features(t["train"], yt).predict_features(t["test"]),
    "vim 0.5": ViM(None, 6, Wt, bt).fit_features(t["train"], yt).predict_features(t["test"]),
    "gen 0.1": C * GEN.score(l64, gamma=0.1),
    "react 0.9": ReAct(None, head, percentile=0.9).fit_feature_maps(t["train"], yt).predict_feature_maps(t["test"]),
    "dice 0.7": DICE(None, Wt, bt, 0.7).fit_features(t["train"], yt).predict_features(t["test"]),
    "ash 0.65": ASH(None, head, percentile=0.65).predict_feature_maps(maps(t["test"])),
    "she": SHE(None, head).fit_features(t["train"], yt).predict_features(t["test"]),
    "kl-matching": KLMatching(None).fit_logits(l["val"].double()).predict_logits(l64),
}

# KNN again without pytorch-ood, whose distances are of a tree.
unit = lambda x: x / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
d = np.sort(np.linalg.norm(unit(z["test"])[:, None] - unit(z["train"])[None], axis=2), axis=1)[:, 2]
assert np.allclose(d, s["knn 3"], rtol=1e-5)

out = {"weight": W.ravel().astype(float).round(3).tolist(), "bias": b.astype(float).round(3).tolist(), "width": D, "classes": C,
       "features": {k: v.ravel().astype(float).round(3).tolist() for k, v in z.items()}, "labels": y["train"].tolist(),
       "scores": {k: [float(x) for x in v.detach()] for k, v in s.items()}}
print(json.dumps(out))
