/**
 * Held-out material as pipeline stages: a model's fit to a domain's, and its drift from the base.
 */
import { Artifact, Source, Stage } from "@hila/core"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Drift from "./Drift.ts"
import { EvalError } from "./EvalError.ts"
import * as HeldOut from "./HeldOut.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** Documents and items that are scored, and checkpointed, together. */
const chunkSize = 50

const chunks = <A>(all: ReadonlyArray<A>, most: number | undefined) => {
  const own = all.slice(0, most)
  return Array.from({ length: Math.ceil(own.length / chunkSize) }, (_, i) => ({
    start: i * chunkSize,
    own: own.slice(i * chunkSize, (i + 1) * chunkSize),
  }))
}

const DocumentFits = Artifact.json("document-fits", Schema.Array(HeldOut.DocumentFit))
const ItemFits = Artifact.json("item-fits", Schema.Array(HeldOut.ItemFit))
const Numbers = Artifact.json("numbers", Schema.Array(Schema.Finite))

/** The held-out material of a file: a JSON object of `documents`, `label` and `continuation`. */
export const heldOutFile = (path: string | URL) => Source.file(path, HeldOut.artifact)

/**
 * A model's fit to a domain's held-out material: bits per byte of its documents, and which of its labels and
 * continuations it gets right. `documents` and `items` take the first so many of each, `maxTokens` the beginning of each
 * document.
 */
export const heldOut = Stage.make({
  name: "held-out",
  version: 1,
  inputs: { model: Checkpoint.artifact, material: HeldOut.artifact },
  params: {
    domain: Schema.String,
    documents: Schema.optionalKey(Count),
    maxTokens: Schema.optionalKey(Positive),
    items: Schema.optionalKey(Count),
  },
  output: HeldOut.fitArtifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ material, model: checkpoint }, { documents, domain, items, maxTokens }) {
    const model = yield* CausalModel.open(checkpoint)
    const reading = maxTokens === undefined ? {} : { maxTokens }
    const fits = yield* Stage.forEach(
      chunks(material.documents, documents),
      ({ own }) => HeldOut.documents(model, own, reading),
      { part: ({ start }) => `documents-${start}`, output: DocumentFits },
    )
    const choices = (kind: "label" | "continuation") => {
      const { [kind]: asked = [] } = material
      return Stage.forEach(chunks(asked, items), ({ own }) => HeldOut.choices(model, own), {
        part: ({ start }) => `${kind}-${start}`,
        output: ItemFits,
      })
    }
    return {
      domain,
      documents: fits.flat(),
      label: (yield* choices("label")).flat(),
      continuation: (yield* choices("continuation")).flat(),
    }
  }, Effect.scoped),
})

/** A model's drift from its base on the documents of neutral material: mean KL(base ‖ model), nats per token. */
export const drift = Stage.make({
  name: "drift",
  version: 1,
  inputs: { base: Checkpoint.artifact, model: Checkpoint.artifact, neutral: HeldOut.artifact },
  params: { documents: Schema.optionalKey(Count), maxTokens: Schema.optionalKey(Positive) },
  output: Drift.artifact,
  environment: [Runtime],
  run: Effect.fn(function* (inputs, { documents, maxTokens }) {
    if (inputs.neutral.documents.length === 0) {
      return yield* new EvalError({
        subject: "drift",
        problem: "there are no documents; give at least one text",
      })
    }
    const base = yield* CausalModel.open(inputs.base)
    const model = yield* CausalModel.open(inputs.model)
    const values = yield* Stage.forEach(
      chunks(inputs.neutral.documents, documents),
      ({ own }) => Drift.measure(base, model, own, maxTokens === undefined ? {} : { maxTokens }),
      { part: ({ start }) => `documents-${start}`, output: Numbers },
    )
    return Drift.ofTexts(values.flat())
  }, Effect.scoped),
})
