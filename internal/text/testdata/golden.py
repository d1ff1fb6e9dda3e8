"""Writes the golden files of this folder: what Hugging Face's fast tokenizers give.

    pip install tokenizers==0.22.2 transformers==4.57.6
    python golden.py MODELS DATA      # folders with all-MiniLM-L6-v2 and all-mpnet-base-v2, with rotten_tomatoes

hostile.json    the strings of hostile.py with the ids that the two models' tokenizers give, not truncated
sentences.json  the same of all Rotten Tomatoes sentences, as hashes: one of all ids, one of every hundred sentences
unicode.json    a hash of what becomes of every character, 4096 at a time, for three normalisers
small.json      folders with a small vocabulary, in the forms that folders come in, and of each a hash of the ids of each
                hostile string; the vocabularies are in vocab-bert.txt and vocab-mpnet.txt
"""
import hashlib, json, os, struct, sys, tempfile

from tokenizers import Tokenizer, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from hostile import ALL

MODELS, DATA = sys.argv[1:]
HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = {"minilm": "all-MiniLM-L6-v2", "mpnet": "all-mpnet-base-v2"}


def digest(lists):
    """A hash of lists of ids: of each its length, then its ids, as little-endian uint32."""
    h = hashlib.sha256()
    for ids in lists:
        h.update(struct.pack(f"<{len(ids) + 1}I", len(ids), *ids))
    return h.hexdigest()


def write(name, lines):
    with open(os.path.join(HERE, name), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(x, separators=(",", ":")) for x in lines) + "\n]\n")


def fast(folder):
    """The folder's tokenizer, the same by both libraries."""
    t = AutoTokenizer.from_pretrained(folder)
    if os.path.exists(folder + "/tokenizer.json"):
        plain = Tokenizer.from_file(folder + "/tokenizer.json")
        plain.no_truncation(), plain.no_padding()
        config = json.load(open(folder + "/tokenizer_config.json")) if os.path.exists(folder + "/tokenizer_config.json") else {}
        if "contradicts" not in config:
            assert all(plain.encode(s).ids == t(s)["input_ids"] for s in ALL), folder
    return lambda s: t(s, verbose=False)["input_ids"]


tokenizers = {name: fast(os.path.join(MODELS, folder)) for name, folder in FOLDERS.items()}
write("hostile.json", [{"text": s, **{name: t(s) for name, t in tokenizers.items()}} for s in ALL])
for name, folder in FOLDERS.items():  # truncation keeps the first ids and the last
    t = AutoTokenizer.from_pretrained(os.path.join(MODELS, folder))
    for s in ALL:
        ids = t(s, verbose=False)["input_ids"]
        for n in (3, 8, 512):
            assert t(s, truncation=True, max_length=n)["input_ids"] == (ids if len(ids) <= n else ids[: n - 1] + ids[-1:])

sentences = []
for name in ("rt-polarity.neg", "rt-polarity.pos"):
    with open(os.path.join(DATA, "rotten_tomatoes", name), encoding="utf8", newline="\n") as f:
        sentences += f.read().removesuffix("\n").split("\n")
assert len(sentences) == 10662
golden = []
for name, t in tokenizers.items():
    ids = [t(s) for s in sentences]
    golden.append({"model": name, "tokens": sum(map(len, ids)), "longest": max(map(len, ids)), "sha256": digest(ids), "hundreds": [digest(ids[i : i + 100])[:16] for i in range(0, len(ids), 100)]})
write("sentences.json", golden)

table = []
split = pre_tokenizers.BertPreTokenizer()
for lower, strip in ((True, True), (True, False), (False, False)):
    n = normalizers.BertNormalizer(lowercase=lower, strip_accents=strip)
    blocks = []
    for start in range(0, 0x110000, 4096):
        h = hashlib.sha256()
        for c in range(start, start + 4096):
            if not 0xD800 <= c < 0xE000:
                words = [w for w, _ in split.pre_tokenize_str(n.normalize_str("a" + chr(c) + "b"))]
                h.update(("|".join(words) + "\n").encode())
        blocks.append(h.hexdigest()[:16])
    table.append({"lower": lower, "strip": strip, "blocks": blocks})
write("unicode.json", table)

# The small vocabulary: what MiniLM's tokenizer makes of the hostile strings, and some words that only a
# tokenizer that keeps case and accents meets.
vocab = json.load(open(os.path.join(MODELS, FOLDERS["minilm"], "tokenizer.json")))["model"]["vocab"]
specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
used = set().union(*(tokenizers["minilm"](s) for s in ALL))
words = [w for w, i in sorted(vocab.items(), key=lambda x: x[1]) if i in used and w not in specials]
words += ["Hello", "UPPER", "MiXeD", "café", "CAFÉ", "É", "é", "##é", "ΑΣ", "Σ", "i\u0307", "##i\u0307", "A", "##A", "中文", "\u0264", "\u019b"]
assert len(set(words)) == len(words)
bert, mpnet = specials + words, ["<s>", "<pad>", "</s>", "<unk>", "[UNK]"] + [w for w in words] + ["<mask>"]


def added(content, id, **flags):
    return {"id": id, "content": content, **{"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}}


def document(tokens, cls, sep, marks, **normalizer):
    ids = {w: i for i, w in enumerate(tokens)}
    return {
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0, "pad_token": "x"},
        "added_tokens": marks,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "RobertaProcessing" if cls == "<s>" else "BertProcessing", "sep": [sep, ids[sep]], "cls": [cls, ids[cls]], **({"trim_offsets": True, "add_prefix_space": False} if cls == "<s>" else {})},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": ids},
    }


bert_marks = [added(w, i) for i, w in enumerate(specials)]
mpnet_marks = [added("<s>", 0), added("<pad>", 1), added("</s>", 2), added("<unk>", 3, normalized=True), added("[UNK]", 4), added("<mask>", len(mpnet) - 1, lstrip=True)]
extra = [added("[E1]", len(bert)), added("[E1", len(bert) + 1, normalized=True), added("Café!", len(bert) + 2, normalized=True, special=False), added("a", bert.index("a"), special=False)]
bert_config = {"tokenizer_class": "BertTokenizer", "model_max_length": 512, "do_lower_case": True, "strip_accents": None}
mpnet_names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "[UNK]", "pad_token": "<pad>", "mask_token": {"content": "<mask>", "single_word": False, "lstrip": True, "rstrip": False, "normalized": False}}
lines = lambda tokens: "".join(w + "\n" for w in tokens)
folders = {
    "bert": {"tokenizer.json": document(bert, "[CLS]", "[SEP]", bert_marks), "tokenizer_config.json": bert_config},
    "bert-cased": {"tokenizer.json": document(bert, "[CLS]", "[SEP]", bert_marks, lowercase=False), "tokenizer_config.json": {**bert_config, "do_lower_case": False}},
    "bert-accents": {"tokenizer.json": document(bert, "[CLS]", "[SEP]", bert_marks, strip_accents=False), "tokenizer_config.json": {**bert_config, "strip_accents": False}},
    "bert-unspaced": {"tokenizer.json": document(bert, "[CLS]", "[SEP]", bert_marks, handle_chinese_chars=False), "tokenizer_config.json": {**bert_config, "tokenize_chinese_chars": False}},
    "bert-unclean": {"tokenizer.json": document(bert, "[CLS]", "[SEP]", bert_marks, clean_text=False), "tokenizer_config.json": bert_config},
    "bert-extra": {"tokenizer.json": document(bert, "[CLS]", "[SEP]", bert_marks + extra), "tokenizer_config.json": bert_config},
    "bert-contradicted": {"tokenizer.json": document(bert, "[CLS]", "[SEP]", bert_marks), "tokenizer_config.json": {**bert_config, "do_lower_case": False, "contradicts": "tokenizer.json"}},
    "bert-vocab": {"vocab.txt": lines(bert), "tokenizer_config.json": bert_config},
    "bert-vocab-cased": {"vocab.txt": lines(bert), "tokenizer_config.json": {**bert_config, "do_lower_case": False, "strip_accents": True}},
    "distilbert-vocab": {"vocab.txt": lines(bert).replace("\n", "\r\n"), "config.json": {"model_type": "distilbert"}},
    "mpnet": {"tokenizer.json": document(mpnet, "<s>", "</s>", mpnet_marks), "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizer", "do_lower_case": True, "model_max_length": 512}, "special_tokens_map.json": mpnet_names},
    "mpnet-vocab": {"vocab.txt": lines(mpnet), "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizer", "model_max_length": 512}, "special_tokens_map.json": mpnet_names},
}
small = []
for name, files in folders.items():
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            with open(os.path.join(folder, file), "w", encoding="utf8", newline="") as f:
                f.write(content if isinstance(content, str) else json.dumps(content))
        t = fast(folder)
        for file, content in files.items():  # the vocabularies are long: kept once, in files of their own
            if file == "tokenizer.json":
                content["model"]["vocab"] = "mpnet" if "mpnet" in name else "bert"
            elif file == "vocab.txt":
                files[file] = content.replace(lines(bert), "@bert").replace(lines(bert).replace("\n", "\r\n"), "@bert-crlf").replace(lines(mpnet), "@mpnet")
        small.append({"folder": name, "files": files, "ids": " ".join(digest([t(s)])[:8] for s in ALL)})
write("small.json", small)
for name, tokens in (("bert", bert), ("mpnet", mpnet)):
    with open(os.path.join(HERE, f"vocab-{name}.txt"), "w", encoding="utf8", newline="") as f:
        f.write(lines(tokens))
