"""How the reference harness's loader (datasets 5.2.0) reads small made-up files, for packages/eval/test.

HF_HUB_OFFLINE=1 python tools/oracles/data_columns.py > packages/eval/test/fixtures/data-columns.json
"""

import json
import sys
import tempfile
from pathlib import Path

import datasets

LINES = [
    '{"a":1}\n{"a":2.5}\n',
    '{"a":18.0}\n{"a":2.0}\n',
    '{"a":1}\n{"b":true}\n',
    '{"a":[1,2]}\n{"a":[]}\n{"a":[3.5]}\n{"a":null}\n',
    '{"a":1}\n{"a":"x"}\n',
    '{"a":1.0}\n{"a":"x"}\n',
    '{"a":false}\n{"a":1}\n',
    '{"a":true}\n{"a":null}\n',
    '{"a":12345678901234567890}\n',
    '{"a":9007199254740993}\n{"a":-9223372036854775808}\n',
    '{"a":1e16}\n{"a":1e-7}\n{"a":NaN}\n{"a":123456789012345.0}\n{"a":0.0001}\n{"a":-0.0}\n{"a":1e22}\n',
    '{"a":0.1}\n{"a":3}\n{"a":null}\n',
    '{"a":{"x":1}}\n{"a":{"x":2,"y":3.5}}\n',
    '{"a":{"x":1}}\n{"a":{"x":2.5}}\n',
    '{"a":{"x":null}}\n{"a":{"x":1}}\n',
    '{"a":[{"x":1},{"x":2.5}]}\n{"a":[{"x":2}]}\n',
    '{"a":[{"x":1},{"x":2.5,"z":1}]}\n',
    '{"a":[1,"x"]}\n',
    '{"a":[1,2.0]}\n{"a":[5]}\n',
    '{"a":[[1],[2.5]]}\n',
    '{"a":1}\n\n{"a":2}\n',
    '\ufeff{"a":1.0}\n',
    '{"a":"2020-01-01"}\n{"a":"2021-02-03T04:05:06"}\n',
    '{"a":"2020-01-01"}\n{"a":"x"}\n',
    '{"a":"2020-01-01T10:30:15+02:00"}\n',
    '{"a":"2020-02-30"}\n',
    '[{"a":1},{"a":2.5,"b":"z"}]',
    '[\n  {"a": 1.0},\n  {"a": "it\'s"}\n]\n',
    '{"a":1,"b":[1,2]}',
    '{\n "a":[1,2],\n "b":["x","y"]\n}',
    '["x","y"]',
    '[[1,2],[3,4]]',
    '{"p":{"q":1},"r":{"q":2}}',
    '{"a":"\\u0000\\u007f\\u200b\\u00a0\\ud83d\\ude00 \\"q\\" \\\\n","b":["\\u0000\\u007f\\u200b\\u00a0\\ud83d\\ude00 \'q\' \\"d\\" \\\\ \\n\\u2028\\u00ad"]}\n',
]
FIELD = [
    '{"data":[{"a":1},{"a":2.5}]}',
    '{"data":["x","y"]}',
    '{"data":{"a":[1,2],"b":[3,4]},"other":1}',
]
TABLES = [
    ("a,b,c,d,e\n1,1.0,True,x,\n2,2.5,False,NA,\n", {}),
    ("a,b\n1,2\n,3\n", {}),
    ("a,b\n1,True\n2,\n", {}),
    ("a,b\ntrue,TRUE\nfalse,FALSE\n", {}),
    ("a,b\n007,1e3\n010,2\n", {}),
    ("a\nnull\nNone\nnan\nN/A\nx\n", {}),
    ("a,b\n 1,x \n 2, y\n", {}),
    ('a,b\n1,x\n2.5,"3"\ny,4\n', {}),
    ("a,a,\n1,2,3\n", {}),
    ("a;b\n1;2\n", {"sep": ";"}),
    ("a\tb\n1\t2\n", {"delimiter": "\t"}),
    ("1,x\n2,y\n", {"column_names": ["n", "s"]}),
    ("1,x\n2,y\n", {"column_names": ["n", "s"], "header": None}),
    ('a,b\n"x ""q""","l1\nl2"\n', {}),
    ("a,b\nTrue,1\nx,2\n", {}),
    ("a,b\nyes,1\nno,2\n", {}),
    ("a\n-inf\n1\n", {}),
    ("a\n9007199254740993\n", {}),
    ("date\n2020-01-01\n", {}),
]
TEXTS = [("a\n\nb\r\nc", {}), ("a\n\nb\n", {"sample_by": "paragraph"}), ("a\n\nb\n", {"sample_by": "document"})]


def main() -> None:
    datasets.disable_progress_bars()
    cases = [("json", text, {}) for text in LINES] + [("json", text, {"field": "data"}) for text in FIELD]
    cases += [("csv", *table) for table in TABLES] + [("text", *text) for text in TEXTS]
    found = []
    with tempfile.TemporaryDirectory() as place:
        for i, (loader, text, kwargs) in enumerate(cases):
            path = Path(place, f"{i}.data")
            path.write_bytes(text.encode())
            rows = datasets.load_dataset(
                loader, data_files={"test": str(path)}, cache_dir=f"{place}/{i}", **kwargs
            )["test"]
            printed = [{name: str(value) for name, value in row.items()} for row in rows]
            found.append({"loader": loader, "text": text, "kwargs": kwargs, "rows": printed})
    json.dump(found, sys.stdout, ensure_ascii=True, indent=0)
    print()


main()
