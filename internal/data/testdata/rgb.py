"""Writes rgb.json: small images of every kind, and what Pillow makes of them.

    python rgb.py > rgb.json        # made with Pillow 13.0 (libjpeg-turbo 3.2) and OpenCV 5.0, NumPy 2

file is the image, rgb its values after convert("RGB"), fit those after torchvision's Resize(32) and
CenterCrop(32), which are repeated here: they call Image.resize (BILINEAR, with antialiasing) and Image.crop.
All as base64, compressed by zlib. OpenCV writes the JPEGs, for Pillow does not know 4:4:0 and 4:1:1.
"""
import base64, io, json, zlib
import cv2, numpy as np
from PIL import Image

rng = np.random.default_rng(7)
out = {}


def packed(b):
    return base64.b64encode(zlib.compress(b, 9)).decode()


def fit(im, size=32):
    w, h = im.size
    if w <= h:
        nw, nh = size, int(size * h / w)
    else:
        nw, nh = int(size * w / h), size
    if (nw, nh) != (w, h):
        im = im.resize((nw, nh), Image.BILINEAR)
    left, top = int(round((nw - size) / 2.0)), int(round((nh - size) / 2.0))
    return im.crop((left, top, left + size, top + size))


def add(name, file, fitted=False):
    im = Image.open(io.BytesIO(file)).convert("RGB")
    out[name] = {"w": im.width, "h": im.height, "file": packed(file), "rgb": packed(im.tobytes())}
    if fitted:
        out[name]["fit"] = packed(fit(im).tobytes())


def blocks(w, h, side):
    """Squares of one colour: of a JPEG only the first coefficient of each block is not zero."""
    b = rng.integers(0, 256, (-(-h // side), -(-w // side), 3)).astype(np.uint8)
    return b.repeat(side, 0).repeat(side, 1)[:h, :w]


def waves(w, h):
    y, x = np.mgrid[:h, :w]
    return np.stack([128 + 100 * np.sin(0.3 * x + 0.11 * c * y + c) * np.cos(0.05 * (c + 2) * y) for c in range(3)], -1).astype(np.uint8)


def jpeg(a, ratio):
    params = [cv2.IMWRITE_JPEG_QUALITY, 75, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, getattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR_" + ratio)]
    return cv2.imencode(".jpg", a[..., ::-1], params)[1].tobytes()


def file(im, kind="PNG", **more):
    b = io.BytesIO()
    im.save(b, kind, **more)
    return b.getvalue()


for ratio in ("444", "422", "420", "440", "411"):
    add("blocks " + ratio, jpeg(blocks(67, 35, 32), ratio))
add("waves 422", jpeg(waves(21, 13), "422"))
add("waves 420", jpeg(waves(21, 13), "420"))
for ratio, w, h in (("420", 1, 1), ("420", 4, 5), ("420", 6, 2), ("422", 4, 3), ("440", 3, 4)):
    add(f"noise {ratio} {w}x{h}", jpeg(rng.integers(0, 256, (h, w, 3)).astype(np.uint8), ratio))
add("progressive", file(Image.fromarray(waves(20, 18)), "JPEG", progressive=True))
add("grey JPEG", file(Image.fromarray(waves(20, 18)[..., 0]), "JPEG"))
add("CMYK", file(Image.fromarray(blocks(16, 8, 8)).convert("CMYK"), "JPEG", quality=100))

a = rng.integers(0, 256, (5, 7, 4)).astype(np.uint8)
add("rgb", file(Image.fromarray(a[..., :3])))
add("grey", file(Image.fromarray(a[..., 0])))
add("two colours", file(Image.fromarray(a[..., 0]).convert("1")))
add("grey with alpha", file(Image.fromarray(a[..., :2], "LA")))
add("palette", file(Image.fromarray(a[..., :3]).quantize(13)))
p = Image.fromarray(a[..., :3]).quantize(13)
add("palette with transparency", file(p, transparency=bytes(range(0, 208, 16))))
add("rgba", file(Image.fromarray(a)))
add("transparent colour", file(Image.fromarray(a[..., :3]), transparency=tuple(int(v) for v in a[0, 0, :3])))
deep = rng.integers(0, 1 << 16, (5, 7, 3)).astype(np.uint16)
add("16 bits", cv2.imencode(".png", deep)[1].tobytes())

for w, h in ((91, 40), (33, 32), (5, 36)):
    add(f"{w}x{h}", file(Image.fromarray(blocks(w, h, 7))), True)
add("32x32", file(Image.fromarray(blocks(32, 32, 8))), True)
print(json.dumps(out, indent=0))
