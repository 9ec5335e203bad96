/**
 * Mean ablation: what the expert loses with the output of a unit replaced by its mean.
 *
 *     I = Loss(expert with the unit's output at its mean over the golden data) − Loss(expert)
 *
 * As `Ablate`, but the layers behind the unit meet an output they are used to, so that what is measured is what the
 * output says token by token (Wang et al. 2023, arXiv 2211.00593, "Interpretability in the Wild", section 2). The mean is over all tokens of
 * prompts and responses that the model reads, one for the whole set. A key-value head has no output of its own and scores
 * 0. One forward pass per unit and example as in `Ablate`, and one per example for the means.
 */
import { ofUnits } from "./Ablate.ts"
import * as Method from "./Method.ts"
import { concatenate, layerByLayer } from "./Parts.ts"

export const method = Method.make({
  name: "ablateMean",
  version: 1,
  summary: "what the expert loses with the unit's output at its mean",
  sources: [{ text: "Wang et al. 2023", arxiv: "2211.00593", place: "section 2" }],
  cost: (of) => {
    const { forward, whole } = Method.suffixes(of)
    return { forward: forward + 1, backward: 0, whole: whole + 1 }
  },
  parts: (task, models) => layerByLayer(task, (units) => ofUnits(models.averaged, units)),
  combine: concatenate,
})
