/**
 * Heads as pipeline stages: trained over features, every part of the training kept as it is finished.
 */
import { Stage } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as Features from "./Features.ts"
import * as Head from "./heads/Head.ts"
import * as HeadFit from "./heads/HeadFit.ts"
import * as HeadTables from "./heads/HeadTables.ts"
import * as HeadTraining from "./heads/HeadTraining.ts"
import * as LabelledText from "./LabelledText.ts"

/**
 * Class logits for an expert that has none of its own, by a linear probe. The probe belongs to the table; a bundle has
 * none, so pack such an expert with a fusion of features.
 */
export const probe = Stage.make({
  name: "probe",
  version: 1,
  inputs: { features: Features.artifact, texts: LabelledText.divided },
  params: { l2: Schema.Array(Schema.Finite), ...HeadTraining.Options.fields },
  output: Features.artifact,
  run: Effect.fn(function* ({ features, texts }, { l2, ...options }) {
    const table = yield* Features.read(features)
    const logits = yield* HeadFit.probe(table, texts, l2, options)
    const path = join(yield* Stage.scratch, "probed.safetensors")
    return yield* Features.withLogits(path, table, texts.classes.length, logits)
  }, Effect.scoped),
})

/**
 * A gate and fusion over experts: stages S2 to S4, each kept when it is finished. Regressions are trained once for each
 * penalty of `l2`, and the best on the validation rows is kept.
 */
export const trainHead = Stage.make({
  name: "train-head",
  version: 2,
  inputs: {
    features: Stage.each(Features.artifact),
    queries: Features.artifact,
    texts: LabelledText.divided,
  },
  params: HeadFit.params,
  output: Head.artifact,
  run: Effect.fn(function* ({ features, queries, texts }, params) {
    const data = yield* HeadTables.load(features, queries, texts)
    const scratch = yield* Stage.scratch
    const kept = <E, R>(part: string, make: Effect.Effect<Head.Head, E, R>) =>
      Effect.flatMap(
        Stage.part(
          part,
          Head.artifact,
          Effect.flatMap(make, (head) => Head.write(join(scratch, `${part}.safetensors`), head)),
        ),
        Head.read,
      )
    const { head } = yield* HeadFit.fit(data, texts.classes.length, params, kept)
    return yield* Head.write(join(scratch, "head.safetensors"), head)
  }, Effect.scoped),
})
