"""Writes the pickles of this folder: one value by protocols 0 to 5, as Python 3 writes it.

Run: python golden.py (Python 3, numpy).
"""
import collections
import pathlib

import numpy as np
import pickle

here = pathlib.Path(__file__).parent
shared = [1, 2]
value = {
    "none": None, "bools": [True, False], "ints": [0, 255, 65535, -1, 2**31 - 1, -2**31, 2**40, -2**63, 2**80, -2**80],
    "floats": [0.5, -1e300, float("inf")], "text": "h\u00e9 \u20ac \U0001f600 \\ '\"\n", "bytes": bytes(range(256)),
    "empty": b"", "tuple": (), "tuples": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "set": {7}, "shared": [shared, shared],
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]), 3: "int key", b"raw": "bytes key",
    "array": np.arange(6, dtype=np.uint8).reshape(2, 3), "fortran": np.asfortranarray(np.arange(4.0).reshape(2, 2)),
    "scalar": np.float64(0.25), "big": np.array([1, 2], dtype=">i4"),
}
for protocol in range(6):
    (here / f"value{protocol}.pkl").write_bytes(pickle.dumps(value, protocol))
