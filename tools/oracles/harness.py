"""The reference harness (lm-eval 0.4.13) itself, on tasks of its own and a shipped model, for packages/eval/test.

Its own task files of every output type are run on fixtures/micro/math over rows made up here, in the columns that the
data sets have: as they are, with shots drawn from a split, and in conversations. Prompts, log-likelihoods, answers and
metrics go to the fixture that packages/eval/test/Harness.test.ts reads; there Hila's built-in tasks take the same rows.

HF_HUB_OFFLINE=1 python tools/oracles/harness.py > packages/eval/test/fixtures/harness.json

With --beside, `hila eval` runs after it on the harness's own task files (which are read where the harness is installed),
those without a built-in twin as well, and what differs is printed; the exit status is 1 where anything does.

HF_HUB_OFFLINE=1 python tools/oracles/harness.py --beside
"""

import json
import logging
import math
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import datasets
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "fixtures" / "micro" / "math"
SYSTEM = "Be brief."
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
MOST_TOKENS = 24
THINGS = ["stone", "river ", "bread", "Käse", "茶", "old lamp", "moon", "seven cats"]


def rows(count: int, make) -> list[dict]:
    return [make(i, THINGS[i % len(THINGS)], THINGS[(3 * i + 1) % len(THINGS)]) for i in range(count)]


def arc(i, one, other):
    texts = [f"{one} floats", f"{other} sinks", "none of them", "both"][: 3 + i % 2]
    return {"id": str(i), "question": f"What of {one} and {other}?", "choices": {"text": texts, "label": list("ABCD" if i % 3 else "1234")[: len(texts)]}, "answerKey": ("ABC" if i % 3 else "123")[i % 3]}


def hellaswag(i, one, other):
    return {"ind": i, "activity_label": f"Carrying {one}", "ctx_a": f"[header] How to carry [title] A man lifts {one}.  He", "ctx_b": f"then SETS {other}", "ctx": "", "endings": [f"{one} down.", f"breaks [step] it.", "[title] goes home.", "sings  on"], "source_id": "a", "split": "val", "split_type": "x", "label": str(i % 4)}


def truthfulqa(i, one, other):
    said = [f"It is {one}.", f"It is {other}.", "Nobody knows.", "Two."]
    return {"question": f"What is {one}?", "mc1_targets": {"choices": said, "labels": [1, 0, 0, 0]}, "mc2_targets": {"choices": said, "labels": [1, 0, i % 2, 0]}}


def winogrande(i, one, other):
    return {"sentence": f"The {one} hit the {other} because _ was {'heavy' if i % 2 else 'soft'}.", "option1": f"the {one}", "option2": f"the {other}", "answer": str(1 + i % 2)}


def medqa(i, one, other):
    return {"id": str(i), "sent1": f"A patient ate {one}. Which sign?", "sent2": "", "ending0": one, "ending1": other, "ending2": "fever", "ending3": "no sign", "label": i % 4}


def xcopa(i, one, other):
    return {"premise": f"{one}掉了。" if i % 2 else f"The {one} fell. ", "choice1": f"It was {other}.", "choice2": f"Ändern: {one}", "question": ["cause", "effect"][i % 2], "label": i // 2 % 2, "idx": i, "changed": False}


def mmlu(i, one, other):
    return {"question": f" Which holds {one}?\n", "subject": "anatomy", "choices": [one, other, "all", "none"], "answer": i % 4}


def openbookqa(i, one, other):
    return {"id": str(i), "question_stem": f"{one} may become", "choices": {"text": [one, other, "dust", "two things"], "label": list("ABCD")}, "answerKey": "ABCD"[i % 4]}


def piqa(i, one, other):
    return {"goal": f"To warm {one},", "sol1": f"hold {other} near it", "sol2": "leave it", "label": i % 2}


def boolq(i, one, other):
    return {"question": f"is {one} a {other.strip()}", "passage": f"{one} is a thing. It is not {other}.", "idx": i, "label": i % 2}


def sciq(i, one, other):
    return {"support": f" {one} is found near {other}.", "question": f"What is near {other}?", "distractor1": "sand", "distractor2": "sea", "distractor3": other, "correct_answer": one}


def lambada(i, one, other):
    return {"text": f"She saw {one.strip()} and then {other.strip()}, but took only {one.strip()}"}


def asdiv(i, one, other):
    return {"body": f"Mia has {i + 2} {one} and gets {i}.", "question": "How many has she?", "answer": f"{2 * i + 2} (things)", "formula": "", "solution_type": ""}


def wikitext(i, one, other):
    # Windows that repeat each other are taken for one request by the harness from batches of four on, which is wrong.
    return {"page": f" = {one} = \n \n The {one} ( {other} ) weighs 1 @,@ {i}00 kg , and isn 't \" old \" @-@ fashioned . \n \n = = Use = = \n \n It was used s ' often in 190{i} – 191{i} . \n" + "".join(f" It is known by {n} ." for n in range(9 * i))}


def pile(i, one, other):
    return {"text": f"On {one}.\n\nWe study {other} " + "again and " * (20 * i) + "end.\n", "meta": {}}


def gsm8k(i, one, other):
    # The first answers are what the model ends its texts with, so that scores are not all alike.
    total = ["3,332", "2", f"1,0{i + 5}"][i] if i < 3 else i + 5
    return {"question": f"Tom has {i + 3} {one}. He buys 2 more. How many has he?", "answer": f"He has {i + 3} + 2 = <<{i + 3}+2={i + 5}>>{i + 5}.\n#### {total}"}


def mgsm(i, one, other):
    return {"question": f"Tom hat {i + 3} {one} und kauft 2. Wie viele?", "answer": None, "answer_number": [95, 251, 7][i], "equation_solution": None}


def mgsm_shot(i, one, other):
    return {"question": f"Frage: Ida hat {i} {one}. Wie viele?", "answer": f"Schritt-für-Schritt-Antwort: Es sind {i}. Die Antwort ist {i}.", "answer_number": i, "equation_solution": None}


def algebra(i, one, other):
    boxed = ["%d", "\\frac{%d}{2}", "%d\\%%"][i % 3] % (i + 1)
    return {"problem": f"Find $x$ if $x + {i} = {2 * i + 1}$.", "level": "Level 1", "type": "Algebra", "solution": f"We get $x = {i + 1}$, so $\\boxed{{{boxed}}}$."}


def nq(i, one, other):
    return {"question": f"who has the {one}", "answer": [other.strip(), f"the {one}"]}


def trivia(i, one, other):
    return {"question": f"Who has the {one}", "answer": {"aliases": [other.strip(), one.strip()], "value": one}}


# Tasks that Hila has by the same name, and the splits that are read of each.
TWINS = {
    "arc_easy": {"test": rows(5, arc), "train": rows(8, arc)},
    "hellaswag": {"validation": rows(5, hellaswag), "train": rows(6, hellaswag)},
    "truthfulqa_mc1": {"validation": rows(4, truthfulqa)},
    "truthfulqa_mc2": {"validation": rows(4, truthfulqa)},
    "winogrande": {"validation": rows(5, winogrande), "train": rows(6, winogrande)},
    "medqa_4options": {"test": rows(4, medqa), "train": rows(5, medqa)},
    "xcopa_zh": {"test": rows(5, xcopa), "validation": rows(5, xcopa)},
    "mmlu_anatomy": {"test": rows(4, mmlu), "dev": rows(5, mmlu)},
    "openbookqa": {"test": rows(4, openbookqa), "train": rows(5, openbookqa)},
    "piqa": {"validation": rows(4, piqa), "train": rows(5, piqa)},
    "boolq": {"validation": rows(4, boolq), "train": rows(5, boolq)},
    "lambada_openai": {"test": rows(5, lambada)},
    "wikitext": {"test": rows(4, wikitext), "train": rows(2, wikitext)},
    "gsm8k": {"test": rows(3, gsm8k), "train": rows(9, gsm8k)},
    "gsm8k_cot": {"test": rows(3, gsm8k)},
    "mgsm_direct_de": {"test": rows(3, mgsm), "train": rows(4, mgsm_shot)},
    "hendrycks_math_algebra": {"test": rows(3, algebra), "train": rows(4, algebra)},
}
# Task files of the harness that say all in text, so that Hila reads them as they are.
OTHERS = {
    "sciq": {"test": rows(4, sciq), "train": rows(5, sciq), "validation": rows(2, sciq)},
    "lambada_openai_cloze_yaml": {"test": rows(4, lambada)},
    "asdiv": {"validation": rows(4, asdiv)},
    "pile_arxiv": {"train": rows(4, pile)},
    "nq_open": {"validation": rows(4, nq), "train": rows(5, nq)},
    "triviaqa": {"validation": rows(4, trivia), "train": rows(5, trivia)},
}
SETTINGS = {
    "plain": {},
    "shots": {"num_fewshot": 2},
    "turns": {"num_fewshot": 1, "apply_chat_template": True, "fewshot_as_multiturn": True, "system_instruction": SYSTEM},
    "conversation": {"num_fewshot": 1, "apply_chat_template": True, "fewshot_as_multiturn": False},
}
# Where a task has no split to draw shots from, or says 0 of itself, a setting that asks for shots leaves it out.
WITHOUT_SHOTS = {"truthfulqa_mc1", "truthfulqa_mc2", "lambada_openai", "wikitext", "lambada_openai_cloze_yaml", "asdiv", "pile_arxiv"}


def tasks_of(setting: str, names) -> list[str]:
    return [name for name in names if "num_fewshot" not in SETTINGS[setting] or name not in WITHOUT_SHOTS]


def override(place: Path, name: str, splits: dict) -> dict:
    files = {}
    # Kinds of columns are taken from the first split, and only shots have values in all of them.
    for split, made in sorted(splits.items(), key=lambda entry: entry[0] not in ("train", "dev")):
        file = place / f"{name}.{split}.jsonl"
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made))
        files[split] = str(file)
    return {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}


def sample(one: dict) -> dict:
    kept = {"doc_id", "target", "filter", "resps", "filtered_resps", "metrics"} | set(one["metrics"])
    found = {key: one[key] for key in one if key in kept}
    # Requests of generated texts carry what they are asked with; of the others both texts, or the one.
    found["arguments"] = [list(argument) for argument in one["arguments"]]
    return found


def config_of(place: Path, manager, name: str, splits: dict) -> dict:
    return {"include": manager.task_index[name].yaml_path.as_posix(), "task": name, **override(place, name, splits)}


def evaluate(model, manager, place: Path, names: dict, setting: str) -> dict:
    wanted = tasks_of(setting, names)
    files = place / "tasks"
    files.mkdir(exist_ok=True)
    for name in wanted:
        (files / f"{name}.yaml").write_text(json.dumps(config_of(place, manager, name, names[name]), ensure_ascii=False))
    result = lm_eval.simple_evaluate(
        model=model, tasks=wanted, task_manager=TaskManager(include_path=files, include_defaults=False), bootstrap_iters=0, log_samples=True,
        gen_kwargs={"max_gen_toks": MOST_TOKENS}, **SETTINGS[setting],
    )
    return {
        name: {
            "n-shot": result["n-shot"][name],
            "results": {key: value for key, value in result["results"][name].items() if "," in key and "stderr" not in key},
            "samples": [sample(one) for one in result["samples"][name]],
        }
        for name in wanted
    }


def hila(place: Path, model: Path, manager, names: dict, setting: str) -> dict:
    """What `hila eval` gives for the harness's own task files: samples by task, and results."""
    files = []
    for name in tasks_of(setting, names):
        config = config_of(place, manager, name, names[name])
        settled = load_yaml(config["include"], resolve_func=False)
        if settled.get("output_type") == "generate_until":
            config["generation_kwargs"] = {**settled["generation_kwargs"], "max_gen_toks": MOST_TOKENS}
        file = place / f"{name}.{setting}.yaml"
        file.write_text(json.dumps(config, ensure_ascii=False))
        files.append(str(file))
    asked = SETTINGS[setting]
    flags = [
        *(["--num-fewshot", str(asked["num_fewshot"])] if "num_fewshot" in asked else []),
        *(["--chat"] if asked.get("apply_chat_template") else []),
        *(["--multiturn"] if asked.get("fewshot_as_multiturn") else []),
        *(["--system", SYSTEM] if "system_instruction" in asked else []),
    ]
    out = place / f"out-{setting}"
    done = subprocess.run(
        ["npx", "hila", "eval", str(model), "--tasks", ",".join(files), "--bootstrap-iters", "0", "--output", str(out), *flags],
        cwd=ROOT, text=True, capture_output=True,
    )
    if done.returncode != 0:
        sys.exit(f"hila eval ended with {done.returncode}: {done.stderr[-2000:]}")
    results = json.loads(next(out.rglob("results_*.json")).read_text())["results"]
    samples = {
        name: [json.loads(line) for line in next(out.rglob(f"samples_{name}_[0-9]*.jsonl")).read_text().splitlines()]
        for name in tasks_of(setting, names)
    }
    return {name: {"results": results[name], "samples": samples[name]} for name in samples}


def prompts(one: dict) -> list:
    """The texts of a sample's requests, in the form of either side."""
    found = one["arguments"]
    listed = [list(argument.values()) for argument in found.values()] if isinstance(found, dict) else found
    return [[part for part in argument if isinstance(part, str)] for argument in listed]


def flat(value) -> list:
    return [part for each in value for part in flat(each)] if isinstance(value, (list, tuple)) else [value]


def alike(own, other) -> bool:
    """Whether what a file of samples says (numbers and booleans as texts there) is what the harness has."""
    if isinstance(other, bool) or other is None or isinstance(other, str):
        return str(own) == str(other)
    return math.isclose(float(own), float(other), rel_tol=1e-4, abs_tol=1e-4)


def all_alike(own, other) -> bool:
    ours, theirs = flat(own), flat(other)
    return len(ours) == len(theirs) and all(map(alike, ours, theirs))


def differences(theirs: dict, ours: dict) -> list[str]:
    found = []
    for name, expected in theirs.items():
        got = {(one["doc_id"], one["filter"]): one for one in ours[name]["samples"]}
        for one in expected["samples"]:
            own = got.get((one["doc_id"], one["filter"]))
            place = f"{name} document {one['doc_id']} {one['filter']}"
            if own is None:
                found.append(f"{place}: no sample")
                continue
            if prompts(own) != prompts(one):
                found.append(f"{place}: asks {prompts(own)!r} for {prompts(one)!r}")
            if str(own["target"]) != str(one["target"]):
                found.append(f"{place}: target {own['target']!r} for {one['target']!r}")
            for key in ("resps", "filtered_resps", *one["metrics"]):
                if not all_alike(own[key], one[key]):
                    found.append(f"{place}: {key} {own[key]!r} for {one[key]!r}")
        for key, value in expected["results"].items():
            own = ours[name]["results"].get(key)
            if own is None or not alike(own, value):
                found.append(f"{name} {key}: {own} for {value}")
    return found


def main() -> None:
    datasets.disable_progress_bars()
    logging.disable(logging.CRITICAL)
    beside = "--beside" in sys.argv
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        datasets.config.HF_DATASETS_CACHE = place / "cache"
        model_place = place / "model"
        shutil.copytree(MODEL, model_place)
        (model_place / "chat_template.jinja").write_text(TEMPLATE)
        model = HFLM(pretrained=str(model_place), dtype="float32", device="cpu", batch_size=4)
        manager = TaskManager()
        names = {**TWINS, **OTHERS} if beside else TWINS
        runs = {setting: evaluate(model, manager, place, names, setting) for setting in SETTINGS}
        if beside:
            wrong = 0
            for setting, theirs in runs.items():
                textual = {name: rows for name, rows in names.items() if name in OTHERS or readable(manager, name)}
                found = differences({k: v for k, v in theirs.items() if k in textual}, hila(place, model_place, manager, textual, setting))
                wrong += len(found)
                print(f"{setting}: {', '.join(tasks_of(setting, textual))}: {len(found)} differences")
                print("".join(f"  {line}\n" for line in found), end="")
            sys.exit(1 if wrong else 0)
        json.dump({"template": TEMPLATE, "system": SYSTEM, "mostTokens": MOST_TOKENS, "data": TWINS, "runs": runs}, sys.stdout, ensure_ascii=True, indent=0, default=float)
        print()


def readable(manager, name: str) -> bool:
    """Whether a task file and what it includes say all in text, without functions of Python."""
    file = Path(manager.task_index[name].yaml_path)
    while True:
        text = file.read_text()
        if "!function" in text:
            return False
        included = re.search(r"^[\"']?include[\"']?: *[\"']?([^\"'\n]+)", text, re.M)
        if included is None:
            return True
        file = file.parent / included[1]


main()
