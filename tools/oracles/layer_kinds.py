"""Kinds of layers as transformers' configuration classes derive them where a config has no list of them.

    python tools/oracles/layer_kinds.py packages/merge/test/fixtures/layer-kinds.json

Needs transformers (5.24 made the fixture). Each entry has a section of a config, without the list, and the lists that
its class makes of it at three depths.
"""

import json
import sys

from transformers import AutoConfig

window = {"sliding_window": 8}
windowed = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 3}
sections = [
    {"model_type": "gemma2"},
    {"model_type": "gemma3_text"},
    {"model_type": "gemma3_text", "sliding_window_pattern": 4},
    {"model_type": "gemma3n_text"},
    {"model_type": "cohere2"},
    {"model_type": "cohere2", "sliding_window_pattern": 3},
    {"model_type": "exaone4", **window},
    {"model_type": "exaone4", "sliding_window_pattern": 5, **window},
    {"model_type": "olmo3"},
    {"model_type": "gpt_oss"},
    {"model_type": "minimax"},
    {"model_type": "qwen2", **windowed},
    {"model_type": "qwen2", "sliding_window": 8, "max_window_layers": 3},
    {"model_type": "qwen2_vl_text", **windowed},
    {"model_type": "qwen2_5_vl_text", **windowed},
    {"model_type": "qwen3", **windowed},
    {"model_type": "qwen2_moe", **windowed},
    {"model_type": "qwen3_next"},
    {"model_type": "qwen3_next", "full_attention_interval": 3},
    {"model_type": "qwen3_5_text"},
    {"model_type": "qwen3_5_moe_text"},
    {"model_type": "modernbert"},
    {"model_type": "modernbert", "global_attn_every_n_layers": 2},
    {"model_type": "llama4_text"},
    {"model_type": "llama4_text", "no_rope_layer_interval": 3, "interleave_moe_layer_step": 2},
    {"model_type": "smollm3", "no_rope_layer_interval": 3},
]
depths = [3, 6, 8]
keys = ["layer_types", "no_rope_layers", "moe_layers"]


def lists(section, depth):
    config = AutoConfig.for_model(**section, num_hidden_layers=depth)
    return {key: list(getattr(config, key)) for key in keys if getattr(config, key, None) is not None}


entries = [
    {"section": section, "depth": depth, "lists": lists(section, depth)} for section in sections for depth in depths
]
with open(sys.argv[1], "w") as file:
    json.dump(entries, file, indent=1)
    file.write("\n")
