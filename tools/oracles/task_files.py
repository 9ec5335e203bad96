"""What the reference harness (lm-eval 0.4.13) asks and scores for made-up task files, for packages/eval/test.

The files have the structure of task files that come with the harness, five or more for each kind of behaviour. Prompts
are taken with and without a chat template; texts are scored as if a model had answered what stands here.

HF_HUB_OFFLINE=1 python tools/oracles/task_files.py > packages/eval/test/fixtures/task-files.json
"""

import json
import logging
import os
import random
import sys
import tempfile
from pathlib import Path

import datasets
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
ROWS = [
    {"q": "Is snow cold?", "a": "Yes", "b": "No", "label": 0, "says": ["yes", "it is"], "score": 18.0, "good": True},
    {"q": "Do cats bark? ", "a": "Yes", "b": "No", "label": 1, "says": ["no"], "score": 2.5, "good": False},
    {"q": "Ist Tee heiß", "a": "Ja", "b": "Nein", "label": 0, "says": [], "score": 3.0, "good": True},
    {"q": "茶は熱い？", "a": "はい", "b": "いいえ", "label": 0, "says": ["はい"], "score": -7.25, "good": True},
    {"q": "2 + 2 = 5?", "a": "Yes", "b": "No", "label": 1, "says": ["no", "No."], "score": 0.0, "good": False},
]
DATA = """dataset_path: json
dataset_kwargs: {data_files: {train: train.jsonl, test: rows.jsonl}}
test_split: test
"""
CHOICE = DATA + """output_type: multiple_choice
doc_to_text: "Q: {{q}}\\nA:"
doc_to_choice: "{{[a, b]}}"
doc_to_target: label
"""
TEXT = DATA + """output_type: generate_until
doc_to_text: "Q: {{q}}\\nA:"
doc_to_target: "{{a}}"
"""


def filtering(*steps: str) -> str:
    chains = "\n".join(f"  - {{name: f{i}, filter: [{step}]}}" for i, step in enumerate(steps))
    return TEXT + "filter_list:\n" + chains + "\n"


TAKE = "{function: take_first}"
KINDS: dict[str, list[dict[str, str]]] = {
    "few-shot": [
        {"t.yaml": CHOICE + "num_fewshot: 2\n"},
        {"t.yaml": CHOICE + "num_fewshot: 2\nfewshot_split: train\nfewshot_config: {sampler: first_n}\n"},
        {"t.yaml": CHOICE + "num_fewshot: 1\nfewshot_split: test\ndescription: \"About {{q}}:\\n\\n\"\n"},
        {"t.yaml": CHOICE + "num_fewshot: 2\nfewshot_split: test\nfewshot_config: {sampler: first_n}\ntarget_delimiter: \"\"\nfewshot_delimiter: \"\\n###\\n\"\n"},
        {"t.yaml": TEXT + "num_fewshot: 2\nfewshot_config: {sampler: first_n, samples: [{q: One, a: \"1.0\", n: 18.0}, {q: Two, a: \"\", n: 2}], doc_to_text: \"{{q}}: {{n}} ->\"}\ndescription: Say.\n"},
        {"t.yaml": CHOICE + "training_split: train\nnum_fewshot: 3\n"},
    ],
    "filters": [
        {"t.yaml": filtering("{function: regex, regex_pattern: '(-?[0-9.,]{2,})|(-?[0-9]+)', group_select: -1}, " + TAKE)},
        {"t.yaml": filtering("{function: remove_whitespace}, " + TAKE, "{function: lowercase}, {function: uppercase}, " + TAKE)},
        {"t.yaml": filtering("{function: regex, regex_pattern: '(?i)answer is (\\w+)\\b', fallback: none}, {function: map, mapping_dict: {Yes: yes, 'No': no}, default_value: other}, " + TAKE)},
        {"t.yaml": TEXT + "repeats: 3\nfilter_list: [{name: maj, filter: [{function: majority_vote}, " + TAKE + "]}, {name: two, filter: [{function: take_first_k, k: 2}, {function: majority_vote}, " + TAKE + "]}]\n"},
        {"t.yaml": TEXT + "generation_kwargs: {until: [\"</s>\", \"Q:\", \"<|im_end|>\"], max_gen_toks: 16}\nmetric_list: [{metric: exact_match, ignore_case: \"yes\", ignore_punctuation: true, regexes_to_ignore: [\",\", \"\\\\$\", \"(?s).*#### \"]}]\n"},
    ],
    "several texts": [
        {"t.yaml": TEXT.replace("{{a}}", "{{'no'}}") + "repeats: 3\nfilter_list:\n" + "\n".join(f"  - {{name: {'tags' if 'regex_pos' in step else 'f'}{i}, filter: [{step}]}}" for i, step in enumerate([
            "{function: lowercase}", "{function: take_first_k, k: 2}", "{function: majority_vote}",
            "{function: take_first}, {function: lowercase}", "{function: format_span}", "{function: regex_pos}",
            "{function: regex_pos, fallback: none, regex_pattern: x}, " + TAKE,
        ])) + "\n"},
        {"t.yaml": TEXT.replace('"{{a}}"', '"{{[a, \'#### 18\']}}"') + "filter_list: [{name: all, filter: [{function: remove_whitespace}]}]\n"},
        {"t.yaml": filtering("{function: regex, regex_pattern: '([A-Z]\\w+)'}, " + TAKE + ", {function: map, mapping_dict: {A: 'Yes', Y: 'No'}, default_value: other}, " + TAKE)},
        {"t.yaml": TEXT.replace("{{a}}", "{{'NO!'}}") + "repeats: 3\nfilter_list: [{name: case, filter: [{function: uppercase}]}]\nmetric_list: [{metric: exact_match, ignore_case: true, ignore_punctuation: true}]\n"},
        {"t.yaml": TEXT + "repeats: 3\nfilter_list: [{name: spans, filter: [{function: format_span}, " + TAKE + "]}, {name: tags, filter: [{function: regex_pos}, {function: take_first_k, k: 3}]}]\n"},
    ],
    "generation": [
        {"t.yaml": TEXT},
        {"t.yaml": TEXT + "generation_kwargs: {max_gen_toks: 4}\nfewshot_delimiter: \"\\n###\\n\"\n"},
        {"t.yaml": TEXT + "generation_kwargs: {until: \".\", temperature: 0, max_new_tokens: 8}\n"},
        {"t.yaml": TEXT + "generation_kwargs: {until: [x], temperature: 1e-1, do_sample: null, max_tokens: 8, top_p: 0.5}\n"},
        {"t.yaml": TEXT + "generation_kwargs: {max_completion_tokens: \"12\", max_tokens: 9, max_new_tokens: null, do_sample: false, num_beams: 1}\n"},
    ],
    "references": [
        {"t.yaml": TEXT.replace('"{{a}}"', "says")},
        {"t.yaml": TEXT.replace('"{{a}}"', '"{{says}}"')},
        {"t.yaml": TEXT.replace('"{{a}}"', '"{{says[0] if says}}"') + "target_delimiter: \"\"\n"},
        {"t.yaml": DATA + "output_type: loglikelihood_rolling\ndoc_to_text: \"\"\ndoc_to_target: \"{{q|trim}} {{a}}\"\n"},
        {"t.yaml": DATA + "output_type: loglikelihood\ndoc_to_text: \"{{q.split(' ')[:-1]|join(' ')}}\"\ndoc_to_target: \"{{' ' + q.split(' ')[-1]}}\"\n"},
        {"t.yaml": TEXT.replace("Q: {{q}}\\nA:", "Frage: {{q}}\\nStep-by-Step Answer:") + "generation_kwargs: {until: [\"Frage:\", \"</s>\"], do_sample: false}\n"},
    ],
    "prefixes": [
        {"t.yaml": TEXT + "gen_prefix: \"The answer is\"\n"},
        {"t.yaml": CHOICE + "gen_prefix: \"Answer:\"\nnum_fewshot: 1\n"},
        {"t.yaml": CHOICE + "gen_prefix: \"Answer: \"\n"},
        {"t.yaml": TEXT + "gen_prefix: \"{{a[0]}}\"\nnum_fewshot: 2\nfewshot_config: {sampler: first_n}\ndescription: \"Short.\\n\"\n"},
        {"t.yaml": CHOICE.replace('"Q: {{q}}\\nA:"', '""') + "gen_prefix: \"{{q}}\"\n"},
        {"t.yaml": CHOICE.replace("doc_to_target: label", 'doc_to_target: "{{q}}"').replace('"Q: {{q}}\\nA:"', "label") + "gen_prefix: So\n"},
    ],
    "data": [
        {"t.yaml": TEXT.replace("{{q}}", "{{score}} {{good}}").replace('"{{a}}"', "score")},
        {"t.yaml": CHOICE.replace("doc_to_target: label", "doc_to_target: good")},
        {"t.yaml": CHOICE.replace('"{{[a, b]}}"', "\"['{{a}}', '''{{b}} or \\\"no\\\"''']\"")},
        {"t.yaml": TEXT.replace("{{q}}", "{{q.strip('?').capitalize()}}|{{q|title}}|{{'hot' if label}}|{% for s in says %}{{loop.index}}. {{s}}{{', ' if not loop.last}}{% endfor %}|{{score|int}}|{{says}}")},
        {"t.yaml": CHOICE.replace("data_files: {train: train.jsonl, test: rows.jsonl}", "data_dir: ., data_files: {test: 'row*.jsonl'}").replace("doc_to_target: label", "doc_to_target: \"{{a if label == 0 else b}}\"")},
        {"t.yaml": CHOICE.replace("dataset_path: json", "dataset_path: csv").replace("train: train.jsonl, test: rows.jsonl", "test: table.csv").replace("{{q}}", "{{n}} {{f}} {{t}} {{e}}")},
    ],
    "files": [
        {"_t.yaml": "group: t\ntask: [one, {task: one2, task_alias: x, num_fewshot: 1}]\naggregate_metric_list: {metric: acc, weight_by_size: true}\n", "one.yaml": CHOICE + "task: one\n", "two.yaml": CHOICE + "task: one2\n"},
        {"g.yaml": "group: t\ntask:\n  - group: inner\n    task: [one]\n  - task: new\n    " + CHOICE.replace("\n", "\n    ").rstrip() + "\nmetric_list: null\ntag: null\n", "one.yaml": CHOICE + "task: one\n"},
        {"t.yaml": "include: [_base, _more]\nnum_fewshot: 0x1\nnum_fewshot: 01\ndescription: 'yes'\n", "_base": CHOICE + "description: base\n", "_more": "fewshot_config: {sampler: first_n}\ndescription: more\n"},
        {"_a.yaml": CHOICE + "task: one\ntag: t\n", "_b.yaml": "include: _a.yaml\ntask: two\ntag: [t, other]\ndoc_to_choice: [no, \"no\"]\ndoc_to_choice: [nope, \"no\"]\n", "broken.yaml": "task: [\n"},
        {"t.yaml": "base: &base {sampler: first_n}\n" + CHOICE + "fewshot_config: {<<: *base, split: train}\nnum_fewshot: 1_0\nnum_fewshot: 2\nmetric_list: [{metric: acc, higher_is_better: 1, weight_by_size: \"yes\"}]\n"},
    ],
}
KINDS["files"][4]["t.yaml"] = KINDS["files"][4]["t.yaml"].replace("base: &base {sampler: first_n}\n", "metadata: &base {sampler: first_n}\n")
SAID = [
    "Answer is Yes, 1,024.", " yes\n", "#### 18", "no", "the answer is No",
    "Person: Ann, Bo $$ places:  Nairobi\nDATE : None, Hyper: x loc: Kenya$$$", "[('The', 'DET'), ('it''s', 'X'), ('fox', 'NOUN')]",
]


def write(directory: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        whole = not name.endswith(".yaml") or "task:" in text or "group:" in text
        named = text if whole else text + "task: t\n"
        Path(directory, name).write_text(named)


def leaves(found) -> list:
    if hasattr(found, "children"):
        found = found.children
    if isinstance(found, dict):
        return [leaf for value in found.values() for leaf in leaves(value)]
    if isinstance(found, (list, tuple)):
        return [leaf for value in found for leaf in leaves(value)]
    return [found]


def main() -> None:
    datasets.disable_progress_bars()
    logging.disable(logging.CRITICAL)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"<s>": 0}, "<s>")), bos_token="<s>")
    tokenizer.chat_template = TEMPLATE

    def chat(history, add_generation_prompt=True):
        return tokenizer.apply_chat_template(
            history, tokenize=False, add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    data = {
        "rows.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS),
        "train.jsonl": "".join(json.dumps({**row, "q": f"Train {i}: {row['q']}"}, ensure_ascii=False) + "\n" for i, row in enumerate(ROWS)),
        "table.csv": "q,n,f,t,e,a,b,label\nx,1,1.0,True,,yes,no,1\ny,2,2.5,False,NA,yes,no,0\n",
    }
    found = []
    for kind, cases in KINDS.items():
        for files in cases:
            with tempfile.TemporaryDirectory() as place:
                os.chdir(place)
                write(place, data)
                write(place, files)
                os.environ["HF_DATASETS_CACHE"] = place
                datasets.config.HF_DATASETS_CACHE = Path(place, "cache")
                shown = {name: Path(place, name).read_text() for name in files}
                runs = []
                for conversation in (None, {"multiturn": False}, {"multiturn": True}):
                    loaded = TaskManager(include_path=place, include_defaults=False).load(["t"])
                    tasks = []
                    for name, task in loaded["tasks"].items():
                        task.set_fewshot_seed(seed=1234)
                        task.build_all_requests(
                            system_instruction=None if conversation is None else "Be brief.",
                            apply_chat_template=conversation is not None,
                            fewshot_as_multiturn=bool(conversation and conversation["multiturn"]),
                            chat_template=chat if conversation is not None else None,
                        )
                        entry = {"task": name, "requests": [list(map(str, i.args[:2])) if task.OUTPUT_TYPE != "generate_until" else [i.args[0]] for i in task.instances]}
                        if task.OUTPUT_TYPE == "generate_until" and conversation is None:
                            entry["until"] = task.instances[0].args[1].get("until")
                            entry["settings"] = task.instances[0].args[1]
                            entry["most"] = normalize_gen_kwargs(entry["settings"])["max_gen_toks"]
                            for at, instance in enumerate(task.instances):
                                instance.resps = [SAID[(instance.doc_id + k) % len(SAID)] for k in range(instance.repeats)]
                            task.apply_filters()
                            # Lists of tags are for a Python function to score.
                            entry["scores"] = {
                                key: [task.process_results(i.doc, [i.filtered_resps[key]]) for i in task.instances]
                                for key in task.instances[0].filtered_resps
                                if not key.startswith("tags")
                            }
                            entry["filtered"] = {key: [i.filtered_resps[key] for i in task.instances] for key in task.instances[0].filtered_resps}
                        tasks.append(entry)
                    runs.append({"conversation": conversation, "tasks": tasks})
                found.append({"kind": kind, "files": shown, "runs": runs})
    json.dump({"template": TEMPLATE, "data": data, "said": SAID, "cases": found}, sys.stdout, ensure_ascii=True, indent=0, default=float)
    print()


main()
