"""Pages of made-up WikiText joined up by the reference harness (lm-eval 0.4.13), for packages/eval/test.

python tools/oracles/wikitext.py > packages/eval/test/fixtures/wikitext.json
"""

import json
import random
import sys

from lm_eval.tasks.wikitext import preprocess_wikitext

PIECES = ["word", "It", "'s", "s '", "@-@", "@,@", "@.@", ":", ";", ".", "!", "?", ",", "(", ")", "[", "]", "{", "}",
          '"', "'", "= = = =", "= = =", "= =", "=", "°", "\n", "\n\n", " ", "N", "/' 7/", "1990", "é", "\u00a0", "\x85", "\ufeff", "$1"]


def main() -> None:
    draw = random.Random(7)
    pages = [" ".join(draw.choice(PIECES) for _ in range(draw.randrange(1, 40))) for _ in range(60)]
    rows = []
    for page in pages:
        counts = preprocess_wikitext.process_results({"page": page}, [-1.0])
        rows.append({
            "page": page,
            "text": preprocess_wikitext.wikitext_detokenizer({"page": page}),
            "words": counts["word_perplexity"][1],
            "bytes": counts["byte_perplexity"][1],
        })
    json.dump(rows, sys.stdout, ensure_ascii=True, indent=0)
    print()


main()
