/**
 * Rotary positions as config.json describes them, in both generations: `rope_parameters` (newer), or `rope_theta` and
 * `rope_scaling` with `type` or `rope_type` (older).
 *
 * Every key under them is either read or refused: an ignored one would give another model than the one meant.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { oneLine, optional } from "../checkpoint/ModelConfig.ts"
import type { Rope, RopeScaling } from "./ModelShape.ts"
import { missing, Positive, PositiveNumber, type Problem } from "./Config.ts"

/** A description under `rope_parameters` or `rope_scaling`. */
export type Entry = Readonly<Record<string, unknown>>

interface Keys {
  readonly rope_parameters?: Entry | null
  readonly rope_scaling?: Entry | null
  readonly rope_theta?: number | null
  readonly max_position_embeddings?: number | null
}

const always = ["rope_theta", "rope_type", "type", "partial_rotary_factor"]

/** Rope types with a formula, and the keys each reads besides those of all. */
const types: Readonly<Record<string, ReadonlyArray<string>>> = {
  default: [],
  linear: ["factor"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
  yarn: [
    "factor",
    "beta_fast",
    "beta_slow",
    "original_max_position_embeddings",
    "truncate",
    "attention_factor",
    "mscale",
    "mscale_all_dim",
  ],
}

const decode = Schema.decodeUnknownEffect(
  Schema.Struct({
    rope_theta: optional(PositiveNumber),
    rope_type: optional(Schema.String),
    type: optional(Schema.String),
    partial_rotary_factor: optional(PositiveNumber),
    factor: optional(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(1))),
    low_freq_factor: optional(PositiveNumber),
    high_freq_factor: optional(PositiveNumber),
    original_max_position_embeddings: optional(Positive),
    beta_fast: optional(PositiveNumber),
    beta_slow: optional(PositiveNumber),
    truncate: optional(Schema.Boolean),
    attention_factor: optional(PositiveNumber),
    mscale: optional(PositiveNumber),
    mscale_all_dim: optional(PositiveNumber),
  }),
)

const Description = Schema.Record(Schema.String, Schema.Unknown)

const decodeNested = Schema.decodeUnknownEffect(
  Schema.StructWithRest(
    Schema.Struct({
      full_attention: Schema.optionalKey(Description),
      sliding_attention: Schema.optionalKey(Description),
    }),
    [Description],
  ),
)

export interface Options {
  /** Entries of a head. */
  readonly headDim: number
  /** θ where the config names none. */
  readonly theta: number
  /** The share of a head that is rotated where the entry names none; absent: the whole head, and no other share. */
  readonly partial?: number
  readonly pairs?: Rope["pairs"]
}

/** The description a flat config holds, whichever generation wrote it; empty where there is none. */
export const entryOf = (config: Keys): Effect.Effect<Entry, string> => {
  const { rope_parameters: newer, rope_scaling: older, rope_theta: theta } = config
  if (newer !== null && newer !== undefined && older !== null && older !== undefined) {
    return Effect.fail("rope_parameters and rope_scaling are both set; keep the one that is meant")
  }
  const entry = newer ?? older ?? {}
  return Effect.succeed(
    typeof theta === "number" && entry["rope_theta"] === undefined ? { ...entry, rope_theta: theta } : entry,
  )
}

/**
 * The descriptions for layers that see everything and for those with a window: under `full_attention` and
 * `sliding_attention` (newer); in a flat config the one description is that of the former, and `local` of the latter.
 */
export const byKind = Effect.fnUntraced(function* (
  config: Keys,
  { local }: { readonly local: Entry },
): Effect.fn.Return<{ readonly global: Entry; readonly local: Entry }, string> {
  const entry = yield* entryOf(config)
  const nested = yield* Effect.mapError(decodeNested(entry), ({ message }) => `rope: ${oneLine(message)}`)
  const { full_attention: global, sliding_attention: sliding, ...rest } = nested
  if (global === undefined && sliding === undefined) return { global: entry, local }
  const unknown = Object.keys(rest).find((key) => rest[key] !== null)
  const problem = "rope_parameters by kind of layer: expected full_attention and sliding_attention alone"
  return unknown === undefined
    ? { global: global ?? {}, local: sliding ?? {} }
    : yield* Effect.fail(`${problem}, got '${unknown}' beside them`)
})

/** The rope of one description; `maxPositions` stands in where a scaling does not name the original positions. */
export const read = Effect.fnUntraced(function* (
  raw: Entry,
  { headDim, pairs = "halves", partial, theta }: Options,
  maxPositions: number,
): Effect.fn.Return<Rope, Problem> {
  // An absent value and null mean the same.
  const given = Object.fromEntries(Object.entries(raw).filter(([, value]) => value !== null))
  const entry = yield* Effect.mapError(decode(given), ({ message }) => `rope: ${oneLine(message)}`)
  const type = entry.rope_type ?? entry.type ?? "default"
  const own = Object.hasOwn(types, type) ? types[type] : undefined
  if (own === undefined) {
    return yield* Effect.fail(missing(`rope type '${type}'`, Object.keys(types).join(", ")))
  }
  const unknown = Object.keys(given).find((key) => !always.includes(key) && !own.includes(key))
  if (unknown !== undefined) {
    return yield* Effect.fail(
      missing(`the key '${unknown}' under rope (type '${type}')`, [...always, ...own].join(", ")),
    )
  }
  const share = entry.partial_rotary_factor ?? partial ?? 1
  if (partial === undefined && share !== 1) {
    return yield* Effect.fail(missing(`partial_rotary_factor ${share} of this model type`, "1"))
  }
  const dims = Math.trunc(headDim * share)
  if (dims > headDim || dims < 2 || dims % 2 !== 0) {
    return yield* Effect.fail(
      share === 1
        ? `head_dim ${headDim} is odd; rotary embeddings need pairs`
        : `partial_rotary_factor ${share} rotates ${dims} of ${headDim} entries of a head; expected an even number of them`,
    )
  }
  const scaling = yield* scalingOf(type, entry, maxPositions)
  return {
    theta: entry.rope_theta ?? theta,
    dims,
    pairs,
    ...(scaling === undefined ? {} : { scaling }),
  }
})

const scalingOf = (
  type: string,
  entry: Effect.Success<ReturnType<typeof decode>>,
  maxPositions: number,
): Effect.Effect<RopeScaling | undefined, string> => {
  if (type === "default") return Effect.undefined
  const { factor } = entry
  if (typeof factor !== "number") return Effect.fail(`rope type '${type}' needs a factor`)
  const originalPositions = entry.original_max_position_embeddings ?? maxPositions
  switch (type) {
    case "llama3": {
      const { high_freq_factor: highFactor, low_freq_factor: lowFactor } = entry
      return typeof lowFactor === "number" && typeof highFactor === "number" && highFactor > lowFactor
        ? Effect.succeed({ type, factor, lowFactor, highFactor, originalPositions })
        : Effect.fail("rope type 'llama3' needs low_freq_factor and a larger high_freq_factor")
    }
    case "yarn":
      return Effect.succeed({
        type,
        factor,
        betaFast: entry.beta_fast ?? 32,
        betaSlow: entry.beta_slow ?? 1,
        originalPositions,
        truncate: entry.truncate ?? true,
        attentionFactor: entry.attention_factor ?? yarnAttention(factor, entry.mscale, entry.mscale_all_dim),
      })
    default:
      return Effect.succeed({ type: "linear", factor })
  }
}

/** How much larger attention is to become with the context: 0.1 · m · ln(factor) + 1 (Peng et al., 2023). */
const yarnAttention = (
  factor: number,
  mscale: number | null | undefined,
  allDims: number | null | undefined,
): number => {
  const growth = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1)
  return typeof mscale === "number" && typeof allDims === "number"
    ? growth(mscale) / growth(allDims)
    : growth(1)
}
