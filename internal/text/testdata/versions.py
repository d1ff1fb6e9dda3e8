"""Writes versions.json: folders as other versions and classes of tokenizers write them, and the ids of a few sentences.

    pip install transformers==5.24.0 tokenizers==0.23.3
    python versions.py
"""
import json, os, tempfile

from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Café", "café", "cafe", "Cafe", "CAFE", "a", "##b", "film", "##s", "中", "中文", "E1", "[E1]", "[E2]"]
TEXTS = ["Café film", "[E1] films 中文 [E2]", "CAFE cafe a[E1]b"]
LINES = "".join(w + "\n" for w in VOCAB)
BERT = {"tokenizer_class": "BertTokenizer"}


def document(model={}, **normalizer):
    mark = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": w, **mark} for i, w in enumerate(VOCAB[:5])],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {w: i for i, w in enumerate(VOCAB)}, **model},
    }


untyped = document()
del untyped["model"]["type"]
cased = document(lowercase=False, strip_accents=True, handle_chinese_chars=False)
folders = {"no model.type": {"tokenizer.json": untyped, "tokenizer_config.json": BERT}}
for name in ("PreTrainedTokenizerFast", "TokenizersBackend", "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", None):
    own = {"tokenizer_class": name} if name else {}
    folders[f"{name}, cased by its settings alone"] = {"tokenizer.json": document(), "tokenizer_config.json": {**own, "do_lower_case": False}}
    folders[f"{name}, cased by its document alone"] = {"tokenizer.json": cased, "tokenizer_config.json": own}
folders["no settings"] = {"tokenizer.json": cased}
token = {"content": "[E1]", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True, "__type": "AddedToken"}
for name, extra in {"listed": ["[E1]", "[E2]"], "named": {"x_token": "[E1]"}, "objects": [token]}.items():
    folders[f"extra tokens, {name}"] = {"tokenizer.json": document(), "tokenizer_config.json": {**BERT, "extra_special_tokens": extra}}
    folders[f"extra tokens, {name}, vocab.txt"] = {"vocab.txt": LINES, "tokenizer_config.json": {**BERT, "extra_special_tokens": extra}}
folders["extra and additional tokens"] = {"tokenizer.json": document(), "tokenizer_config.json": {**BERT, "extra_special_tokens": ["[E1]"], "additional_special_tokens": ["[E2]"]}}
folders["extra and additional tokens, named"] = {"tokenizer.json": document(), "tokenizer_config.json": {**BERT, "extra_special_tokens": {"x_token": "[E1]"}, "additional_special_tokens": ["[E2]"]}}
for name, lines in {
    "no end of the last line": LINES[:-1], "an empty line at the end": LINES + "\n", "empty lines within": LINES.replace("café\n", "café\n\n\n"),
    "a line twice": LINES.replace("café\n", "café\nfilm\n"), "a line again at the end": LINES + "film\n", "white space at the end of lines": LINES.replace("\n", " \t\r\n"),
}.items():
    folders["vocab.txt, " + name] = {"vocab.txt": lines, "tokenizer_config.json": BERT}
folders["vocab.txt, nothing added"] = {"vocab.txt": LINES, "added_tokens.json": {}, "tokenizer_config.json": BERT}

out = []
for name, files in folders.items():
    files["config.json"] = {"model_type": "bert", "vocab_size": len(VOCAB)}
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            with open(os.path.join(folder, file), "w", encoding="utf8", newline="") as f:
                f.write(content if isinstance(content, str) else json.dumps(content))
        t = AutoTokenizer.from_pretrained(folder)
        out.append({"folder": name, "files": files, "ids": [t(s)["input_ids"] for s in TEXTS]})
with open(os.path.join(HERE, "versions.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) for x in out) + "\n]\n")
