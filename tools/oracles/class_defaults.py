"""What transformers' configuration classes make of keys that a config.json lacks or has as null:
packages/model/test/fixtures/class-defaults.json.

Run in an environment with transformers (the fixture was made with 5.24):

    python tools/oracles/class_defaults.py packages/model/test/fixtures/class-defaults.json

For each model type there are configs of both generations whose every value is not the default. `absent` and `null` have,
for each of their keys (nested ones with dots), the keys of the class that came out with another value than with the whole
config. Keys that every record asks for are not among them, nor are changes that the class refuses.
"""

import json
import sys
import warnings

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")

TOKENS = {"bos_token_id": 7, "eos_token_id": 8}
# 64 heads are a multiple of every class's number of key-value heads.
SIZES = {
    "vocab_size": 300000,
    "hidden_size": 512,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 64,
    "max_position_embeddings": 77,
}
GROUPED = {**SIZES, "num_key_value_heads": 1, "head_dim": 16, "hidden_act": "relu", "attention_bias": True}
ROPE = {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 12345.0}}
OLD_ROPE = {"rope_theta": 12345.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
# Classes with a rope for each kind of layer pass over the older name, "type".
NAMED = {"rope_type": "linear", "factor": 2.0}
RMS = {"rms_norm_eps": 3e-5}
TYPES = ["sliding_attention", "full_attention", "full_attention", "full_attention"]
PARTIAL = {"rope_parameters": {"rope_type": "default", "rope_theta": 12345.0, "partial_rotary_factor": 0.5}}
OLD_PARTIAL = {"rope_theta": 12345.0, "partial_rotary_factor": 0.5, "rope_scaling": None}
BOTH = {
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 12345.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 54321.0},
    }
}


def llama(tied, *more):
    both = {**GROUPED, **TOKENS, **RMS, "tie_word_embeddings": tied}
    for extra in more:
        both.update(extra)
    return both


def generations(config, new=ROPE, old=OLD_ROPE, only_new=()):
    """A config in the newer and in the older form."""
    older = {key: value for key, value in config.items() if key not in ("layer_types", *only_new)}
    return [{**config, **new}, {**older, **old}]


WINDOWS = {"sliding_window": 9, "use_sliding_window": True, "max_window_layers": 2, "layer_types": TYPES}
GEMMA2 = {
    "hidden_activation": "relu",
    "use_bidirectional_attention": False,
    "query_pre_attn_scalar": 25,
    "attn_logit_softcapping": 5.0,
    "final_logit_softcapping": 3.0,
    "sliding_window": 9,
    "layer_types": TYPES,
}
ENCODER = {
    **SIZES,
    "num_labels": 3,
    "hidden_act": "relu",
    "layer_norm_eps": 3e-5,
    "type_vocab_size": 3,
    "pad_token_id": 5,
    "is_decoder": False,
    "position_embedding_type": "absolute",
    "add_cross_attention": False,
}
CONFIGS = {
    "llama": generations(llama(True, {"mlp_bias": True})),
    "mistral": generations(llama(True, {"sliding_window": 9})),
    "qwen2": generations(llama(True, WINDOWS)),
    "qwen3": generations(llama(True, WINDOWS)),
    "gemma": generations(llama(False, {"use_bidirectional_attention": False})),
    "gemma2": generations(llama(False, GEMMA2)),
    "gemma3_text": generations(
        llama(False, GEMMA2, {"sliding_window_pattern": 3}),
        BOTH,
        {"rope_theta": 12345.0, "rope_scaling": NAMED, "rope_local_base_freq": 54321.0},
    ),
    "phi3": generations(
        llama(True, {"sliding_window": 9, "original_max_position_embeddings": 55}), PARTIAL, OLD_PARTIAL
    ),
    "olmo2": generations(llama(True)),
    "granite": generations(
        llama(
            True,
            {
                "mlp_bias": True,
                "embedding_multiplier": 2.0,
                "attention_multiplier": 3.0,
                "residual_multiplier": 4.0,
                "logits_scaling": 5.0,
            },
        )
    ),
    "smollm3": generations(
        llama(
            False,
            {
                "mlp_bias": True,
                "sliding_window": 9,
                "use_sliding_window": True,
                "layer_types": TYPES,
                "no_rope_layers": [0, 1, 1, 1],
                "no_rope_layer_interval": 3,
            },
        ),
        only_new=("no_rope_layers",),
    ),
    "stablelm": generations(
        llama(
            True,
            {
                "layer_norm_eps": 3e-4,
                "use_qkv_bias": True,
                "qk_layernorm": False,
                "use_parallel_residual": True,
            },
        ),
        PARTIAL,
        OLD_PARTIAL,
    ),
    "starcoder2": generations(
        llama(False, {"norm_epsilon": 3e-4, "use_bias": False, "sliding_window": 9})
    ),
    "cohere": generations(
        llama(False, {"layer_norm_eps": 3e-4, "logit_scale": 0.5, "use_qk_norm": False})
    ),
    "gpt2": [
        {
            **TOKENS,
            "vocab_size": 300000,
            "n_embd": 512,
            "n_head": 64,
            "n_layer": 4,
            "n_positions": 77,
            "n_inner": 24,
            "activation_function": "relu",
            "layer_norm_epsilon": 3e-4,
            "scale_attn_weights": False,
            "scale_attn_by_inverse_layer_idx": True,
            "tie_word_embeddings": False,
        }
    ],
    "gpt_neox": generations(
        {
            **SIZES,
            **TOKENS,
            "hidden_act": "relu",
            "layer_norm_eps": 3e-4,
            "use_parallel_residual": False,
            "attention_bias": False,
            "tie_word_embeddings": True,
        },
        PARTIAL,
        {"rotary_pct": 0.5, "rotary_emb_base": 12345, "rope_scaling": None},
    ),
    "bert": [ENCODER],
    "roberta": [ENCODER],
    "xlm-roberta": [ENCODER],
    "distilbert": [
        {
            "vocab_size": 300000,
            "num_labels": 3,
            "dim": 512,
            "hidden_dim": 24,
            "n_layers": 4,
            "n_heads": 64,
            "activation": "relu",
            "max_position_embeddings": 77,
            "pad_token_id": 5,
        }
    ],
    "modernbert": generations(
        {
            **SIZES,
            "num_labels": 3,
            "pad_token_id": 5,
            "hidden_activation": "relu",
            "classifier_activation": "relu",
            "classifier_pooling": "mean",
            "classifier_bias": True,
            "norm_eps": 3e-4,
            "norm_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
            "local_attention": 18,
            "layer_types": TYPES,
            "global_attn_every_n_layers": 4,
        },
        BOTH,
        {
            "global_rope_theta": 12345.0,
            "local_rope_theta": 54321.0,
            "rope_scaling": NAMED,
        },
    ),
}

# What no record reads, and what stands for the same in another form.
PASSED_OVER = {"transformers_version", "_name_or_path", "architectures", "label2id", "_sliding_window_pattern"}
REQUIRED = set("vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads".split()) | set(
    "n_embd n_head n_layer dim hidden_dim n_layers n_heads".split()
)


def resolved(model_type, config):
    made = CONFIG_MAPPING[model_type].from_dict(json.loads(json.dumps(config)))
    return {key: value for key, value in made.to_dict().items() if key not in PASSED_OVER}


def paths(value, before=()):
    for key, inner in value.items():
        yield (*before, key)
        if isinstance(inner, dict):
            yield from paths(inner, (*before, key))


def changed(config, path, null):
    out = json.loads(json.dumps(config))
    at = out
    for key in path[:-1]:
        at = at[key]
    if null:
        at[path[-1]] = None
    else:
        del at[path[-1]]
    return out


def difference(model_type, config, whole, path, null):
    try:
        found = resolved(model_type, changed(config, path, null))
    except Exception:
        return None
    # What the class passes on and no model can compute with.
    if '"rope_theta": null' in json.dumps(found):
        return None
    keys = sorted({*found, *whole})
    return {key: found.get(key) for key in keys if found.get(key) != whole.get(key)}


def entry(model_type, config):
    whole = resolved(model_type, config)
    both = {}
    for name, null in (("absent", False), ("null", True)):
        found = {
            ".".join(path): difference(model_type, config, whole, path, null)
            for path in paths(config)
            if path[0] not in REQUIRED and not (null and len(path) > 1)
        }
        both[name] = {path: value for path, value in found.items() if value is not None}
    return {"config": config, **both}


out = {
    "transformers": transformers.__version__,
    "types": {name: [entry(name, config) for config in configs] for name, configs in CONFIGS.items()},
}
with open(sys.argv[1], "w") as file:
    json.dump(out, file, separators=(",", ":"), sort_keys=True)
    file.write("\n")
