"""The strings that a tokenizer is likely to get wrong: imported by golden.py."""
import random, unicodedata

ZWJ, ZWNJ, BOM, ZWSP, SHY, RLO, NBSP = "\u200d", "\u200c", "\ufeff", "\u200b", "\u00ad", "\u202e", "\u00a0"

STRINGS = [
    # nothing, and what becomes nothing
    "", " ", "\t\n\r \v\f", "\x00", "\ufffd", "\x00\x00a\x00", "\u3000", NBSP, BOM, ZWSP, ZWJ, SHY, "\u0301", "\u0085", "\u2028\u2029",
    # plain
    "a", "A", "Hello, world!", "the quick brown fox", "it's a well-made film , isn't it ?", "3.14 1,000,000 50% $5 #1 @you", "UPPER lower MiXeD",
    "don't won't can't I'm you're they've", "...", "!!!???", "--- -- -", "a.b.c", "e-mail@example.com", "http://a.b/c?d=e&f=g#h", "C:\\path\\file", "`~^|<>=+*/\\_", "[](){}",
    "##a ##ing ing##", "# # a", "\"quoted\" 'single' ``tex''", "1e-9 0x1F 3/4 2nd 1990s", "tab\tnew\nline\rreturn\x0bvertical\x0cform",
    # accents: composed, decomposed, stacked, alone
    "café", "cafe\u0301", "CAFÉ", "naïve façade Zürich Ångström", "crème brûlée jalapeño", "Dvořák Łódź Ørsted ßtraße Æon œuvre þorn ðað ıIİi", "e\u0301\u0302\u0303\u0304", "\u0301e", "a \u0301 b",
    "e\u0323\u0307 e\u0307\u0323", "q\u0307\u0323 \u1e69 s\u0323\u0307", "ﬁ ﬂ ﬀ ﬃ", "① ② ½ ² ³ ™ ℃ Ⅷ", "\u212b \u00c5 A\u030a", "İstanbul I\u0307", "ΑΣ ΑΣΑ ΣΑΣ ς σ Σ", "ǅ ǆ Ǆ Ÿ ẞ", "Å\u0301", "Việt Nam Tiếng Việt", "Z" + "\u0335\u0321\u0334" * 4 + "a" + "\u0300" * 29,
    "a" + "\u0301" * 30 + "b", "a" + "\u0301" * 31 + "b", "a" + "\u0316\u0301" * 50 + "b c", "e" + "\u0301" * 500,
    # marks that are not non-spacing, and ones newer than the reference's tables
    "का कि की", "กำ ที่ ไทย", "\u0b55 \u0c04 \u1abf \u1df6", "a\u07fdb", "a\u1885b a\u1886b", "\u1734a a\u1734", "\ua9bda", "\U000111c9a\U000111c9", "a\u166db", "\u061da", "\u2e43 a\u2e52b", "\U00011938",
    # letters newer than Go's tables, whose lower case the reference knows
    "\ua7cba", "\ua7dca", "\u1c89", "\U00010d50", "\u0264 \u019b",
    # CJK, its extensions and what the reference leaves out of them
    "中文", "我爱你", "abc中文def", "中 文", "日本語のテキスト", "カタカナ ｶﾀｶﾅ ひらがな", "한국어 텍스트", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "\u3400\u4dbf\u4dc0", "\U00020000\U0002a6df", "\U0002a700 \U0002b73f \U0002b740 \U0002b81f", "a\U0002b820b \U0002b91f \U0002b920", "\uf900\ufa6d", "\U0002f800\U0002fa1f", "\U00030000", "「引用」、。！？", "ＡＢＣ１２３！", "㈱ ㍿ ㎏",
    "三" * 120, "中" * 30 + "a" * 101,
    # right to left, and marks of direction
    "مرحبا بالعالم", "العَرَبِيَّة", "שלום עולם", "שָׁלוֹם", RLO + "abc" + "\u202c", "\u200fabc\u200e", "؟ ، ؛", "فارسی " + "می" + ZWNJ + "خواهم", "٠١٢٣٤", "اردو ہے",
    # other scripts
    "Привет, мир!", "Ёлка ёлка ЙЙ", "Γειά σου Κόσμε", "Ὀδυσσεύς ᾳ", "नमस्ते दुनिया", "বাংলা", "தமிழ்", "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "සිංහල", "ລາວ", "မြန်မာ", "ქართული ᲥᲐᲠᲗᲣᲚᲘ", "Հայերեն", "አማርኛ", "ᏣᎳᎩ ꭰ", "ᠮᠣᠩᠭᠣᠯ", "བོད་སྐད", "𐐀𐐨 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝐛𝐨𝐥𝐝", "ʰʷʲ ɐɑɒ ᵃᵇ ₐ", "۝ ࢘a",
    # emoji: joined, with skin colours, flags, keycaps, variation selectors
    "😀", "😀😁😂", "I ❤️ it", "👨‍👩‍👧‍👦", "👍🏽", "🇮🇹🇫🇷", "1️⃣ #️⃣", "🏳️‍🌈", "a😀b", "😀a", "☺ ☺️ ☺︎", "🧑🏿‍🚀 flies", "\U0001fae8\U0001faf8", "great movie 🎬🍿!!",
    # control and format characters, inside words and at their ends
    "a\x00b", "a\x01b\x7fc", "a\u0080b\u009fc", "\u0085a\u0085b", "a" + ZWSP + "b", BOM + "hello", "hello" + BOM, ZWSP + "the " + ZWSP, "a" + ZWJ + "b", "a" + ZWNJ + "b", "soft" + SHY + "hyphen", "a\u2060b", "a\u206ab", "a\u180eb", "a\u061cb", "a\u0890b", "\u08e2a", "a\U000110bdb \U000110cda", "\U00013430a", "\U000e0041a\U000e007f", "a\ue000b", "\U000f0000a", "\U0010fffda", "a\ufff9b\ufffac\ufffb", "a\ufffdb", "\ufffe a\uffff", "\u0378a \u0530b", "a\ufffcb", "\x1b[31mred\x1b[0m", "a\r\nb", "a\u2028b\u2029c", "a\u1680b\u2000c\u200ad\u202fe\u205ff\u3000g",
    # punctuation outside ASCII, symbols that are not punctuation
    "“quoted” ‘it’s’ — – … « »", "¡Hola! ¿Qué?", "§ ¶ † ‡ • · ‰ ′ ″", "© ® ° ± × ÷ µ", "€ £ ¥ ₿ ¢", "← → ↔ ⇒ ∀ ∃ ∑ √ ∞", "♪ ♫ ★ ☆", "。。。", "_under_score_ ‿ ⁀", "‐ ‑ ‒ ― −", "a‐b a−b", "⸺ ⸻ \u2e3a", "᠀ ᠁ ᭞", "|| ¦ ‖",
    # words at the limit of 100 characters, in characters that are one, two, three and four bytes long
    "a" * 99, "a" * 100, "a" * 101, "the" + "x" * 97, "the" + "x" * 98, "é" * 100, "é" * 101, "e\u0301" * 100, "e\u0301" * 101, "Я" * 100, "Я" * 101, "क" * 101, "😀" * 100, "😀" * 101, "İ" * 100, "a" * 100 + "." + "b" * 101, "a" * 101 + "中" + "b" * 100, "A" * 1000, "ab" * 60 + " film", "a" * 100 + ZWSP + "a", "\u0301" * 200 + "a", "supercalifragilisticexpialidocious" * 3, "-" * 150,
    # special tokens as text: whole, cased, joined, nested, cut, beside white space
    "[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "<s>", "</s>", "<pad>", "<mask>", "<unk>", "[unused0]", "a [MASK] b", "a[MASK]b", "a   [MASK]   b", "a <mask> b", "a<mask>b", "a \n\t<mask>  b", "<mask><mask>", " <mask>", "<mask> ", "\u3000<mask>\u00a0",
    "[cls]", "[Mask]", "<UNK>", "<Unk> <unK>", "<MASK>", "<S>", "</S>", "[[MASK]]", "[MA[MASK]SK]", "[MASK", "MASK]", "[ MASK ]", "<s", "<s><s></s></s>", "[CLS] [SEP] [CLS][SEP]", "<s>[CLS]</s>[SEP]<pad>[PAD]", "[M\u0301ASK]", "[MASK]\u0301", "\u0301[MASK]", "<unk\u0301>", "<un\u200bk>", "<u\u0301nk>", "[MAS\u200bK]", "<ｕｎｋ>", "é[SEP]é", "中[SEP]文", "[SEP]" * 40, "a" * 101 + "[SEP]", "😀[UNK]😀", "<unk>a<unk> <unk>", "a <unk>\u0301 b", "<U\u0307NK>", "##[MASK]", "x<unk>##y",
    # added tokens of the small vocabularies
    "[E1]", "[E1", "[e1]", "[E1][E1[E1", "cafe!", "CAFE\u0301! café!", "a café!b", "good food",
    # long
    "word " * 600, " ".join("the film was very good and we liked it a lot".split()[i % 10] for i in range(5000)), "é " * 520, "中" * 600, "a " * 508, "a " * 509, "a " * 510, "a " * 511, "[SEP] " * 515, "<unk>" * 515, ("x" * 101 + " ") * 520, "." * 520, "antidisestablishmentarianism " * 130,
]


def drawn():
    """Strings drawn from characters that are special to some step, so that pairs nobody thought of meet."""
    r = random.Random(7)
    special = ["[MASK]", "[SEP]", "<mask>", "</s>", "<unk>", "<UNK>", "[CLS]", "<s>"]
    odd = list(" \t\n\u00a0\u3000\u0085\u2028\x00\x1f\ufeff\u200b\u200d\u00ad\u0301\u0316\u0345\u093f\ufe0f\ufffdaAzé\u00c9İıßΣ中\u3400\U0002a700あ한.,-_#[]<>'“—。𝐀😀🏽1٣½ﬁเ")
    for _ in range(120):
        yield "".join(r.choice(special) if r.random() < 0.08 else r.choice(odd) if r.random() < 0.75 else r.choice(["film", "good", "ing", "un"]) for _ in range(r.randint(1, 40)))
    for _ in range(30):  # anywhere in Unicode
        s = ""
        while len(s) < 12:
            c = r.choice([r.randrange(0x3000), r.randrange(0x20000), r.randrange(0x110000)])
            s += "" if 0xD800 <= c < 0xE000 else chr(c) + r.choice(["", " ", "a"])
        yield s


ALL = STRINGS + list(drawn())
