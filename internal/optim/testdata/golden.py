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

# groups of parameters: a 2x2 matrix, a shift and a scale, as PyTorch's param_groups; factors are those of optim_test.go
def groups(make, lr, decay):
    f = torch.tensor(start, dtype=torch.float64).float()
    ps = [torch.nn.Parameter(f[a:b].clone()) for a, b in ((0, 4), (4, 6), (6, 7))]
    opt = make([dict(params=[ps[0]]), dict(params=[ps[1]], lr=8 * lr, weight_decay=decay / 8),
                dict(params=[ps[2]], lr=0.5 * lr, weight_decay=0.0)])
    steps = []
    for t in range(STEPS):
        g = grad(t)
        for p, (a, b) in zip(ps, ((0, 4), (4, 6), (6, 7))): p.grad = g[a:b].clone()
        opt.step(); steps.append(torch.cat([p.detach() for p in ps]).tolist())
    return steps
out["groups"] = {
    "sgd": groups(lambda g: torch.optim.SGD(g, lr=0.05, momentum=0.85, nesterov=True, weight_decay=0.1, foreach=False), 0.05, 0.1),
    "adamw": groups(lambda g: torch.optim.AdamW(g, lr=0.01, weight_decay=0.1, foreach=False), 0.01, 0.1),
}

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
import numpy  # triangle is LambdaLR of a piecewise linear function of the step
out["schedules"]["triangle"] = rates(lambda o: S.LambdaLR(o, lambda t: float(numpy.interp(t, [0, int(0.23 * T), T], [0.2, 1, 0.07]))))

# Muon in float32 on filters [k, k, in, out] and SGD with Nesterov momentum on the rest, rates falling linearly to 0.
# No optimiser of torch is that one, so this is written from its description (https://kellerjordan.github.io/posts/muon).
def noise(n, t):  # in [-1, 1): a full-rank gradient
    x = [math.sin(12.9898 * (i + 1) + 78.233 * (t + 1)) * 43758.5453 for i in range(n)]
    return torch.tensor([2 * (v - math.floor(v)) - 1 for v in x], dtype=torch.float64).float()
def orthogonal(g, steps):  # Newton-Schulz on a matrix [out, in*k*k]
    x = g / (g.norm() + 1e-7)
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x if wide else x.T
shapes = {"a.weight": (3, 3, 2, 5), "b.weight": (1, 1, 3, 8), "head.weight": (2, 3), "bn.bias": (4,)}
ws, at = {}, 0
for name, s in shapes.items():
    ws[name] = noise(math.prod(s), 100 + at).reshape(s); at += 1
rest = {n: torch.nn.Parameter(ws[n].clone()) for n in ("head.weight", "bn.bias")}
opt = torch.optim.SGD([dict(params=[rest["head.weight"]], lr=0.67, weight_decay=0.004),
                       dict(params=[rest["bn.bias"]], lr=0.67 * 0.125, weight_decay=0.004 * 8)], lr=0.67, momentum=0.85, nesterov=True, foreach=False)
S2 = torch.optim.lr_scheduler.LambdaLR(opt, lambda t: 1 - t / 6)
bufs, out["muon"] = {}, []
for t in range(6):
    for i, (name, s) in enumerate(shapes.items()):
        g = noise(math.prod(s), 10 * t + i).reshape(s)
        if name in rest:
            rest[name].grad = g; continue
        w, g = ws[name].permute(3, 2, 0, 1).contiguous(), g.permute(3, 2, 0, 1).contiguous()
        buf = bufs[name] = 0.6 * bufs[name] + g if name in bufs else g
        w = w * (math.sqrt(len(w)) / w.norm())
        w = w - 0.24 * (1 - t / 6) * orthogonal((g + 0.6 * buf).reshape(len(g), -1), 3).reshape(g.shape)
        ws[name] = w.permute(2, 3, 1, 0).contiguous()
    opt.step(); S2.step()
    for n in rest: ws[n] = rest[n].detach()
    out["muon"].append({n: ws[n].flatten().tolist() for n in shapes})

# averages of the weights of "sgd-momentum" and of a buffer that is 0.1 of the step
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64).float())
        self.register_buffer("b", torch.zeros(1))
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
def averaged(decay, every):
    n = Net(); opt = torch.optim.SGD([n.w], lr=0.1, momentum=0.9, foreach=False)
    m = AveragedModel(n, multi_avg_fn=get_ema_multi_avg_fn(decay ** every), use_buffers=True); steps = []
    for t in range(STEPS):
        n.w.grad = grad(t); opt.step(); n.b.fill_(0.1 * (t + 1))
        if (t + 1) % every == 0: m.update_parameters(n)
        steps.append(m.module.w.detach().tolist() + m.module.b.tolist())
    return steps
def lookahead(decay, every, power):  # Zhang et al. 2019, with a slow weight's share that rises over the training
    n = Net(); opt = torch.optim.SGD([n.w], lr=0.1, momentum=0.9, foreach=False); steps = []
    slow = [n.w.detach().clone(), n.b.clone()]
    for t in range(STEPS):
        n.w.grad = grad(t); opt.step(); n.b.fill_(0.1 * (t + 1))
        with torch.no_grad():
            if (t + 1) % every == 0:
                for s, f in zip(slow, (n.w, n.b)):
                    s.lerp_(f, 1 - decay ** every * ((t + 1) / STEPS) ** power); f.copy_(s)
            if t + 1 == STEPS:
                for s, f in zip(slow, (n.w, n.b)): f.copy_(s)
        steps.append(n.w.detach().tolist() + n.b.tolist())
    return steps
out["averages"] = {"ema": averaged(0.9, 1), "ema-every-2": averaged(0.9, 2), "lookahead": lookahead(0.95, 5, 3),
                   "lookahead-constant": lookahead(0.9, 3, 0)}
for limit in [0.5, 1.0, 100.0]:
    ps = [torch.nn.Parameter(torch.zeros(n)) for n in (3, 4)]
    g = grad(0); ps[0].grad = g[:3].clone(); ps[1].grad = g[3:].clone()
    norm = torch.nn.utils.clip_grad_norm_(ps, limit, foreach=False)
    out["clip"].append({"limit": limit, "norm": norm.item(), "grads": ps[0].grad.tolist() + ps[1].grad.tolist()})
json.dump(out, open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w"), indent=0)
