/** The parts of an adapter's file, each brought to the tensor of the model that it changes. */
import type { Checkpoint, Safetensors, SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Values from "../engine/Values.ts"
import type { AdapterConfig } from "./AdapterConfig.ts"
import { advice } from "./AdapterKeys.ts"
import type { Change } from "./Change.ts"
import * as Ties from "../names/Ties.ts"
import * as Factors from "./Factors.ts"
import type { Modules } from "./Modules.ts"
import type { ModuleParts, PartProblem } from "./Parts.ts"
import type { Stored } from "./Stored.ts"

/** An adapter and the model it is added to. */
export interface Input {
  readonly config: AdapterConfig
  readonly model: Checkpoint.Checkpoint
  readonly modules: Modules
  readonly parts: ReadonlyMap<string, ModuleParts>
  readonly stored: Stored
}

/** Every change by the name of its tensor; reads no weights unless a tied embedding is saved whole. */
export const of = Effect.fnUntraced(function* (
  input: Input,
): Effect.fn.Return<ReadonlyMap<string, Change>, PartProblem | SafetensorsError> {
  const changes = new Map<string, Change>()
  const add = (name: string, change: Change) => changes.set(name, { ...changes.get(name), ...change })
  // Of a head that is the embedding, and so has no tensor of its own.
  let head: Values.FloatTensor | undefined
  for (const [module, parts] of input.parts) {
    for (const [leaf, info] of parts.whole) {
      const whole = yield* floats(info)
      if (isTiedHead(input, module)) head = whole
      else add((yield* wholeOf(input, `${module}.${leaf}`, whole)).name, { whole })
    }
    if (parts.factors.size === 0) continue
    const pair = yield* Factors.pairOf(module, parts)
    if (!input.modules.isTarget(module)) {
      return yield* Effect.fail({
        tensor: pair.a.name,
        problem: `is a factor of ${module}, which adapter_config.json leaves out (target_modules, exclude_modules, layers_to_transform): one of the two is wrong`,
      })
    }
    if (isTiedHead(input, module)) return yield* Effect.fail(tiedFactors(pair.a))
    const target = yield* targetOf(input, `${module}.weight`, pair.a)
    if (input.stored.tied && target.name === input.stored.embedding)
      return yield* Effect.fail(tiedFactors(pair.a))
    const transposed = pair.embedding ? true : input.stored.transposed(target.name)
    const place = { module, target, transposed }
    const product = yield* Factors.productOf(place, pair, input.config, input.modules)
    add(target.name, { product })
    const shift = yield* shiftOf(input, module, parts, product.scale)
    if (shift !== undefined) add(shift.name, { shift: shift.added })
  }
  if (changes.size === 0) return yield* Effect.fail({ problem: "its file holds no factors" })
  if (input.stored.tied) yield* checkTied(input, changes, head)
  return changes
})

/** The model's tensor of a name, under whatever name it has there. */
const targetOf = Effect.fnUntraced(function* (
  { model, stored }: Input,
  name: string,
  part: Safetensors.TensorInfo,
): Effect.fn.Return<Safetensors.TensorInfo, PartProblem> {
  const [found, other] = stored.find(name)
  const target = found === undefined ? undefined : model.tensors.get(found)
  const problem =
    target === undefined
      ? `changes ${name}, which the model lacks: another model's adapter?`
      : other === undefined
        ? undefined
        : `may change ${found} or ${other}: the model has several tensors of that name`
  return problem === undefined && target !== undefined
    ? target
    : yield* Effect.fail({ tensor: part.name, problem: problem ?? "" })
})

const floats = (info: Safetensors.TensorInfo): Effect.Effect<Values.FloatTensor, PartProblem> =>
  Values.isFloatTensor(info)
    ? Effect.succeed(info)
    : Effect.fail({ tensor: info.name, problem: `is ${info.dtype}, expected floats` })

const wholeOf = Effect.fnUntraced(function* (input: Input, name: string, whole: Values.FloatTensor) {
  const target = yield* targetOf(input, name, whole)
  if (target.shape.join() === whole.shape.join()) return yield* floats(target)
  const grown = target.name === input.stored.embedding || target.shape[0] !== whole.shape[0]
  return yield* Effect.fail({
    tensor: whole.name,
    problem:
      `has the shape ${Factors.shapeText(whole)}, ${target.name} ${Factors.shapeText(target)}` +
      (grown ? `: where the vocabulary was resized for training, ${advice}` : ""),
  })
})

/** What the bias of lora_B adds to the layer's own; absent where adapter_config.json has none. */
const shiftOf = Effect.fnUntraced(function* (
  input: Input,
  module: string,
  { factors }: ModuleParts,
  scale: number,
) {
  const part = factors.get("factorBias")
  if (part === undefined && !input.config.factorBias) return undefined
  if (part === undefined)
    return yield* Effect.fail({ problem: `lora_bias is true, but the file has no lora_B.bias of ${module}` })
  if (!input.config.factorBias) {
    const problem =
      "is a bias of lora_B, and lora_bias of adapter_config.json is not true: one of the two is wrong"
    return yield* Effect.fail({ tensor: part.name, problem })
  }
  const by = yield* floats(part)
  const target = yield* targetOf(input, `${module}.bias`, part)
  if (target.shape.join() !== by.shape.join()) {
    const problem = `has the shape ${Factors.shapeText(by)}, ${target.name} ${Factors.shapeText(target)}`
    return yield* Effect.fail({ tensor: part.name, problem })
  }
  return { name: target.name, added: { by, scale } }
})

/** A stored copy of the embedding is no tensor of its own, and is in no result. */
const isTiedHead = ({ stored }: Input, module: string) => stored.tied && Ties.isHead(`${module}.weight`)

/** Trained, only one of the two changes; merged into weights that are shared, both do (PEFT warns of it, and does). */
const tiedFactors = ({ name }: Safetensors.TensorInfo): PartProblem => ({
  tensor: name,
  problem:
    "adapts the embedding or the head alone, and the model ties the two to one tensor: no tied weights equal it: " +
    "untie the model first (its head as a tensor of its own, tie_word_embeddings false)",
})

/** A tied model has one tensor for embedding and head: what is saved of the two must be the same. */
const checkTied = Effect.fnUntraced(function* (
  { stored }: Input,
  changes: ReadonlyMap<string, Change>,
  head: Values.FloatTensor | undefined,
): Effect.fn.Return<void, PartProblem | SafetensorsError> {
  const embedding = stored.embedding === undefined ? undefined : changes.get(stored.embedding)?.whole
  if (embedding === undefined && head === undefined) return
  let same = embedding?.shape.join() === head?.shape.join()
  if (same && embedding !== undefined && head !== undefined) {
    yield* Values.forEachPiece([embedding, head], ([a, b]) => {
      same &&= a?.every((value, i) => value === b?.[i]) === true
    })
  }
  if (same) return
  return yield* Effect.fail({
    tensor: (embedding ?? head)?.name ?? "",
    problem:
      embedding !== undefined && head !== undefined
        ? `differs from the saved head, and the model ties the two to one tensor: ${advice}`
        : `is saved without its other half, and the model ties embedding and head to one tensor: ${advice}`,
  })
})
