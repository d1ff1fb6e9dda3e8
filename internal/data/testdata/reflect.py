"""Writes reflect.json: images padded by reflection, by PyTorch and NumPy.

    python reflect.py > reflect.json        # made with torch 2.8 and numpy 2

PyTorch refuses a border as wide as the image; NumPy goes on, mirrored again at the other side. Where both pad, they
must agree.
"""
import json, numpy as np, torch, torch.nn.functional as F

cases = []
for h, w, c, pad in [(4, 5, 3, 2), (3, 4, 1, 1), (5, 3, 2, 2), (2, 3, 3, 4), (1, 2, 1, 3)]:
    image = (7 * np.arange(h * w * c) % 251).astype(np.float32).reshape(h, w, c)
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    if pad < min(h, w):
        x = torch.from_numpy(image).permute(2, 0, 1)[None]
        by_torch = F.pad(x, (pad,) * 4, mode="reflect")[0].permute(1, 2, 0).numpy()
        assert (by_torch == padded).all()
    cases.append(dict(H=h, W=w, C=c, Pad=pad, Image=image.astype(int).ravel().tolist(),
                      Padded=padded.astype(int).ravel().tolist()))
print("[" + ",\n".join(json.dumps(k) for k in cases) + "]")
