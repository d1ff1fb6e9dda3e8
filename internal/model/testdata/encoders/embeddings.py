"""Writes embeddings.json: what sentence-transformers makes of some sentences with the real models.

    python embeddings.py FOLDER HALVES      # sentence-transformers 6.2, transformers 5.24

FOLDER has all-MiniLM-L6-v2 and all-mpnet-base-v2 in full precision, HALVES the former in half, which is another model.
The token ids are kept, so that the test needs no tokenizer, and 24 of each vector's elements, spread over it.
"""
import json, sys, torch
from sentence_transformers import SentenceTransformer

SENTENCES = ["simplistic , silly and tedious .",
             "the rock is destined to be the 21st century's new \" conan \" and that he's going to make a splash even greater than arnold schwarzenegger , jean-claud van damme or steven segal .",
             "", "effective but too-tepid biopic", "Café crème : naïve, 90 minutes !",
             " ".join(["it's so laddish and juvenile , only teenage boys could possibly find it funny ."] * 9)]
out = []
for folder, name, dtype in ((1, "all-MiniLM-L6-v2", "F32"), (2, "all-MiniLM-L6-v2", "F16"), (1, "all-mpnet-base-v2", "F32")):
    m = SentenceTransformer(f"{sys.argv[folder]}/{name}", device="cpu", model_kwargs={"dtype": torch.float32})
    v = m.encode(SENTENCES, normalize_embeddings=False)
    step = v.shape[1] // 24
    out.append({"name": name, "dtype": dtype, "ids": m.tokenizer(SENTENCES)["input_ids"], "step": step,
                "embeddings": [[float(x) for x in r[::step]] for r in v]})
json.dump(out, open("embeddings.json", "w"))
