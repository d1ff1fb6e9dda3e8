# Writes small.mat and small-plain.mat: twelve random images as SVHN's files hold them, by SciPy, and
# small.json, the SHA-256 of each image row by row (HWC) with its digit. Needs numpy and scipy.
import hashlib
import json
import pathlib

import numpy as np
from scipy.io import savemat

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
# low values in blocks, so that the files stay small
x = np.kron(rng.integers(0, 256, (4, 4, 3, 12), dtype=np.uint8), np.ones((8, 8, 1, 1), np.uint8))
x[0, 5, 1, :] = 7  # no symmetry
y = np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 1]], dtype=np.uint8).T
savemat(here / "small.mat", {"X": x, "y": y}, do_compression=True)
savemat(here / "small-plain.mat", {"X": x[..., :2], "y": y[-2:].astype(np.float64)})
json.dump([{"sha256": hashlib.sha256(np.ascontiguousarray(x[..., i]).tobytes()).hexdigest(), "digit": int(y[i, 0]) % 10}
           for i in range(12)], open(here / "small.json", "w"), indent=0)
