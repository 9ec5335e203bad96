/**
 * Makes the tensors that a merge reads but no file has: adapters added, vocabularies in the result's order; and fetches
 * what lies on the Hub. Nothing of this happens before pre-flight has passed.
 *
 * Made tensors go into files of a scratch directory, so that the engine streams them like any others.
 */
import { entry } from "@hila/core/Lookup"
import {
  type Checkpoint,
  type CheckpointError,
  Hub,
  type HubError,
  Safetensors,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { MergeError, RecipeError } from "../MergeError.ts"
import { elementsOf } from "../methods/Definition.ts"
import * as RowFile from "../tokenizers/RowFile.ts"
import * as Rows from "../tokenizers/Rows.ts"
import * as Vocabulary from "../tokenizers/Vocabulary.ts"
import * as Values from "../engine/Values.ts"
import * as AdapterFile from "../adapters/AdapterFile.ts"
import * as Plan from "./Plan.ts"
import type { Prepared } from "./Prepared.ts"
import * as View from "../names/View.ts"

/** A prepared merge whose tensors all lie in files; `scratch` is a directory that outlives the merge. */
export const realise = Effect.fnUntraced(function* (
  prepared: Prepared,
  scratch: string,
): Effect.fn.Return<Prepared, RecipeError | MergeError | HubError | CheckpointError | SafetensorsError> {
  const { alignment } = prepared
  const originals = [...prepared.models]
  if (
    alignment === undefined &&
    originals.every(([, { adapter, hub }]) => adapter === undefined && hub === undefined)
  ) {
    return prepared
  }
  const models = new Map<string, Plan.Model>()
  for (const [index, [text, model]] of originals.entries()) {
    const fetched =
      model.hub === undefined
        ? model.original
        : View.apply(yield* Hub.open(model.hub), model.names ?? new Map())
    const file = join(scratch, `adapter-${index}.safetensors`)
    if (model.adapter !== undefined) yield* AdapterFile.write(file, fetched, model.adapter)
    models.set(text, {
      ...model,
      original: fetched,
      checkpoint: model.adapter === undefined ? fetched : yield* overlay(fetched, file),
    })
  }
  if (alignment !== undefined) {
    const order = [...alignment.models.keys()]
    const all = order.map((text) => entry(models, text).checkpoint)
    for (const [index, text] of order.entries()) {
      const rows = entry(alignment.models, text)
      const { checkpoint } = entry(models, text)
      const tensors = [...Vocabulary.of(checkpoint).tensors.values()]
        .filter((own) => !Rows.isIdentity(rows, index, own.rows))
        .filter((own): own is RowFile.FloatRows => Values.isFloatTensor(own.info))
      if (tensors.length === 0) continue
      const file = join(scratch, `vocabulary-${index}.safetensors`)
      yield* RowFile.write(file, tensors, { rows, model: index, all })
      models.set(text, { ...entry(models, text), checkpoint: yield* overlay(checkpoint, file) })
    }
  }
  const input = { ...prepared, models }
  return { ...input, like: Plan.likeOf(input), tensors: yield* Plan.make(input) }
})

/** A checkpoint with the tensors of a file in place of its own. */
const overlay = (checkpoint: Checkpoint.Checkpoint, file: string) =>
  Effect.map(Safetensors.open(file), ({ tensors }): Checkpoint.Checkpoint => ({
    ...checkpoint,
    tensors: new Map([...checkpoint.tensors].map(([name, info]) => [name, tensors.get(name) ?? info])),
  }))

/** Bytes of the tensors that are made, on the disk of the result until it is done. */
export const bytesOf = ({ alignment, models }: Prepared): number => {
  let bytes = 0
  for (const { adapter, checkpoint, original } of models.values()) {
    const ofTokens = alignment === undefined ? undefined : Vocabulary.of(original).tensors
    for (const info of checkpoint.tensors.values()) {
      const changed = adapter?.changes.has(info.name) === true
      if (changed || ofTokens?.has(info.name) === true) bytes += 4 * elementsOf(info.shape)
    }
  }
  return bytes
}
