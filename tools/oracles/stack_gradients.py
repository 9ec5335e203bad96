"""Weights that mergekit gives each tensor of models with several stacks where a recipe has a gradient over the layers.

    python tools/oracles/stack_gradients.py packages/merge/test/fixtures/stack-gradients.json

Needs mergekit 0.1.5, torch and transformers. Two models of zeros and ones are merged by task_arithmetic with the weights
[0, 1], so that the result's values are the weights. Of the tool's definitions, T5 wants the gated form, Whisper's names tensors that no model has (`model.decoderembed_tokens`), and a model that it has no definition for is
read by its names, as BART here.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

sizes = dict(vocab_size=16, d_model=8, pad_token_id=0, decoder_start_token_id=0)
t5 = transformers.T5Config(
    **sizes, d_kv=4, d_ff=12, num_heads=2, num_layers=2, num_decoder_layers=4, feed_forward_proj="gated-gelu"
)
bart = transformers.BartConfig(
    **sizes,
    encoder_layers=2,
    decoder_layers=4,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=12,
    decoder_ffn_dim=12,
    max_position_embeddings=8,
    bos_token_id=1,
    eos_token_id=2,
)
qwen = transformers.Qwen2_5_VLConfig(
    text_config=dict(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, mrope_section=[1, 1, 0]),
    ),
    vision_config=dict(
        depth=3, hidden_size=8, intermediate_size=12, num_heads=2, out_hidden_size=8, fullatt_block_indexes=[1], patch_size=2
    ),
    image_token_id=3,
    video_token_id=4,
    vision_start_token_id=5,
    vision_end_token_id=6,
)
models = {
    "qwen2_5_vl": transformers.Qwen2_5_VLForConditionalGeneration(qwen),
    "t5": transformers.T5ForConditionalGeneration(t5),
    "bart": transformers.BartForConditionalGeneration(bart),
}
recipe = """merge_method: task_arithmetic
base_model: {base}
models:
  - model: {model}
    parameters: {{weight: [0.0, 1.0]}}
"""
found = {}
for name, model in models.items():
    with tempfile.TemporaryDirectory() as directory:
        paths = {value: Path(directory) / str(value) for value in (0, 1)}
        for value, path in paths.items():
            for tensor in [*model.parameters(), *model.buffers()]:
                tensor.data.fill_(value)
            model.save_pretrained(path)
        text = recipe.format(base=paths[0], model=paths[1])
        (Path(directory) / "recipe.yml").write_text(text)
        out = Path(directory) / "out"
        subprocess.run(
            [Path(sys.executable).parent / "mergekit-yaml", Path(directory) / "recipe.yml", out, "--no-copy-tokenizer"],
            check=True,
        )
        weights = {}
        for file in sorted(out.glob("*.safetensors")):
            for tensor, values in load_file(file).items():
                assert torch.all(values == values.flatten()[0])
                weights[tensor] = [list(values.shape), round(float(values.flatten()[0]), 6)]
        config = json.loads((paths[0] / "config.json").read_text())
        found[name] = {"config": config, "tensors": weights}
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
    file.write("\n")
