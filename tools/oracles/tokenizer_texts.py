"""Odd texts and what the Rust tokenizer library makes of them (`tokenizers` of PyPI), for packages/model/test.

python tools/oracles/tokenizer_texts.py definitions > packages/model/test/fixtures/tokenizers/definitions.json
python tools/oracles/tokenizer_texts.py texts > packages/model/test/fixtures/tokenizers/texts.json
python tools/oracles/tokenizer_texts.py digests NAME=PATH ... > packages/model/test/fixtures/tokenizers/digests.json

PATH is a tokenizer.json, or a directory that transformers opens. The small definitions, one for each setting, come first.

A tokenizer's digests are one per text: the first 8 hexadecimal digits of the sha256 of its ids with special tokens, its
ids without, and the text decoded from the latter with and without special tokens, as JSON without spaces.
"""

import hashlib
import json
import random
import sys

ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    " \t\n\r\u00a0\u2003\u3000\u200b\u2028\u0085\ufeff",
    "\x00\x01\x07\x1b\x7f\u0080\u009f\u00ad",
    "éèüñçøåßıİŁﬁﬂǅ",
    "e\u0301a\u0308n\u0303o\u0328\u0327k\u20dd",
    "日本語中文漢字かなカナ한국어ㄱㄴ",
    "абвгдЖЩЪйё",
    "αβγδΩάέ",
    "אבגשלום",
    "العربيةمرحبا\u064b\u0651",
    "हिन्दीनमस्ते",
    "ไทยสวัสดี",
    "😀👍🏽👨‍👩‍👧‍👦🇩🇪❤️🏴\U000e0067\U000e007f",
    "Ⅷ№㎏½²³①ⓐ",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "«»“”‘’–—…•·¿¡",
    "\ue000\uf8ff\U0010fffd\ufffd",
    "𝒜𝔅ℂ𝟘𐍈𒀀",
]
WORDS = ["the", "The", " the", "don't", "I'm", "1,234.56", "http://x.y/z?a=b&c=d", "foo_bar", "CamelCase", "x²", "▁a", "Ġb",
         "<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>", "[CLS]", "[MASK]", "##ing", "<0x0A>", "3.14", "12345678901234567890"]


def texts():
    draw = random.Random(20261201)
    made = ["", " ", "  ", "\n", "\n\n\n", "\t", "a", "\u00a0", "\ufeff", "\ufeffa", "a\ufeff", "\x00", "'", "''", "'s", " 's", "\u0301", "🏽"]
    while len(made) < 990:
        parts = []
        for _ in range(draw.randrange(1, 12)):
            if draw.random() < 0.25:
                parts.append(draw.choice(WORDS))
            else:
                letters = draw.choice(ALPHABETS)
                parts.append("".join(draw.choice(letters) for _ in range(draw.randrange(1, 9))))
            if draw.random() < 0.5:
                parts.append(draw.choice([" ", "  ", "\n", "", "\t", "   "]))
        made.append("".join(parts))
    long = [["a", 5000], ["é", 3000], ["日本", 2000], ["ab ", 3000], ["🙂", 1000], ["0", 4000], [" ", 3000], ["\n", 2000], ["Lorem ipsum, ", 2000], ["The quick brown fox. ", 14286]]
    return {"texts": made, "repeated": long}


LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789 .,-'")


def bpe(merges, extra=(), **model):
    pieces = [*LETTERS, *extra]
    for merge in merges:
        joined = "".join(merge)
        if joined not in pieces:
            pieces.append(joined)
    return {"type": "BPE", "vocab": {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, "merges": [list(merge) for merge in merges], **model}


def definition(model, **parts):
    empty = {"truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    return {"version": "1.0", **empty, **parts, "model": model}


def split(behavior, invert=False, pattern=None):
    return {"type": "Split", "pattern": pattern or {"Regex": "[-,. ]|\\d+"}, "behavior": behavior, "invert": invert}


def added(content, token, **flags):
    return {"id": token, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}


def charsmap():
    """A precompiled map of characters, made by sentencepiece: folded capitals, joined and taken apart characters, spaces."""
    import base64
    import tempfile
    from pathlib import Path

    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    rules = {
        "\u2167": "viii", "\u2116": "no", "\u00bd": "1\u20442", "\u2460": "1", "\ufb01": "fi", "\u0130": "i\u0307", "e\u0301": "\u00e9", "a\u0308": "\u00e4",
        "\t": " ", "\u00a0": " ", "\u3000": " ", "\u2028": " ", "\u200b": "", "\u00ad": "", "\ufeff": "", "\u30ab\u30ca": "\u304b\u306a",
        **{chr(c): chr(c + 32) for c in range(ord("A"), ord("Z") + 1)}, **{chr(c + 0xFEE0): chr(c) for c in range(ord("0"), ord("9") + 1)},
    }
    told = "".join("\t".join(" ".join(f"{ord(c):X}" for c in text) for text in rule) + "\n" for rule in rules.items())
    with tempfile.TemporaryDirectory() as place:
        Path(place, "rules.tsv").write_text(told)
        Path(place, "corpus.txt").write_text("".join(f"the {word} sings and the fox is foo {i}\n" for i, word in enumerate(["bird", "cat", "river", "stone", "moon"] * 20)))
        sentencepiece.SentencePieceTrainer.train(
            input=f"{place}/corpus.txt", model_prefix=f"{place}/m", vocab_size=60, model_type="unigram",
            normalization_rule_tsv=f"{place}/rules.tsv", hard_vocab_limit=False, minloglevel=2,
        )
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString(Path(place, "m.model").read_bytes())
    return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def definitions():
    """One small tokenizer for each setting that implementations are known to miss."""
    pairs = [("t", "h"), ("th", "e"), ("a", "b"), ("i", "n"), ("in", "g"), ("a", "-")]
    spaced = [*pairs, ("\u2581", "t"), ("\u2581t", "h")]
    metaspace = lambda **more: {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True, **more}
    unknown = ("<unk>", "\u2581")
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    unigram = lambda byte_fallback: {"type": "Unigram", "unk_id": 0, "byte_fallback": byte_fallback, "vocab": [["<unk>", 0.0], ["\u2581", -2.0], *([[piece, -9.0] for piece in bytes_] if byte_fallback else []), *[[letter, -4.0] for letter in "abcdefghijklmnopqrstuvwxyz"], ["\u2581the", -3.0], ["ing", -3.5], ["\u2581a", -2.5], ["foo", -5.0]]}
    made = {
        f"split-{behavior}{'-inverted' if invert else ''}": definition(bpe(pairs), pre_tokenizer=split(behavior, invert))
        for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
        for invert in [False, True]
    }
    for split_ in [True, False]:
        for scheme in ["always", "first", "never"]:
            made[f"metaspace-{scheme}{'' if split_ else '-whole'}"] = definition(
                bpe(spaced, unknown, unk_token="<unk>"), pre_tokenizer=metaspace(split=split_, prepend_scheme=scheme), decoder=metaspace(split=split_, prepend_scheme=scheme))
    for fuse in [True, False]:
        made[f"unknown{'-fused' if fuse else ''}"] = definition(bpe(spaced, unknown, unk_token="<unk>", fuse_unk=fuse), pre_tokenizer={"type": "WhitespaceSplit"})
    made["unigram-pieces"] = definition(unigram(False), pre_tokenizer=metaspace(), decoder=metaspace())
    made["unigram-bytes"] = definition(unigram(True), pre_tokenizer=metaspace(), decoder={"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace(), {"type": "Fuse"}]})
    made["precompiled"] = definition(unigram(False), normalizer={"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": charsmap()}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}, pre_tokenizer=metaspace(), decoder=metaspace())
    made["bpe-bytes"] = definition(bpe(spaced, ("<unk>", "\u2581", *bytes_), unk_token="<unk>", byte_fallback=True, fuse_unk=True), normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    made["bpe-prefix"] = definition({"type": "BPE", "vocab": {"a": 0, "##b": 1, "##c": 2, "a##b": 3, "b": 4, "ab": 5, "c": 6}, "merges": [["a", "##b"]], "continuing_subword_prefix": "##"}, pre_tokenizer={"type": "Whitespace"})
    made["bpe-suffix"] = definition({"type": "BPE", "vocab": {"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4}, "merges": [["a", "b</w>"]], "end_of_word_suffix": "</w>"}, pre_tokenizer={"type": "Whitespace"}, decoder={"type": "BPEDecoder", "suffix": "</w>"})
    made["single-word"] = definition(bpe(pairs), added_tokens=[added("ab", 100, single_word=True), added("the", 101, lstrip=True), added("ing", 102, rstrip=True)])
    made["normalized-token"] = definition(bpe(pairs), normalizer={"type": "Lowercase"}, added_tokens=[added("The", 100, normalized=True), added("FOO", 101), added("<s>", 102, special=True)])
    made["bert"] = definition({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 20, "vocab": {piece: i for i, piece in enumerate(["[UNK]", "[CLS]", "[SEP]", "the", "un", "##ing", "##able", *"abcdefghijklmnopqrstuvwxyz", *[f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"], "日", "本"])}},
        normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}, pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
        post_processor={"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]})
    made["words"] = definition({"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "the": 1, "The": 2, ".": 3}}, pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Isolated"}, {"type": "WhitespaceSplit"}]})
    alphabet = [chr(c) for c in [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]]
    for use_regex in [True, False]:
        for prefix in [True, False]:
            made[f"byte-level{'-prefix' if prefix else ''}{'' if use_regex else '-whole'}"] = definition(
                {"type": "BPE", "vocab": {piece: i for i, piece in enumerate([*alphabet, "th", "the", "\u0120t", "\u0120the"])}, "merges": [["t", "h"], ["th", "e"], ["\u0120", "t"], ["\u0120t", "he"]][:3]},
                pre_tokenizer={"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}, decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True})
    made["normalizers"] = definition(bpe(pairs), normalizer={"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "Nmt"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]})
    return made


def open_(path):
    from tokenizers import Tokenizer

    if not isinstance(path, str):
        return Tokenizer.from_str(json.dumps(path))
    if path.endswith(".json"):
        return Tokenizer.from_file(path)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path).backend_tokenizer


def main() -> None:
    if sys.argv[1] == "definitions":
        json.dump(definitions(), sys.stdout, ensure_ascii=True, separators=(",", ":"))
        print()
        return
    if sys.argv[1] == "texts":
        json.dump(texts(), sys.stdout, ensure_ascii=True, separators=(",", ":"))
        print()
        return
    given = texts()
    every = given["texts"] + [text * times for text, times in given["repeated"]]
    digests = {}
    named = [argument.split("=", 1) for argument in sys.argv[2:]]
    for name, path in [*definitions().items(), *named]:
        tokenizer = open_(path)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        rows = []
        for text in every:
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            made = [
                tokenizer.encode(text).ids,
                plain,
                tokenizer.decode(plain, skip_special_tokens=False),
                tokenizer.decode(plain, skip_special_tokens=True),
            ]
            line = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
            rows.append(hashlib.sha256(line.encode("utf-8")).hexdigest()[:8])
        digests[name] = "".join(rows)
    json.dump(digests, sys.stdout, indent=0)
    print()


main()
