"""Writes formats.json: small images of further kinds, and what Pillow makes of them.

    python formats.py > formats.json        # made with Pillow 13.0 (libwebp 1.6) and NumPy 2

file is the image; rgb and grey its values after exif_transpose and convert("RGB") or convert("L"); fitgrey those after
convert("L") and torchvision's Resize(32) and CenterCrop(32), as in rgb.py. All as base64, compressed by zlib.
"""
import base64, io, json, zlib
import numpy as np
from PIL import Image, ImageOps

rng = np.random.default_rng(11)
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


def add(name, im, kind, fitted=False, **more):
    b = io.BytesIO()
    im.save(b, kind, **more)
    b = b.getvalue()
    im = ImageOps.exif_transpose(Image.open(io.BytesIO(b)))
    rgb, grey = im.convert("RGB"), im.convert("RGB").convert("L") if im.mode == "CMYK" else im.convert("L")
    out[name] = {"w": rgb.width, "h": rgb.height, "file": packed(b), "rgb": packed(rgb.tobytes()),
                 "grey": packed(grey.tobytes())}
    if fitted:
        out[name]["fitgrey"] = packed(fit(grey).tobytes())


def noise(w, h, c=3):
    return rng.integers(0, 256, (h, w, c)).astype(np.uint8)


for w, h in ((9, 7), (8, 6), (1, 1), (2, 3), (17, 2)):
    add(f"webp {w}x{h}", Image.fromarray(noise(w, h)), "WEBP", quality=60)
add("webp with alpha", Image.fromarray(noise(9, 6, 4)), "WEBP", quality=60)
add("webp without loss", Image.fromarray(noise(5, 4)), "WEBP", lossless=True)
add("webp without loss, alpha", Image.fromarray(noise(5, 4, 4)), "WEBP", lossless=True, exact=True)
add("bmp", Image.fromarray(noise(5, 4)), "BMP")
add("bmp, grey", Image.fromarray(noise(5, 4, 1)[..., 0]), "BMP")
add("bmp, palette", Image.fromarray(noise(5, 4)).quantize(13), "BMP")
add("bmp, two colours", Image.fromarray(noise(9, 4, 1)[..., 0]).convert("1"), "BMP")
add("bmp, 32 bits", Image.fromarray(noise(5, 4, 4)), "BMP")
add("gif", Image.fromarray(noise(5, 4)).quantize(13), "GIF")
add("gif, grey", Image.fromarray(noise(5, 4, 1)[..., 0]), "GIF")
add("gif, interlaced", Image.fromarray(noise(9, 13)).quantize(13), "GIF", interlace=1)
add("gif, transparent", Image.fromarray(noise(5, 4)).quantize(13), "GIF", transparency=3)
p = Image.fromarray(noise(5, 4)).quantize(13)
add("gif, animated", p, "GIF", save_all=True, append_images=[p.transpose(Image.ROTATE_180)], duration=9)
for kind in ("JPEG", "PNG", "WEBP"):
    for turn in range(1, 9) if kind == "PNG" else (6, 8):
        exif = Image.Exif()
        exif[0x010E], exif[0x0112] = "a description", turn
        im = Image.fromarray(noise(5, 3)) if kind == "PNG" else Image.fromarray(np.full((16, 32, 3), (200, 90, 30), np.uint8))
        add(f"{kind} turned {turn}", im, kind, exif=exif)
add("png", Image.fromarray(noise(40, 50)), "PNG", True)
add("png with alpha", Image.fromarray(noise(5, 4, 4)), "PNG")
add("png, grey with alpha", Image.fromarray(noise(5, 4, 2), "LA"), "PNG")
add("png, palette", Image.fromarray(noise(5, 4)).quantize(13), "PNG")
add("CMYK", Image.fromarray(np.full((8, 8, 3), (200, 90, 30), np.uint8)).convert("CMYK"), "JPEG", quality=100)
print(json.dumps(out, indent=0))
