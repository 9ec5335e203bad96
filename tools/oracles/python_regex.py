"""What Python's `re.findall` finds: patterns of every feature on odd texts, for packages/eval/test.

python tools/oracles/python_regex.py > packages/eval/test/fixtures/python-regex.json
Python 3.11. A row is [pattern, matches per text], a match being a list of groups; null where it is no pattern.
"""

import json
import random
import re
import sys

TEXTS = [
    "", "a", "ab", "abab ba", "été chaud ÉTÉ", "５６ 7 ٣", "Ça va B", "ANSWER: 🙂 ok", "a\rb\nc", "a\u2028b\u0085c\ufeff d",
    "The answer is (B).\nThe answer is (C)", "#### 1,234.5\n#### -7", "x_1 y-2 \u00a0z", "ab\n", "\n", "'q' \"r\" 's",
    "a{,2} [x] (y) $5 ^", "aaa aab b", "İıſKÅ ǅ ß", "n\u0303 e\u0301 \u0903", "1\n2\n", "\x1c\x1d a",
]

HAND = [
    r"(\w+)", r"(\d+)", r"\b([AB])\b", r"(?i)answer: (.)", r"^(.*)$", r"(?m)^(.*)$", r"(?x) a b # c", r"a{,2}", r"a{2}", r"a{1,}?",
    r"\s+", r"\S+", r"\W", r"\D+", r"\B.", r".", r"(?s).", r"$", r"(?m)$", r"^", r"(?m)^", r"\A.", r".\Z", r"[\w-]+", r"[^\w\s]", r"[]a]", r"[^]a]",
    r"[a-c\d]+", r"[\W\d]", r"(a)|(b)", r"((a)|b)", r"(?:a|b)+", r"(?P<x>a)(?P=x)", r"(a)\1", r"(['\"]).*?\1", r"(?:(a)\1)?b", r"(?<=a)b", r"(?<!a)b", r"a(?=b)", r"a(?!b)",
    r"(?i)[a-z]+", r"(?i)É", r"(?a)\w+", r"(?a)\d", r"(?i:A)b", r"(?s:a.)", r"(?-i:a)", r"\x61", r"\u0062", r"\U00000061", r"\141", r"\0", r"[\b]", r"[\x61-\x63]",
    r"a(?#note)b", r"\.", r"\-", r"\/", r"\$", r"a|", r"|a", r"()", r"(?:)", r"a*", r"a*?", r"(a*)", r"(a?)b", r"a??", r"[a\-c]", r"[-a]", r"[a-]", r"[$.]", r"{", r"}", r"a{", r"a{x}", r"a{}", r"]",
    r"(-?[$0-9.,]{2,})|(-?[0-9]+)", r"#### (\-?[0-9\.\,]+)", r"The answer is \(?([A-D])\)?", r"((?<=answer is )(.*)(?=.))", r"\b(?:The |the |a )",
    r"[^ -~]", r"(?i)straße|ß", r"\w\b", r"(?i)k", r"(?i)s", r"(a+)+b", r"(a|b)*", r"((a)|b)+", r"((a)?b)+", r"(?:(a)|b)*", r"(a)?\1", r"(|a)\1", r"a++", r"(?>a)b", r"(a)(?(1)b|c)", r"\N{DIGIT ONE}",
    r"(", r")", r"*a", r"a**", r"[b-a]", r"[", r"\q", r"(?P<1>a)", r"a{2,1}", r"(?P=no)", r"\2", r"(?<=a*)b", r"(?z)a", r"[\q]", "é", "🙂", "[🙂é]+",
]

PIECES = ["a", "b", "é", "🙂", r"\w", r"\d", r"\s", r"\S", r"\W", r"\b", ".", "^", "$", "[ab]", "[^a]", r"[\w.]", r"\.", " ", r"\n"]


def made(draw: random.Random, depth: int = 2) -> str:
    parts = []
    for _ in range(draw.randrange(1, 4)):
        kind = draw.random()
        if kind < 0.6 or depth == 0:
            part = draw.choice(PIECES)
        elif kind < 0.75:
            part = f"({made(draw, depth - 1)})"
        elif kind < 0.85:
            part = f"(?:{made(draw, depth - 1)}|{made(draw, depth - 1)})"
        elif kind < 0.95:
            part = f"(?:{made(draw, depth - 1)})"
        else:
            part = f"(?{draw.choice(['=', '!'])}{made(draw, depth - 1)})"
        if draw.random() < 0.3 and part not in ("^", "$", r"\b"):
            part += draw.choice(["*", "+", "?", "{2}", "{1,2}", "*?", "+?", "??"])
        parts.append(part)
    return "".join(parts)


def found(pattern: str):
    try:
        compiled = re.compile(pattern)
    except re.error:
        return None
    rows = []
    for text in TEXTS:
        matches = compiled.findall(text)
        rows.append([text, [list(match) if isinstance(match, tuple) else [match] for match in matches]])
    return rows


def main() -> None:
    draw = random.Random(3)
    patterns = HAND + [draw.choice(["", "", "", "(?i)", "(?m)", "(?s)", "(?a)"]) + made(draw) for _ in range(150)]
    texts = TEXTS
    rows = []
    for pattern in dict.fromkeys(patterns):
        matches = found(pattern)
        rows.append([pattern, None if matches is None else [match for _, match in matches]])
    json.dump({"texts": texts, "rows": rows}, sys.stdout, ensure_ascii=True, separators=(",", ":"))
    print()


main()
