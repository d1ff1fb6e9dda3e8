"""Writes adapter.json, what transformers and PEFT say with the adapter that ships: python adapter.py ENCODER_FOLDER [TEXT_FOLDER]
(peft 0.21, transformers 5.24, torch 2.8).

The encoder is all-MiniLM-L6-v2 in half or full precision, which adapter.json has apart (F16, F32); the adapter was
trained on the latter. TEXT_FOLDER holds
rt-polarity.neg and .pos, UTF-8: where it is given, the last 533 sentences of each class, which are the test split, are
classified as well, and adapter.json says how many are right.
"""
import json, os, sys, torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["A film of rare warmth.", "flat", "the plot is thin , but the cast is a joy", "two hours of my life i will not get back .",
         "not bad at all", "it's neither as romantic nor as thrilling as it should be ."]
labels = {0: "neg", 1: "pos"}
base = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], id2label=labels)
precision = {torch.float16: "F16", torch.float32: "F32"}[base.bert.embeddings.word_embeddings.weight.dtype]
base = base.float()
model = PeftModel.from_pretrained(base, os.path.join(HERE, "../../../checkpoints/minilm-lora")).eval()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])


def logits(texts):
    x = tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
    with torch.no_grad():
        return model(**x).logits


path = os.path.join(HERE, "adapter.json")
golden = json.load(open(path)) if os.path.exists(path) else {}
golden[precision] = [{"text": t, "logits": logits([t])[0].tolist()} for t in TEXTS]
if len(sys.argv) > 2:
    right = n = 0
    for label, name in enumerate(["rt-polarity.neg", "rt-polarity.pos"]):
        lines = open(os.path.join(sys.argv[2], name), encoding="utf-8").read().split("\n")[:5331][-533:]
        for i in range(0, len(lines), 41):
            right += int((logits([l.strip() for l in lines[i:i + 41]]).argmax(-1) == label).sum())
        n += len(lines)
    print(f"test accuracy {right} of {n}, {100 * right / n:.2f} %")
    golden["Test"] = {"precision": precision, "correct": right, "n": n}
json.dump(golden, open(path, "w"), indent=1)
