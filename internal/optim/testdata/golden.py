"""Writes golden.json: what PyTorch's optimisers, schedules and clipping do, step by step.

    python golden.py            (PyTorch 2.8, transformers 5.24)

Gradients are fixed numbers, so the Go side needs no model: gradient of element i at step t is
sin(1.7 i + 0.9 t + 0.3), rounded to float32 on both sides from float64.
"""
import json, math, os
import torch

N, STEPS = 7, 12
start = [math.cos(0.8 * i) for i in range(N)]
grad = lambda t: torch.tensor([math.sin(1.7 * i + 0.9 * t + 0.3) for i in range(N)], dtype=torch.float64).float()
cases = {
    "sgd": dict(cls="SGD", lr=0.1),
    "sgd-momentum": dict(cls="SGD", lr=0.1, momentum=0.9),
    "sgd-nesterov": dict(cls="SGD", lr=0.1, momentum=0.9, nesterov=True),
    "sgd-decay": dict(cls="SGD", lr=0.1, momentum=0.9, weight_decay=0.05),
    "sgd-nesterov-decay": dict(cls="SGD", lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
    "adamw": dict(cls="AdamW", lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0),
    "adamw-decay": dict(cls="AdamW", lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
}
out = {"start": torch.tensor(start, dtype=torch.float64).float().tolist(), "optimizers": {}, "schedules": {}, "clip": []}
for name, c in cases.items():
    c = dict(c); cls = getattr(torch.optim, c.pop("cls"))
    w = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64).float()); opt = cls([w], foreach=False, **c); steps = []
    for t in range(STEPS):
        w.grad = grad(t); opt.step(); steps.append(w.detach().tolist())
    out["optimizers"][name] = steps
# decoupled decay of SGD is not in torch: shrink the weights by 1 - lr * decay, then torch's plain step
w = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64).float()); opt = torch.optim.SGD([w], lr=0.1, momentum=0.9, foreach=False); steps = []
for t in range(STEPS):
    with torch.no_grad(): w.mul_(1 - 0.1 * 0.05)
    w.grad = grad(t); opt.step(); steps.append(w.detach().tolist())
out["optimizers"]["sgd-decoupled"] = steps

T, lr = 50, 0.4
def rates(make):
    o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr); s = make(o); r = []
    for _ in range(T):
        r.append(o.param_groups[0]["lr"]); o.step()
        if len(r) < T: s.step()
    return r
S = torch.optim.lr_scheduler
out["schedules"]["step"] = rates(lambda o: S.MultiStepLR(o, [20, 35], gamma=0.1))
out["schedules"]["cosine"] = rates(lambda o: S.CosineAnnealingLR(o, T))
out["schedules"]["onecycle"] = rates(lambda o: S.OneCycleLR(o, max_lr=lr, total_steps=T))
out["schedules"]["warmup"] = rates(lambda o: S.LinearLR(o, start_factor=1 / 5, total_iters=4))
from transformers import get_linear_schedule_with_warmup
def linear(warmup):  # from its second step on
    o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr); s = get_linear_schedule_with_warmup(o, warmup + 1, T + 1); r = []
    for _ in range(T):
        o.step(); s.step(); r.append(o.param_groups[0]["lr"])
    return r
out["schedules"]["linear"] = linear(4)
for limit in [0.5, 1.0, 100.0]:
    ps = [torch.nn.Parameter(torch.zeros(n)) for n in (3, 4)]
    g = grad(0); ps[0].grad = g[:3].clone(); ps[1].grad = g[3:].clone()
    norm = torch.nn.utils.clip_grad_norm_(ps, limit, foreach=False)
    out["clip"].append({"limit": limit, "norm": norm.item(), "grads": ps[0].grad.tolist() + ps[1].grad.tolist()})
json.dump(out, open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w"), indent=0)
