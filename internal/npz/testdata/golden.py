"""Arrays as NumPy writes them, of every type that is read: golden.npz and, compressed, packed.npz.

Run with numpy: python golden.py
"""
import numpy as np

arrays = {
    "logits": np.array([[1.5, -2.25, 3e-8], [0, -0.0, 1e30]], dtype=np.float32),
    "scores": np.array([0.1, np.inf, -1e300], dtype=np.float64),
    "labels": np.array([[[7]], [[-8]]], dtype=np.int32),
    "ids": np.array([2**40, -1, 0], dtype=np.int64),
    "mask": np.array([[0, 255], [1, 128]], dtype=np.uint8),
    "one": np.array(3.5, dtype=np.float64),
    "none": np.zeros((0, 4), dtype=np.float32),
}
np.savez("golden.npz", **arrays)
np.savez_compressed("packed.npz", **arrays)
np.save("fortran.npy", np.asfortranarray(arrays["logits"]))
np.save("half.npy", arrays["logits"][:, :1].astype(np.float16))
np.save("objects.npy", np.array(["a", None], dtype=object))
