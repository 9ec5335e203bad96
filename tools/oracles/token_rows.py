"""Rows of embeddings, heads and head biases under a tokenizer rule, as mergekit 0.1.5 writes them.

Two models of one layer (Phi, whose head has a bias) with word-level tokenizers that differ: a swap, tokens that only one
has, and rows past the vocabulary that hold garbage. Writes packages/merge/test/fixtures/token-rows.json: the inputs' rows,
and for every recipe the result's rows by token, with the padding rows apart.

    python tools/oracles/token_rows.py     # torch, transformers, mergekit==0.1.5
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, PhiConfig, PhiForCausalLM

TOKENS = {
    "a": ["<unk>", "<s>", "</s>", "w0", "w1", "w2", "w3", "only a"],
    "b": ["<unk>", "<s>", "</s>", "w0", "w2", "w1", "w3", "only b", "<tool>"],
}
ROWS = {"a": 10, "b": 16}
NAMES = ["model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"]
RULES = {
    "union, padded": {"source": "union", "pad_to_multiple_of": 8},
    "base, padded": {"source": "base", "pad_to_multiple_of": 16},
    "b, padded": {"source": "b", "pad_to_multiple_of": 4},
}


def tokenizer_of(name):
    special = ["<unk>", "<s>", "</s>", "<tool>"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    vocab = {token: at for at, token in enumerate(TOKENS[name])}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocab[token], "content": token, **flags} for token in special if token in vocab],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }


def write(name, directory):
    torch.manual_seed(len(TOKENS[name]))
    config = PhiConfig(
        vocab_size=ROWS[name], hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
        bos_token_id=1, eos_token_id=2, tie_word_embeddings=False, torch_dtype="float32",
    )
    model = PhiForCausalLM(config)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key in NAMES:
                tensor.copy_(torch.randint(-8, 9, tensor.shape) / 8)
                tensor[len(TOKENS[name]) :] = 1000
            else:
                tensor.zero_()
    model.save_pretrained(directory)
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer_of(name)))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    )
    return {key: model.state_dict()[key].tolist() for key in NAMES}


def merge(root, rule, weights):
    models = [{"model": str(root / name), "parameters": {"weight": weight}} for name, weight in weights.items()]
    source = rule["source"]
    tokenizer = {**rule, "source": source if source in ("union", "base") else str(root / source)}
    recipe = {"merge_method": "linear", "base_model": str(root / "a"), "models": models, "tokenizer": tokenizer}
    (root / "recipe.yml").write_text(json.dumps(recipe))
    out = Path(tempfile.mkdtemp(dir=root))
    program = Path(sys.executable).parent / "mergekit-yaml"
    subprocess.run([program, root / "recipe.yml", out], check=True, capture_output=True)
    vocabulary = AutoTokenizer.from_pretrained(out).get_vocab()
    tensors = {key: value for file in out.glob("*.safetensors") for key, value in load_file(file).items()}
    return {
        key: {
            "tokens": {token: tensors[key][at].tolist() for token, at in sorted(vocabulary.items())},
            "padding": tensors[key][len(vocabulary) :].tolist(),
        }
        for key in NAMES
    }


assert version("mergekit") == "0.1.5", version("mergekit")
with tempfile.TemporaryDirectory() as path:
    root = Path(path)
    models = {name: {"rows": write(name, root / name), "tokenizer": tokenizer_of(name)} for name in TOKENS}
    cases = [
        {"rule": rule, "weights": weights, "expected": merge(root, rule, weights)}
        for rule in RULES.values()
        for weights in ({"a": 1, "b": 0}, {"a": 0, "b": 1})
    ]
file = Path(__file__).parents[2] / "packages/merge/test/fixtures/token-rows.json"
file.write_text(json.dumps({"made by": "tools/oracles/token_rows.py, mergekit 0.1.5", "models": models, "cases": cases}) + "\n")
