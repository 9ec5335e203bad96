/** An adapter_config.json as PEFT writes it, with every key read or refused. */
import { entryOr } from "@hila/core/Lookup"
import { JsonText } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Keys from "./AdapterKeys.ts"

/** Ranks or alphas of the layers that a pattern matches; the first that matches counts. */
export type Patterns = ReadonlyArray<readonly [pattern: string, value: number]>

/** What an adapter_config.json says about the weights. */
export interface AdapterConfig {
  readonly rank: number
  readonly alpha: number
  readonly ranks: Patterns
  readonly alphas: Patterns
  /** Whether the factor is alpha / √rank instead of alpha / rank (Kalajdzievski 2023, arXiv 2312.03732). */
  readonly stabilised: boolean
  /** Modules by the end of their name, or one regular expression; absent: any. */
  readonly targets: string | ReadonlyArray<string> | undefined
  readonly excluded: string | ReadonlyArray<string>
  /** Layers whose modules are adapted; absent: every one. */
  readonly layers: ReadonlyArray<number> | undefined
  readonly layerPatterns: ReadonlyArray<string>
  /** Modules that are saved whole. */
  readonly saved: ReadonlyArray<string>
  readonly biases: "none" | "all" | "lora_only"
  /** Whether lora_B has a bias, which is added to the layer's. */
  readonly factorBias: boolean
  /** Whether the writer believed that layers are stored [in, out]. */
  readonly transposed: boolean
  /** What a reader may want to know: keys that are passed over. */
  readonly notes: ReadonlyArray<string>
}

type Raw = Readonly<Record<string, unknown>>

/** Reads the text of an adapter_config.json; fails with what is wrong, in one line. */
export const parse = Effect.fnUntraced(function* (text: string): Effect.fn.Return<AdapterConfig, string> {
  const value = yield* Effect.mapError(
    Effect.fromResult(JsonText.read(text)),
    (problem) => `is no JSON: ${problem}`,
  )
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return yield* Effect.fail("is no object with the keys of an adapter")
  const raw: Raw = { ...value }
  const type = Keys.typeProblem(raw["peft_type"])
  if (type !== undefined) return yield* Effect.fail(type)
  const notes = yield* refuseUnread(raw)
  const init = Keys.initProblem(raw["init_lora_weights"])
  if (init !== undefined) return yield* Effect.fail(init)
  const biases = raw["bias"] ?? "none"
  if (biases !== "none" && biases !== "all" && biases !== "lora_only")
    return yield* Effect.fail(`bias is ${Keys.shown(biases)}, expected "none", "all" or "lora_only"`)
  return {
    rank: yield* rankOf("r", raw["r"]),
    alpha: yield* finite("lora_alpha", raw["lora_alpha"]),
    ranks: yield* patterns(raw, "rank_pattern", rankOf),
    alphas: yield* patterns(raw, "alpha_pattern", finite),
    stabilised: yield* flag(raw, "use_rslora"),
    targets: targetsOf(yield* names(raw, "target_modules")),
    excluded: (yield* names(raw, "exclude_modules")) ?? [],
    layers: yield* layersOf(raw["layers_to_transform"]),
    layerPatterns: [(yield* names(raw, "layers_pattern")) ?? []].flat(),
    saved: [(yield* names(raw, "modules_to_save")) ?? []].flat(),
    biases,
    factorBias: yield* flag(raw, "lora_bias"),
    transposed: yield* flag(raw, "fan_in_fan_out"),
    notes,
  }
})

/** Notes on keys without effect; fails at the first that would have one. */
const refuseUnread = Effect.fnUntraced(function* (raw: Raw): Effect.fn.Return<ReadonlyArray<string>, string> {
  const notes: Array<string> = []
  for (const [key, value] of Object.entries(raw)) {
    const use = Object.hasOwn(Keys.uses, key) ? Keys.uses[key] : undefined
    if (typeof use === "string" || (use !== undefined && Keys.asksNothing(value))) continue
    if (use !== undefined) return yield* Effect.fail(`${key} is ${Keys.shown(value)}: ${use.refused}`)
    if (!Keys.saysNothing(value)) {
      return yield* Effect.fail(
        `has the key ${key}, ${Keys.shown(value)}, which is not known here: ${Keys.advice}, or remove the key if it leaves the weights alone`,
      )
    }
    notes.push(`adapter_config.json has the key ${key}, which is not known here and says nothing`)
  }
  return notes
})

const rankOf = (key: string, value: unknown): Effect.Effect<number, string> =>
  typeof value === "number" && Number.isInteger(value) && value >= 1
    ? Effect.succeed(value)
    : Effect.fail(`${key} is ${Keys.shown(value)}, expected a whole number of at least 1`)

const finite = (key: string, value: unknown): Effect.Effect<number, string> =>
  typeof value === "number" && Number.isFinite(value)
    ? Effect.succeed(value)
    : Effect.fail(`${key} is ${Keys.shown(value)}, expected a finite number`)

const flag = (raw: Raw, key: string): Effect.Effect<boolean, string> => {
  const value = entryOr(raw, key, false)
  return typeof value === "boolean"
    ? Effect.succeed(value)
    : Effect.fail(`${key} is ${Keys.shown(value)}, expected true or false`)
}

const patterns = (
  raw: Raw,
  key: string,
  check: (key: string, value: unknown) => Effect.Effect<number, string>,
): Effect.Effect<Patterns, string> => {
  const value = entryOr(raw, key, {})
  if (typeof value !== "object" || Array.isArray(value))
    return Effect.fail(`${key} is ${Keys.shown(value)}, expected an object of names and numbers`)
  return Effect.forEach(Object.entries(value), ([pattern, number]) =>
    Effect.map(check(`${key}.${pattern}`, number), (checked) => [pattern, checked] as const),
  )
}

/** A name, a list of names, or nothing. */
const names = (raw: Raw, key: string): Effect.Effect<string | ReadonlyArray<string> | undefined, string> => {
  const value = raw[key] ?? undefined
  if (value === undefined || typeof value === "string") return Effect.succeed(value)
  return Array.isArray(value) && value.every((name): name is string => typeof name === "string")
    ? Effect.succeed(value)
    : Effect.fail(`${key} is ${Keys.shown(value)}, expected a list of names`)
}

/** The short form for every linear layer stands for any module. */
const targetsOf = (targets: string | ReadonlyArray<string> | undefined) =>
  targets === "all-linear" ? undefined : targets

const layersOf = (value: unknown): Effect.Effect<ReadonlyArray<number> | undefined, string> => {
  if (value === null || value === undefined) return Effect.succeed(undefined)
  const layers: ReadonlyArray<unknown> = Array.isArray(value) ? value : [value]
  if (layers.length === 0) return Effect.succeed(undefined)
  return layers.every((layer): layer is number => typeof layer === "number" && Number.isInteger(layer))
    ? Effect.succeed(layers)
    : Effect.fail(`layers_to_transform is ${Keys.shown(value)}, expected numbers of layers`)
}
