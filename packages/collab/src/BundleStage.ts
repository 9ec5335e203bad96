/**
 * Packing a collaboration as a pipeline stage.
 */
import { Stage } from "@hila/core"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as Cascade from "./Cascade.ts"
import * as Expert from "./Expert.ts"
import * as Head from "./heads/Head.ts"
import * as LabelledText from "./LabelledText.ts"
import * as Bundle from "./serving/Bundle.ts"

/** A directory that `hila serve collab` answers from; with a cascade where one is given. */
export const bundle = Stage.make({
  name: "bundle-collab",
  version: 1,
  inputs: {
    models: Stage.each(Checkpoint.artifact),
    texts: LabelledText.divided,
    head: Head.artifact,
    cascades: Stage.each(Cascade.artifact),
  },
  params: {
    specs: Schema.Array(Expert.Spec),
    topK: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  },
  output: Bundle.artifact,
  run: Effect.fn(function* ({ cascades: [cascade], head, models, texts }, { specs, topK }) {
    const directory = join(yield* Stage.scratch, "bundle")
    const { files } = yield* Bundle.write(directory, {
      models,
      specs,
      classes: texts.classes,
      head,
      ...(cascade === undefined ? {} : { cascade }),
      ...(topK === undefined ? {} : { topK }),
    })
    const names = ["bundle.json", ...Object.keys(files)]
    return { files: Object.fromEntries(names.map((name) => [name, join(directory, name)])) }
  }),
})
