"""Whether PEFT loads an extracted adapter as the model it was extracted from: largest differences of weights and logits.

    python tools/oracles/peft_extracted.py base model adapter [more triples]

`base` and `model` are directories that transformers loads, `adapter` is what `hila extract-lora base model adapter` wrote.
At full rank, differences are those of float32 sums, save for the tensors that the command said it left out.
"""

import sys
import warnings

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

warnings.filterwarnings("ignore")


def main(base, model, adapter):
    expert = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        logits = (adapted(tokens).logits - expert(tokens).logits).abs().max().item()
        merged = adapted.merge_and_unload()
        after = (merged(tokens).logits - expert(tokens).logits).abs().max().item()
    state = merged.state_dict()
    far = {name: (state[name] - value).abs().max().item() for name, value in expert.state_dict().items()}
    worst = max(far, key=far.get)
    print(f"{adapter}: logits {logits:.1e}, merged {after:.1e}; weights at most {far[worst]:.1e} ({worst})")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    for at in range(0, len(arguments), 3):
        main(*arguments[at:at + 3])
