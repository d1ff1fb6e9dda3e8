"""Measures by class as scikit-learn computes them: pip install scikit-learn==1.9.1; python confusion.py > confusion.json"""
import json
import random

from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

random.seed(1)
cases = []
for classes, n, right in [(2, 50, 0.8), (3, 40, 0.5), (10, 300, 0.7), (7, 9, 0.3), (5, 30, 0.0), (100, 900, 0.6)]:
    labels = [random.randrange(max(1, classes - 1)) for _ in range(n)]  # the last class has no sample
    predicted = [l if random.random() < right else random.randrange(classes) for l in labels]
    every = dict(labels=range(classes), zero_division=0)
    p, r, f, _ = precision_recall_fscore_support(labels, predicted, **every)
    macro = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)[:3]
    cases.append({"classes": classes, "labels": labels, "predicted": predicted, "precision": p.tolist(), "recall": r.tolist(),
                  "f1": f.tolist(), "macro": [float(v) for v in macro],
                  "confusion": confusion_matrix(labels, predicted, labels=range(classes)).tolist() if classes <= 10 else None})
print(json.dumps(cases, separators=(",", ":")))
