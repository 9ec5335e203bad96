"""Adapters as PEFT trains and saves them, and what its merge_and_unload makes of them: packages/merge/test/fixtures/peft.

Run in an environment with torch, transformers and peft (fixtures were made with peft 0.21):

    python tools/oracles/peft_adapters.py packages/merge/test/fixtures/peft && npm run format

The last cases are extracted with `hila extract-lora` from experts that are made here, and merged by PEFT as the others.
Each case has adapter_config.json and adapter_model.safetensors, and merged.safetensors with the tensors that differ from
the base it names. Models are random and tiny; their factors are trained by noise.
"""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import (
    Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config,
    Qwen2ForCausalLM)

warnings.filterwarnings("ignore")


def noisy(model):
    """Every weight a little off its start, so that biases and norms are not all zeros or ones."""
    generator = torch.Generator().manual_seed(7)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.float()


SIZES = {"vocab_size": 12, "hidden_size": 8, "intermediate_size": 10, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1,
         "pad_token_id": None}


def llama(tied=False):
    torch.manual_seed(0)
    return noisy(LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True, tie_word_embeddings=tied)))


def gemma2():
    torch.manual_seed(0)
    return noisy(Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=4)))


def qwen2():
    torch.manual_seed(0)
    return noisy(Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=False)))


def gpt2():
    torch.manual_seed(0)
    return noisy(GPT2LMHeadModel(GPT2Config(
        vocab_size=12, n_embd=8, n_head=2, n_layer=2, n_positions=16, n_inner=10, bos_token_id=0, eos_token_id=1)))


BASES = {"llama": llama, "llama-tied": lambda: llama(True), "gpt2": gpt2, "gemma2": gemma2,
         "qwen2": qwen2}
CONV1D = {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}

# name: base, LoraConfig, keys of adapter_config.json that are changed after saving
CASES = {
    "plain": ("llama", {}, {}),
    "gaussian": ("llama", {"init_lora_weights": "gaussian"}, {}),
    "rslora": ("llama", {"use_rslora": True}, {}),
    "patterns": ("llama", {"rank_pattern": {"q_proj": 1, r"^model.layers.1.self_attn.v_proj": 3},
                           "alpha_pattern": {"layers.0.self_attn.v_proj": 5, r"layers\.\d+\.self_attn\.v_proj": 7}}, {}),
    "patterns-rslora": ("llama", {"rank_pattern": {"v_proj": 3}, "alpha_pattern": {"q_proj": 3}, "use_rslora": True}, {}),
    "layers": ("llama", {"layers_to_transform": [1], "layers_pattern": "layers"}, {}),
    "excluded": ("llama", {"exclude_modules": ["layers.0.self_attn.q_proj"]}, {}),
    "regex": ("llama", {"target_modules": r".*\.layers\.(?P<l>\d+)\.mlp\.(up|down)_proj"}, {}),
    "saved": ("llama", {"modules_to_save": ["lm_head", "input_layernorm"]}, {}),
    "saved-tied": ("llama-tied", {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, {}),
    "bias-all": ("llama", {"bias": "all"}, {}),
    "bias-lora-only": ("llama", {"bias": "lora_only"}, {}),
    "lora-bias": ("llama", {"lora_bias": True}, {}),
    "embedding-and-head": ("llama", {"target_modules": ["embed_tokens", "lm_head", "o_proj"]}, {}),
    "fan-on-linear": ("llama", {"target_modules": ["q_proj", "k_proj"]}, {"fan_in_fan_out": True}),
    "conv1d": ("gpt2", CONV1D, {}),
    "conv1d-flag-false": ("gpt2", CONV1D, {"fan_in_fan_out": False}),
}

# Bases whose experts are extracted to rank 2.
EXTRACTED = ["gpt2", "llama"]


def differing(state, base):
    return {
        name: value.contiguous() for name, value in state.items()
        if name not in base or value.shape != base[name].shape or not torch.equal(value, base[name])
    }


def expert_of(base):
    """A model that differs from its base in every weight, bias and norm."""
    model = BASES[base]()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def save(model, directory):
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink()


def merge(directory, base, edited):
    """Names the adapter's base, and keeps what PEFT makes of the two."""
    (directory / "README.md").unlink(missing_ok=True)
    path = directory / "adapter_config.json"
    saved = {**json.loads(path.read_text()), **edited, "base_model_name_or_path": base}
    if isinstance(saved["target_modules"], list):
        saved["target_modules"].sort()
    path.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")
    merged = PeftModel.from_pretrained(BASES[base](), directory).merge_and_unload()
    state = merged.state_dict()
    if merged.config.tie_word_embeddings:
        state.pop("lm_head.weight")
    changed = differing(state, BASES[base]().state_dict())
    save_file(changed, directory / "merged.safetensors", metadata={"format": "pt"})
    print(f"{directory.name}: {len(changed)} tensors differ from the base")


def main(target):
    shutil.rmtree(target, ignore_errors=True)
    for name, make in BASES.items():
        save(make(), target / "bases" / name)
    for name, (base, config, edited) in CASES.items():
        usual = {"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
        model = get_peft_model(BASES[base](), LoraConfig(**{**usual, **config}))
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        model.save_pretrained(target / name)
        merge(target / name, base, edited)
    for base in EXTRACTED:
        expert = target / "bases" / f"{base}-expert"
        save(expert_of(base), expert)
        adapter = target / f"extracted-{base}"
        subprocess.run(["npx", "hila", "extract-lora", target / "bases" / base, expert, adapter, "--rank", "2"], check=True)
        merge(adapter, base, {})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
