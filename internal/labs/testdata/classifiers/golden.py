"""Writes small classifiers of sentences as save_pretrained does, and what transformers' pipeline says of a few sentences:
python golden.py (transformers 5.24, torch 2.8). expected.json has label and score of each sentence, by folder.
"""
import json, os, shutil, torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (BertConfig, BertForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification,
                          MPNetConfig, MPNetForSequenceClassification, PreTrainedTokenizerFast, pipeline)

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["the film is good", "a bad, bad film!", "not good at all", "warm"]
WORDS = "the film is good a bad not at all warm , ! . un ##b ##c".split()
bert = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, max_position_embeddings=20, initializer_range=0.6)
distil = dict(dim=8, n_layers=1, n_heads=2, hidden_dim=12, max_position_embeddings=20, initializer_range=0.6)
names = lambda *l: dict(id2label=dict(enumerate(l)), label2id={v: k for k, v in enumerate(l)})
CASES = {
    "bert": (BertForSequenceClassification, BertConfig(**bert, **names("neg", "pos", "none"))),
    "mpnet": (MPNetForSequenceClassification, MPNetConfig(**bert, **names("neg", "pos"))),
    "two-classes": (DistilBertForSequenceClassification, DistilBertConfig(**distil)),
    "one-class": (DistilBertForSequenceClassification, DistilBertConfig(num_labels=1, **distil)),
    "multi-label": (DistilBertForSequenceClassification, DistilBertConfig(
        problem_type="multi_label_classification", **distil, **names("toxic", "insult", "threat"))),
    "regression": (BertForSequenceClassification, BertConfig(problem_type="regression", num_labels=1, **bert)),
}

expected = {}
for i, (name, (kind, config)) in enumerate(CASES.items()):
    torch.manual_seed(20 + i)
    mpnet = name == "mpnet"
    pad, cls, sep, unk = ("<pad>", "<s>", "</s>", "[UNK]") if mpnet else ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    special = [cls, pad, sep, unk] if mpnet else [pad, unk, cls, sep]
    vocab = {w: i for i, w in enumerate(special + ["[MASK]"] + WORDS)}
    t = Tokenizer(models.WordPiece(vocab, unk_token=unk))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing(single=f"{cls} $A {sep}", special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=t, pad_token=pad, cls_token=cls, sep_token=sep, unk_token=unk,
                                        mask_token="[MASK]", model_max_length=16)
    config.vocab_size, config.pad_token_id = len(vocab), vocab[pad]
    model = kind(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 1: p.add_(0.3 * torch.randn_like(p))
    at = os.path.join(HERE, name)
    shutil.rmtree(at, ignore_errors=True)
    model.save_pretrained(at)
    tokenizer.save_pretrained(at)
    classify = pipeline("text-classification", model=at, tokenizer=at)
    expected[name] = [classify(text)[0] for text in TEXTS]
json.dump({"texts": TEXTS, "expected": expected}, open(os.path.join(HERE, "expected.json"), "w"), indent=1)
