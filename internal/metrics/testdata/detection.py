"""Writes detection.json: measures of detectors by scikit-learn, most cases with ties.

    python detection.py > detection.json        # made with scikit-learn 1.9

In distribution is the positive class of the ROC curve, with the negated score; AUROC is the same with
the classes and the sign exchanged. fpr95_outliers_positive is as OpenOOD's auc_and_fpr_recall has it.
"""
import json
import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

rng = np.random.default_rng(0)
cases = {
    "ties": (rng.integers(0, 7, 60), rng.integers(2, 9, 25)),
    "many ties": (rng.integers(0, 2, 40), rng.integers(0, 2, 90)),
    "all equal": (np.zeros(5), np.zeros(3)),
    "no ties": (rng.normal(0, 1, 80), rng.normal(1, 1, 40)),
    "apart": (np.arange(10.0), np.arange(20.0, 25.0)),
    "the wrong way round": (np.arange(20.0, 41.0), np.arange(10.0)),
    "one each": (np.array([1.0]), np.array([0.0])),
    "a threshold at exactly 95 %": (np.arange(20.0), np.array([17.5, 18.5, 19.0, 3.0])),
    "an outlier of 20 is missed": (np.array([0.0, 2.5, 2.5, 7.0, 30.0]), np.arange(1.0, 21.0)),
    "the outlier at 95 % is tied": (np.array([0.0, 2.0, 2.0, 2.0, 7.0]), np.array([1.0] + 19 * [2.0])),
    "few out": (np.round(rng.normal(0, 1, 97), 1), np.round(rng.normal(0.5, 2, 4), 1)),
}
golden = []
for name, (i, o) in cases.items():
    s = np.concatenate([i, o]).astype(float)
    isin = np.concatenate([np.ones(len(i)), np.zeros(len(o))])
    fpr, tpr, _ = roc_curve(isin, -s, drop_intermediate=False)
    fpr_out, tpr_out, _ = roc_curve(1 - isin, s, drop_intermediate=False)
    golden.append({
        "name": name, "in": list(map(float, i)), "out": list(map(float, o)),
        "auroc": roc_auc_score(1 - isin, s),
        "aupr_in": average_precision_score(isin, -s),
        "aupr_out": average_precision_score(1 - isin, s),
        "fpr95": fpr[np.argmax(tpr >= 0.95)],
        "fpr95_outliers_positive": fpr_out[np.argmax(tpr_out >= 0.95)],
        "accuracy": np.max((tpr + 1 - fpr) / 2),
        "fpr": list(fpr), "tpr": list(tpr),
    })
print(json.dumps(golden, default=float))
