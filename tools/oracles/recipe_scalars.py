"""How mergekit 0.1.5 reads scalars of a recipe, as a table for packages/merge/test/RecipeScalars.test.ts.

    python tools/oracles/recipe_scalars.py > packages/merge/test/fixtures/recipe-scalars.json

Each text stands in a recipe where a number, a flag, a whole number or a dtype belongs, and as the end of a gradient;
null is a refusal. Infinities and NaN are texts.
"""

import json
import math

import yaml
from mergekit.common import dtype_from_name
from mergekit.config import MergeConfiguration, evaluate_setting
from pydantic import TypeAdapter

TEXTS = """
yes no on off Yes NO On y n true True TRUE t f 0 1 2 -1 0.0 1.0 0.5 1e-3 1e3 1.0e-3 1.0e+3 1.5e3 1.e-3 .5 -.5 +.5 5.
1_000 1_000.5 1__0 010 -010 08 0o7 0x1F 0b11 1:30 1:30.5 .inf -.inf .nan inf nan 12e03 big 2024-01-01
'0.5' "1" '1.0' 'yes' 'off' '1e-3' ' 1 ' '1_000' '010' '0x1F' 'True' '' "-0.25" '1.5'
!!float '1' !!str 1 !!int '3' !!bool 'yes'
""".replace("!!float '", "!!float~'").replace("!!str ", "!!str~").replace("!!int '", "!!int~'").replace(
    "!!bool '", "!!bool~'"
).replace("' 1 '", "'~1~'")

DTYPES = ["bfloat16", "torch.bfloat16", "torch.float16", "float32", "'torch.float64'", "bf16", "torch.torch.float16"]


def read(text):
    return MergeConfiguration.model_validate(yaml.safe_load(text))


def or_none(call):
    try:
        value = call()
    except Exception:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def parameter(value, kind, t=0.0):
    setting = read(f"merge_method: linear\nmodels: [{{model: a}}]\nparameters: {{weight: {value}}}").parameters["weight"]
    return evaluate_setting("", setting, t, validate=TypeAdapter(kind).validate_python)


def layer(value):
    sliced = read(f"merge_method: passthrough\nslices: [{{sources: [{{model: a, layer_range: [0, {value}]}}]}}]")
    return sliced.slices[0].sources[0].layer_range[1]


def force(value):
    tokens = read(
        f"merge_method: linear\nmodels: [{{model: a}}]\ntokenizer: {{tokens: {{x: {{source: a, force: {value}}}}}}}"
    ).tokenizer.tokens
    return tokens["x"].force


def dtype(value):
    found = dtype_from_name(read(f"merge_method: linear\nmodels: [{{model: a}}]\ndtype: {value}").dtype)
    return str(found).removeprefix("torch.")


rows = []
for written in TEXTS.split():
    text = written.replace("~", " ")
    # In braces and brackets some plain texts would be cut; all of these stand there as they are.
    rows.append(
        {
            "text": text,
            "number": or_none(lambda: parameter(text, float)),
            "half": or_none(lambda: parameter(f"[0, {text}]", float, 0.5)),
            "flag": or_none(lambda: parameter(text, bool)),
            "integer": or_none(lambda: layer(text)),
            "force": or_none(lambda: force(text)),
        }
    )
scalars = ",\n    ".join(json.dumps(row) for row in rows)
dtypes = json.dumps({text: or_none(lambda: dtype(text)) for text in DTYPES})
print(f'{{\n  "scalars": [\n    {scalars}\n  ],\n  "dtypes": {dtypes}\n}}')
