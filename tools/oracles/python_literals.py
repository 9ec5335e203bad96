"""What Python's ast.literal_eval makes of texts, as its repr writes it, for packages/eval/test.

python tools/oracles/python_literals.py > packages/eval/test/fixtures/python-literals.json
"""

import ast
import json
import sys

TEXTS = [
    "['yes', '''a or no''']", "[\"it's\", 'a \"b\"']", "['a', \"b\",]", "[]", "[ ]", "[1, 2.0, -3, +4, 1_000, 0x1F, 0b101, 0o17]",
    "[1e3, .5, 5., 1e-7, 1e16, 1_0.5e1_0]", "[True, False, None]", "[true]", "['a' 'b', \"c\" 'd']", "[('a', 1), ('b',), ()]",
    "[['x', ['y']], []]", "[{'a': 1, 'b': [2]}]", "(1)", "(1,)", "('a', 'b')", "'a', 'b'", "'a'", "1", "-1.5", "- 1",
    "['\\n\\t\\\\\\'\\x41\\u00e9\\U0001F600\\101\\q']", "[r'\\n', u'x', R\"\\d\"]", "[b'x']", "['a'", "['a'] x", "[a]", "['a' 1]",
    "[\n 'a', # first\n 'b'\n]", " ['a']", "['a',, 'b']", "[1 2]", "['unterminated]", "[007]", "[00]", "['']", "[\"\"\"x\n\"y\" 'z'\"\"\"]",
    "['a\\\nb']", "[f'x']", "['é', '日本', '😀']", "['\u200b', '\u00a0', '\u2028', '\x7f', '\x85']", "[12345678901234567890]", "[1e999]",
    "[[[[[[1]]]]]]", "['a'*2]", "[1,2", "", "[,]", "{'a'}", "{'a': 1,}", "[None,]", "['\\xzz']", "[1if]", "['a'if]", "[0_1]", "[1__0]", "[-0, -0.0]",
]


def main() -> None:
    found = []
    for text in TEXTS:
        try:
            value = ast.literal_eval(text)
            read = None if isinstance(value, (set, bytes)) or "b'x'" in text else repr(value)
        except (SyntaxError, ValueError):
            read = None
        found.append({"text": text, "read": read})
    json.dump(found, sys.stdout, ensure_ascii=True, indent=0)
    print()


main()
