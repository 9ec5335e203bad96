"""Tiny random models of every architecture with the numbers transformers computes from them, for packages/model/test.

Two layers of width 32 over 40 tokens, weights in bf16, computed in float32: logits, hidden states after the last norm, the
mean loss over both rows, and the greedy continuation of a prompt. Encoders: logits of the classes, with padding in the
second row. Everything below 1 MB together, so that a plain clone proves the numbers.

python tools/oracles/architectures.py fixtures/oracles/architectures
"""

import json
import shutil
import sys
import zlib
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

LENGTH = 12
ROWS = 2
PROMPT = 6
CONTINUED = 8
SIZES = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
ENCODER = {"num_labels": 3, "num_key_value_heads": None}
ROPE = {"rope_theta": 10000.0, "rope_type": "default"}
# Settings are those that make an architecture what it is: names and meanings are the configs' own.
MODELS = {
    "bert": ("Bert", ENCODER),
    "cohere": ("Cohere", {"logit_scale": 0.25}),
    "distilbert": ("DistilBert", {**ENCODER, "dim": 32, "hidden_dim": 24, "n_heads": 4, "n_layers": 2}),
    "gemma": ("Gemma", {"head_dim": 12}),
    "gemma2": ("Gemma2", {"head_dim": 12, "query_pre_attn_scalar": 20, "sliding_window": 4, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3", {"head_dim": 12, "query_pre_attn_scalar": 20, "sliding_window": 4, "sliding_window_pattern": 2, "layer_types": ["sliding_attention", "full_attention"]}),
    "gpt-neox": ("GPTNeoX", {"use_parallel_residual": True, "rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}}),
    "gpt2": ("GPT2", {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 32, "n_inner": 24}),
    "granite": ("Granite", {"attention_multiplier": 0.2, "embedding_multiplier": 2.0, "logits_scaling": 4.0, "residual_multiplier": 0.5}),
    "llama": ("Llama", {}),
    "llama-headdim": ("Llama", {"head_dim": 12}),
    "llama-mha-bias": ("Llama", {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True}),
    "llama-rope-linear": ("Llama", {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True}),
    "llama3-rope": ("Llama", {"rope_parameters": {"rope_theta": 500.0, "rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 16}}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral-window": ("Mistral", {"sliding_window": 4}),
    "modernbert": ("ModernBert", {**ENCODER, "local_attention": 6, "layer_types": ["full_attention", "sliding_attention"], "cls_token_id": 1, "sep_token_id": 2}),
    "olmo2": ("Olmo2", {}),
    "phi3": ("Phi3", {}),
    "qwen2": ("Qwen2", {}),
    "qwen2-rope-yarn": ("Qwen2", {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}}),
    "qwen3": ("Qwen3", {"head_dim": 12}),
    "roberta": ("Roberta", {**ENCODER, "pad_token_id": 1, "bos_token_id": 0}),
    "smollm3": ("SmolLM3", {"no_rope_layers": [1, 0]}),
    "stablelm": ("StableLm", {"rope_parameters": {**ROPE, "partial_rotary_factor": 0.25}}),
    "starcoder2": ("Starcoder2", {"use_bias": True}),
    "xlm-roberta": ("XLMRoberta", {**ENCODER, "pad_token_id": 1, "bos_token_id": 0}),
}


def weights(model, generator) -> None:
    """Values large enough that every part shows in the logits, rounded to bf16."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            scale = 0.6 if "embed" in name or "wte" in name or "wpe" in name else 1.6 / parameter.shape[-1] ** 0.5
            value = noise * scale
        elif name.endswith("bias"):
            value = noise * 0.3
        else:
            # Norms: around what they start with, 1 or (where 1 is added) 0.
            value = parameter.detach() + noise * 0.2
        parameter.data = value.to(torch.bfloat16).float()


def make(name: str, directory: Path) -> None:
    family, settings = MODELS[name]
    chosen = {key: value for key, value in {**SIZES, **settings}.items() if value is not None or key == "sliding_window"}
    stem = {"Gemma3": "Gemma3Text"}.get(family, family)
    config = getattr(transformers, f"{stem}Config")(**chosen)
    encoder = "num_labels" in settings
    config._attn_implementation = "eager"
    kind = getattr(transformers, f"{family}ForSequenceClassification" if encoder else {"GPT2": "GPT2LMHeadModel"}.get(family, f"{family}ForCausalLM"))
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    model = kind(config).eval()
    weights(model, generator)
    model.tie_weights()
    for part in model.modules():
        if isinstance(part, torch.nn.Embedding) and part.padding_idx is not None and not encoder:
            part.weight.data[part.padding_idx] = 0
    ids = torch.randint(3, SIZES["vocab_size"], (ROWS, LENGTH), generator=generator)
    mask = torch.ones_like(ids)
    if encoder:
        mask[1, LENGTH - 4 :] = 0
        ids[1, LENGTH - 4 :] = config.pad_token_id
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        body = getattr(model, model.base_model_prefix)
        hidden = body(input_ids=ids, attention_mask=mask).last_hidden_state
        told: dict = {"class": kind.__name__, "transformers": transformers.__version__}
        if not encoder:
            told["mean_nll"] = float(model(input_ids=ids, labels=ids).loss)
            tokens = ids[:1, :PROMPT]
            while tokens.shape[1] < PROMPT + CONTINUED and (tokens.shape[1] == PROMPT or tokens[0, -1] != config.eos_token_id):
                tokens = torch.cat([tokens, model(input_ids=tokens).logits[:, -1:].argmax(-1)], 1)
            told["greedy"] = {"prompt": ids[0, :PROMPT].tolist(), "tokens": tokens[0, PROMPT:].tolist()}
    shutil.rmtree(directory, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(directory)
    save_file({"input_ids": ids, "attention_mask": mask, "logits": out.logits.contiguous(), "last_hidden_state": hidden.contiguous()}, directory / "expected.safetensors")
    (directory / "expected.json").write_text(json.dumps(told) + "\n")


target = Path(sys.argv[1])
for name in MODELS:
    make(name, target / name)
