"""Samples as the reference harness (lm-eval 0.4.13) writes them to its files, for packages/eval/test.

HF_HUB_OFFLINE=1 python tools/oracles/samples_file.py fixtures/micro/math > packages/eval/test/fixtures/samples-file.json

A task of every output type, several samples of a text and filters that leave several, asked of the model.
Without brier_score, whose probabilities the harness writes as numpy prints them.
"""

import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import datasets
from lm_eval import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

ROWS = [
    {"q": "Q: 87+45\nA:", "a": "132", "n": 132, "right": True, "share": 1.0, "says": ["132", "ein\u00a0x"]},
    {"q": "Q: 1+1\nA:", "a": "2", "n": 2, "right": False, "share": 2.5, "says": ["2"]},
    {"q": "Q: 30-11\nA:", "a": "20", "n": 19, "right": True, "share": None, "says": []},
]
DATA = "dataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\ntest_split: test\n"
TEXT = DATA + "output_type: generate_until\ndoc_to_text: \"{{q}}\"\n"
SHORT = "generation_kwargs: {until: [\"\\n\"], max_gen_toks: 6}\n"
TASKS = {
    "text": TEXT + "doc_to_target: \" {{a}}\"\n" + SHORT,
    "number": TEXT + "doc_to_target: n\ngeneration_kwargs: {max_gen_toks: 6, temperature: 0}\n",
    "several": TEXT + "doc_to_target: \" {{a}}\"\nrepeats: 2\n" + SHORT + "filter_list:\n"
    "  - {name: first, filter: [{function: take_first}]}\n"
    "  - {name: all, filter: [{function: lowercase}]}\n"
    "  - {name: most, filter: [{function: majority_vote}]}\n"
    "  - {name: letters, filter: [{function: take_first}, {function: uppercase}]}\n",
    "references": TEXT + "doc_to_target: says\n" + SHORT + "filter_list: [{name: plain, filter: [{function: remove_whitespace}, {function: take_first}]}]\n",
    "choice": DATA + "output_type: multiple_choice\ndoc_to_text: \"{{q}}\"\ndoc_to_choice: [\"no\", \"yes\"]\ndoc_to_target: right\nmetric_list: [{metric: acc}, {metric: acc_norm}, {metric: f1, average: macro}, {metric: mcc}, {metric: exact_match}]\n",
    "information": DATA + "output_type: multiple_choice\ndoc_to_text: \"{{q}}\"\ndoc_to_choice: \"{{[a, '7']}}\"\ndoc_to_target: \"{{0}}\"\nmetric_list: [{metric: acc_mutual_info}, {metric: acc_bytes}]\n",
    "likelihood": DATA + "output_type: loglikelihood\ndoc_to_text: \"{{q}}\"\ndoc_to_target: \" {{a}}\"\n",
    "rolling": DATA + "output_type: loglikelihood_rolling\ndoc_to_text: \"\"\ndoc_to_target: \"{{q}} {{share}}\"\n",
}


def main() -> None:
    model = os.path.abspath(sys.argv[1])
    datasets.disable_progress_bars()
    logging.disable(logging.CRITICAL)
    samples = {}
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        datasets.config.HF_DATASETS_CACHE = Path(place, "cache")
        rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
        Path("rows.jsonl").write_text(rows)
        for name, text in TASKS.items():
            Path(f"{name}.yaml").write_text(f"task: {name}\n{text}")
        asked = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=1)
        manager = TaskManager(include_path=place, include_defaults=False)
        for name in TASKS:
            tracker = EvaluationTracker(output_path=f"out/{name}")
            found = simple_evaluate(
                model=asked, tasks=[name], task_manager=manager, log_samples=True, bootstrap_iters=0, evaluation_tracker=tracker
            )
            written = found.pop("samples")
            tracker.save_results_aggregated(results=found, samples=written)
            tracker.save_results_samples(task_name=name, samples=written[name])
            (path,) = Path("out", name).glob("*/samples_*.jsonl")
            samples[name] = [json.loads(line) for line in path.read_text().splitlines()]
    tasks = {name: f"task: {name}\n{text}" for name, text in TASKS.items()}
    json.dump({"rows": rows, "tasks": tasks, "samples": samples}, sys.stdout, ensure_ascii=True, indent=0)
    print()


main()
