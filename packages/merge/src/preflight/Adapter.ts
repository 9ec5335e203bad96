/**
 * LoRA adapters added to a model on the fly: `model+adapter` in a recipe.
 *
 *     W = W_0 + (alpha / rank) · B A      (alpha / √rank for rank-stabilised ones)
 *
 * Source: Hu et al. 2021 (arXiv 2106.09685), section 4.1; files as PEFT writes them. The sums are in f32 and stay so
 * until the merge is rounded. What is no plain LoRA (DoRA, biases, whole modules, ranks by layer) is refused.
 */
import {
  type Checkpoint,
  CheckpointError,
  Dtype,
  JsonText,
  Safetensors,
  SafetensorsWriter,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import * as Values from "../tools/Values.ts"

const Config = Schema.StructWithRest(
  Schema.Struct({
    r: Schema.Int,
    lora_alpha: Schema.Finite,
    use_rslora: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
    use_dora: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
    fan_in_fan_out: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
    bias: Schema.optionalKey(Schema.NullOr(Schema.String)),
    rank_pattern: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))),
    alpha_pattern: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))),
  }),
  [Schema.Record(Schema.String, Schema.Unknown)],
)

const decode = Schema.decodeUnknownEffect(JsonText.fromText(Config))

interface Pair {
  readonly a: Values.FloatTensor // [rank, in]
  readonly b: Values.FloatTensor // [out, rank]
}

/** An adapter that fits a model: its factors by the tensor they change. */
export interface Adapter {
  readonly path: string
  readonly scale: number
  readonly pairs: ReadonlyMap<string, Pair>
}

/** Opens the adapter in a directory and checks that it fits `model`. */
export const open = Effect.fnUntraced(function* (
  directory: string,
  model: Checkpoint.Checkpoint,
): Effect.fn.Return<Adapter, CheckpointError | SafetensorsError> {
  const path = join(directory, "adapter_config.json")
  const refuse = (problem: string, tensor?: string) =>
    new CheckpointError({
      path: directory,
      ...(tensor === undefined ? {} : { tensor }),
      problem,
      blame: "input",
    })
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: () => refuse("is no adapter: adapter_config.json is missing"),
  })
  const config = yield* Effect.mapError(decode(text), () =>
    refuse("adapter_config.json has no r and lora_alpha: only LoRA adapters can be added"),
  )
  const special =
    config.use_dora === true ||
    config.fan_in_fan_out === true ||
    (config.bias ?? "none") !== "none" ||
    Object.keys({ ...config.rank_pattern, ...config.alpha_pattern }).length > 0
  if (special) {
    return yield* refuse(
      "is no plain LoRA (DoRA, biases, transposed weights, or ranks by layer): merge it into its model first",
    )
  }
  const { tensors } = yield* Safetensors.open(join(directory, "adapter_model.safetensors"))
  const pairs = new Map<string, Pair>()
  for (const [name, a] of tensors) {
    const module = /^(?:base_model\.model\.)?(.+)\.lora_A(?:\.default)?\.weight$/.exec(name)?.[1]
    if (module === undefined) {
      if (/\.lora_B(?:\.default)?\.weight$/.test(name)) continue
      return yield* refuse("is no factor of a linear layer: merge the adapter into its model first", name)
    }
    const b = tensors.get(name.replace("lora_A", "lora_B"))
    const target = `${module}.weight`
    const info = model.tensors.get(target)
    if (info === undefined)
      return yield* refuse(`changes ${target}, which the model lacks: another model's adapter?`, name)
    const fits =
      b?.shape[0] === info.shape[0] &&
      a.shape[1] === info.shape[1] &&
      b?.shape[1] === a.shape[0] &&
      info.shape.length === 2
    if (!fits || b === undefined || !Values.isFloatTensor(a) || !Values.isFloatTensor(b)) {
      return yield* refuse(`does not fit ${target} of shape [${info.shape.join(", ")}]`, name)
    }
    pairs.set(target, { a, b })
  }
  const scale = config.lora_alpha / (config.use_rslora === true ? Math.sqrt(config.r) : config.r)
  return { path: directory, scale, pairs }
})

/** Writes the tensors that the adapter changes, changed, in f32. */
export const write = (path: string, model: Checkpoint.Checkpoint, { pairs, scale }: Adapter) => {
  const targets = [...model.tensors.values()].filter(({ name }) => pairs.has(name))
  return SafetensorsWriter.write(path, {
    tensors: targets.map(({ name, shape }) => ({ name, dtype: "F32" as const, shape })),
    data: Effect.fnUntraced(function* ({ name }, put) {
      const info = model.tensors.get(name)!
      const { a, b } = pairs.get(name)!
      const [rank = 0, columns = 0] = a.shape
      const left = Dtype.toFloat32(yield* Safetensors.read(b), b.dtype)
      const right = Dtype.toFloat32(yield* Safetensors.read(a), a.dtype)
      if (!Values.isFloatTensor(info)) return
      const width = columns * Dtype.bytes(info.dtype)
      const rows = Math.max(1, Math.floor((1 << 20) / columns))
      for (let first = 0; first < info.shape[0]!; first += rows) {
        const count = Math.min(rows, info.shape[0]! - first)
        const range = { start: first * width, length: count * width }
        const values = Dtype.toFloat32(yield* Safetensors.read(info, range), info.dtype)
        for (let row = 0; row < count; row++) {
          for (let k = 0; k < rank; k++) {
            const factor = scale * left[(first + row) * rank + k]!
            for (let j = 0; j < columns; j++)
              values[row * columns + j] = values[row * columns + j]! + factor * right[k * columns + j]!
          }
        }
        yield* put(Dtype.fromFloat32(values, "F32"))
      }
    }),
  })
}
