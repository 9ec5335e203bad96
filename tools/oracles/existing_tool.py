"""What mergekit 0.1.5 writes for bf16 models, by every method that draws nothing: packages/merge/test/fixtures/rounding.

Run in an environment with torch, transformers and mergekit 0.1.5:

    python tools/oracles/existing_tool.py packages/merge/test/fixtures/rounding

inputs.safetensors has a base and three models fine-tuned from it, outputs.safetensors one tensor per method: every tensor
of the result one after the other, in the order of the names in inputs.safetensors. recipes.json has the recipes.
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

assert version("mergekit") == "0.1.5"

MODELS = ["base", "a", "b", "c"]


def recipe(method, models=("a", "b", "c"), base=True, each=None, **parameters):
    """A recipe over models of one directory; `each` has the parameters of each model."""
    each = each or {}
    found = {
        "merge_method": method,
        "models": [
            {"model": name, "parameters": {key: values[i] for key, values in each.items()}}
            if each
            else {"model": name}
            for i, name in enumerate(models)
        ],
        "dtype": "bfloat16",
    }
    if base:
        found["base_model"] = "base"
    if parameters:
        found["parameters"] = parameters
    return found


THREE = {"weight": [0.5, 0.3, 0.4]}
SPARSE = {**THREE, "density": [0.5, 0.6, 0.7]}
RECIPES = {
    "linear": recipe("linear", base=False, each=THREE),
    "slerp": recipe("slerp", ["a"], t=0.3),
    "nuslerp": recipe("nuslerp", ["a", "b"], base=False, each={"weight": [0.6, 0.3]}),
    "multislerp": recipe("multislerp", base=False, each=THREE),
    "karcher": recipe("karcher", base=False),
    "task_arithmetic": recipe("task_arithmetic", each=THREE, **{"lambda": 0.9}),
    "ties": recipe("ties", each=SPARSE, **{"lambda": 0.9}),
    "breadcrumbs": recipe("breadcrumbs", each={**SPARSE, "gamma": [0.1, 0.1, 0.1]}, **{"lambda": 0.9}),
    "breadcrumbs_ties": recipe("breadcrumbs_ties", each={**SPARSE, "gamma": [0.1, 0.1, 0.1]}, **{"lambda": 0.9}),
    "sce": recipe("sce"),
    "ram": recipe("ram", epsilon=0.002),
    "ramplus_tl": recipe("ramplus_tl", epsilon=0.002, r=0.3, alpha=0.2),
    "model_stock": recipe("model_stock"),
    "nearswap": recipe("nearswap", ["a"], t=0.002),
    "arcee_fusion": recipe("arcee_fusion", ["a"]),
    "passthrough": recipe("passthrough", ["a"], base=False, each={"scale": [0.7]}),
}


def write_inputs(directory):
    """A base and three models, each a base with small changes, in bf16; changes have directions in common."""
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=32, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1)
    generator = torch.Generator().manual_seed(12)
    draw = lambda shape, scale: scale * torch.randn(shape, generator=generator)
    torch.manual_seed(0)
    start = {name: value.detach().clone() for name, value in LlamaForCausalLM(config).state_dict().items()
             if name != "lm_head.weight"}
    base = {name: (value if value.ndim == 1 else draw(value.shape, 0.05)) for name, value in start.items()}
    common = {name: draw(value.shape, 0.004) for name, value in base.items()}
    every = {}
    for model in MODELS:
        tensors = {name: value if model == "base" else value + common[name] + draw(value.shape, 0.006)
                   for name, value in base.items()}
        every[model] = {name: value.to(torch.bfloat16).contiguous() for name, value in tensors.items()}
        path = directory / model
        path.mkdir()
        config.dtype = torch.bfloat16
        config.architectures = ["LlamaForCausalLM"]
        config.save_pretrained(path)
        save_file(every[model], path / "model.safetensors", {"format": "pt"})
    return every


def merged(directory, name, found):
    text = json.loads(json.dumps(found))
    for model in text["models"]:
        model["model"] = str(directory / model["model"])
    if "base_model" in text:
        text["base_model"] = str(directory / text["base_model"])
    out = directory / f"out-{name}"
    run_merge(MergeConfiguration.model_validate(text), str(out),
              MergeOptions(copy_tokenizer=False, cuda=False, write_model_card=False, quiet=True))
    tensors = {}
    for file in sorted(out.glob("*.safetensors")):
        tensors.update(load_file(file))
    return tensors


def main(target):
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        inputs = write_inputs(directory)
        order = sorted(inputs["base"])
        outputs = {}
        for name, found in RECIPES.items():
            tensors = merged(directory, name, found)
            assert set(order) <= set(tensors), (name, sorted(tensors))
            outputs[name] = torch.cat([tensors[key].to(torch.bfloat16).flatten() for key in order])
            print(name, {str(value.dtype) for value in tensors.values()}, len(outputs[name]))
    save_file({f"{model}/{key}": inputs[model][key] for model in MODELS for key in order},
              target / "inputs.safetensors", {"order": json.dumps(order)})
    save_file(outputs, target / "outputs.safetensors", {"mergekit": "0.1.5", "torch": torch.__version__})
    (target / "recipes.json").write_text(json.dumps(RECIPES, indent=2) + "\n")


main(Path(sys.argv[1]))
