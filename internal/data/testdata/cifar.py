"""Writes cifar-10-python.tar.gz and cifar-100-python.tar.gz: a few images in the form of CIFAR's archives for Python.

    python cifar.py        # made with NumPy 2

The published files are pickles of Python 2, in which bytes and texts are one type. To write such with Python 3, bytes
are pickled by the opcode of Python 2's strings. test_batch and CIFAR-100's test are pickles of Python 3 instead, as people
save them again. TestCIFARPython has the same images in the binary form.
"""
import gzip, io, pathlib, pickle, struct, tarfile
import numpy as np


class Python2(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, b):
        self.write(b"T" + struct.pack("<i", len(b)) + b)
        self.memoize(b)

    dispatch[bytes] = save_bytes


def python2(value):
    out = io.BytesIO()
    Python2(out, protocol=2).dump(value)
    return out.getvalue()


def images(n, batch):
    at = np.arange(3072)
    return np.array([(at // 1024 * 50 + at % 1024 // 512 * 5 + 13 * i + 29 * batch) % 256 for i in range(n)]).astype(np.uint8)


def archive(name, files):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as t:
        for path, b in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(b)
            t.addfile(info, io.BytesIO(b))
    with open(pathlib.Path(__file__).parent / name, "wb") as f, gzip.GzipFile("", "wb", 9, f, 0) as z:
        z.write(raw.getvalue())


names = "airplane automobile bird cat deer dog frog horse ship truck".split()
ten = {"cifar-10-batches-py/batches.meta": python2({b"label_names": [n.encode() for n in names], b"num_vis": 3072})}
for b in range(6):
    batch = {b"data": images(10, b), b"labels": list(range(10)), b"batch_label": b"batch", b"filenames": [b"x.png"] * 10}
    name = f"data_batch_{b + 1}" if b < 5 else "test_batch"
    ten["cifar-10-batches-py/" + name] = python2(batch) if b < 5 else pickle.dumps({k.decode(): v for k, v in batch.items()})
archive("cifar-10-python.tar.gz", ten)
hundred = {}
for b, name in enumerate(("train", "test")):
    part = {b"data": images(100, b), b"fine_labels": list(range(100)), b"coarse_labels": [i % 20 for i in range(100)]}
    hundred["cifar-100-python/" + name] = python2(part) if b == 0 else pickle.dumps(part, protocol=2)
hundred["cifar-100-python/meta"] = python2({b"fine_label_names": [b"fine%d" % i for i in range(100)],
                                            b"coarse_label_names": [b"coarse%d" % i for i in range(20)]})
archive("cifar-100-python.tar.gz", hundred)
