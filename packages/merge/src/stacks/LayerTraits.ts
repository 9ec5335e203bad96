/**
 * What config.json says of single layers: which attention, which MLP, which size, by a list or by a rule over their numbers.
 *
 * Each trait is read as one value per layer, and written back for layers in another order. The rules and their defaults
 * are those of the reference implementation's configuration classes. `write` is undefined where keys cannot say it.
 */
import { known } from "@hila/core/Lookup"
import type { JsonText } from "@hila/model"
import type { Section } from "./Sections.ts"

/** Values of one kind, one per layer. */
export type Values = ReadonlyArray<unknown>

/** A change to a section: a path in it, and the new value. */
export type Change = readonly [path: JsonText.Path, value: unknown]

/** One thing that a section says of every layer. */
export interface Trait {
  /** The key it is known by. */
  readonly key: string
  /** One value per layer of a model with this many; undefined where the section says nothing of the kind. */
  readonly read: (section: Section, depth: number) => Values | undefined
  readonly write: (values: Values, section: Section) => ReadonlyArray<Change> | undefined
}

const range = (depth: number): ReadonlyArray<number> => Array.from({ length: depth }, (_, layer) => layer)

const number = (section: Section, key: string): number | undefined => {
  const value = section[key]
  return typeof value === "number" ? value : undefined
}

const isList = (value: unknown): value is Values => Array.isArray(value)

const isNumbers = (value: unknown): value is ReadonlyArray<number> =>
  isList(value) && value.every((item) => typeof item === "number")

/** Every `period`-th layer is of the one kind, counted from 1. */
const every = (depth: number, period: number, kind: string, other: string): Values =>
  range(depth).map((layer) => (period > 0 && (layer + 1) % period === 0 ? kind : other))

const [full, sliding, linear] = ["full_attention", "sliding_attention", "linear_attention"]

type Rule = (section: Section, depth: number) => Values | undefined

const pattern =
  (standard: number): Rule =>
  (section, depth) => {
    const period = section["sliding_window_pattern"] ?? section["_sliding_window_pattern"] ?? standard
    return typeof period === "number" ? every(depth, period, full, sliding) : undefined
  }

const windowFrom: Rule = (section, depth) => {
  const windowed = section["use_sliding_window"] === true && number(section, "sliding_window") !== undefined
  const from = windowed ? (number(section, "max_window_layers") ?? 28) : depth
  return range(depth).map((layer) => (layer >= from ? sliding : full))
}

const interval: Rule = (section, depth) =>
  every(depth, number(section, "full_attention_interval") ?? 4, full, linear)

const rotary: Rule = (section, depth) =>
  range(depth).map((layer) => Number((layer + 1) % (number(section, "no_rope_layer_interval") ?? 4) !== 0))

/** Kinds of attention by model type, where a config has no list of them. */
const attention: Readonly<Record<string, Rule>> = {
  gemma2: (_, depth) => every(depth, 2, full, sliding),
  gemma3: pattern(6),
  gemma3_text: pattern(6),
  gemma3n: (_, depth) => every(depth, 5, full, sliding),
  gemma3n_text: (_, depth) => every(depth, 5, full, sliding),
  cohere2: pattern(4),
  exaone4: pattern(4),
  olmo3: (_, depth) => every(depth, 4, full, sliding),
  gpt_oss: (_, depth) => every(depth, 2, full, sliding),
  minimax: (_, depth) => every(depth, 2, linear, full),
  qwen2: windowFrom,
  qwen2_vl_text: windowFrom,
  qwen2_vl: windowFrom,
  qwen2_5_vl_text: windowFrom,
  qwen2_5_vl: windowFrom,
  qwen3: windowFrom,
  qwen2_moe: (section, depth) => {
    const [windowed, to] = [
      section["use_sliding_window"] === true,
      number(section, "max_window_layers") ?? 28,
    ]
    return range(depth).map((layer) => (windowed && layer < to && (layer + 1) % 2 !== 0 ? sliding : full))
  },
  qwen3_next: interval,
  qwen3_5_text: interval,
  qwen3_5_moe_text: interval,
  modernbert: (section, depth) => {
    const period = number(section, "global_attn_every_n_layers") ?? 3
    return range(depth).map((layer) => (layer % period === 0 ? full : sliding))
  },
  llama4_text: (section, depth) => {
    const rope = isList(section["no_rope_layers"]) ? section["no_rope_layers"] : rotary(section, depth)
    const chunked = section["attention_chunk_size"] !== null
    return rope?.map((has) => (chunked && has === 1 ? "chunked_attention" : full))
  },
}

/** A list of entries that classes derive by a rule where it is absent. */
const list = (key: string, rules: Readonly<Record<string, Rule>>): Trait => ({
  key,
  read: (section, depth) => {
    const given = section[key]
    if (isList(given) && given.length > 0) return given.length >= depth ? given.slice(0, depth) : undefined
    const type = section["model_type"]
    return typeof type === "string" && Object.hasOwn(rules, type)
      ? known(rules[type], type)(section, depth)
      : undefined
  },
  write: (values) => [[[key], values]],
})

/** A list of the numbers of some layers; where it is absent, `rule` says what that means. */
const members = (key: string, rule: Rule, besides: ReadonlyArray<Change> = []): Trait => ({
  key,
  read: (section, depth) => {
    const given = section[key]
    return isNumbers(given) && besides.every(([[step], value]) => (section[String(step)] ?? value) === value)
      ? range(depth).map((layer) => given.includes(layer))
      : rule(section, depth)
  },
  write: (values, section) => [
    [[key], values.flatMap((has, layer) => (has === true ? [layer] : []))],
    ...besides.filter(([[step]]) => typeof section[String(step)] === "number"),
  ],
})

const never: Rule = () => undefined

/** A rule over numbers that no other numbers can say for layers in any order. */
const fixed = (key: string, read: Rule): Trait => ({ key, read, write: () => undefined })

/** Dense layers come first, and every `moe_layer_freq`-th of the others has experts. */
const denseFirst: Trait = {
  key: "first_k_dense_replace",
  read: (section, depth) => {
    const first = number(section, "first_k_dense_replace")
    const period = section["moe_layer_freq"] ?? 1
    if (first === undefined || typeof period !== "number" || isList(section["mlp_layer_types"]))
      return undefined
    return range(depth).map((layer) => layer >= first && layer % period === 0)
  },
  write: (values, section) => {
    const from = values.indexOf(true)
    const first = from === -1 ? values.length : from
    const plain = values.every((sparse, layer) => sparse === layer >= first)
    return plain && (section["moe_layer_freq"] ?? 1) === 1 ? [[["first_k_dense_replace"], first]] : undefined
  },
}

/** Experts from one layer to another, in every so many layers. */
const expertsBetween: Trait = {
  key: "moe_layer_start_index",
  read: (section, depth) => {
    const [from, period] = [
      number(section, "moe_layer_start_index"),
      number(section, "moe_layer_interval") ?? 1,
    ]
    const said = number(section, "moe_layer_end_index") ?? -1
    if (from === undefined || isList(section["mlp_layer_types"])) return undefined
    const to = said === -1 ? depth - 1 : said
    return range(depth).map((layer) => (layer + 1) % period === 0 && layer >= from && layer <= to)
  },
  write: (values) => {
    const [from, to] = [values.indexOf(true), values.lastIndexOf(true)]
    const run = from !== -1 && values.slice(from, to + 1).every((sparse) => sparse === true)
    return run
      ? [
          [["moe_layer_start_index"], from],
          [["moe_layer_end_index"], to],
          [["moe_layer_interval"], 1],
        ]
      : undefined
  },
}

/** One period and offset, as Jamba counts its layers. */
const periodic = (name: string): Trait =>
  fixed(`${name}_layer_period`, (section, depth) => {
    const [period, offset] = [
      number(section, `${name}_layer_period`),
      number(section, `${name}_layer_offset`) ?? 0,
    ]
    return period === undefined ? undefined : range(depth).map((layer) => layer % period === offset)
  })

/** GPT-Neo's kinds: `[[["global", "local"], 12]]` is twelve times the two. */
const attentionTypes: Trait = {
  key: "attention_types",
  read: (section, depth) => {
    const given = section["attention_types"]
    if (!isList(given)) return undefined
    const all = given.flatMap((item) => {
      if (!isList(item) || item.length !== 2 || !isList(item[0]) || typeof item[1] !== "number") return []
      return Array.from({ length: item[1] }, () => item[0] as Values).flat()
    })
    return all.length >= depth ? all.slice(0, depth) : undefined
  },
  write: (values) => [[["attention_types"], [[values, 1]]]],
}

/** Kinds as one letter each. */
const letters: Trait = {
  key: "hybrid_override_pattern",
  read: (section, depth) => {
    const given = section["hybrid_override_pattern"]
    return typeof given === "string" && given.length === depth ? [...given] : undefined
  },
  write: (values) => [[["hybrid_override_pattern"], values.join("")]],
}

/** Every trait that is known by its name. */
export const named: ReadonlyArray<Trait> = [
  list("layer_types", attention),
  list("no_rope_layers", { llama4_text: rotary, smollm3: rotary }),
  list("mlp_layer_types", {}),
  list("layers_block_type", {}),
  members("moe_layers", (section, depth) => {
    const step = number(section, "interleave_moe_layer_step")
    return step === undefined ? undefined : range(depth).map((layer) => (layer + 1) % step === 0)
  }),
  members(
    "mlp_only_layers",
    (section, depth) => {
      const step = number(section, "decoder_sparse_step")
      const given = section["mlp_only_layers"] ?? []
      return step === undefined || !isNumbers(given)
        ? undefined
        : range(depth).map((layer) => given.includes(layer) || (layer + 1) % step !== 0)
    },
    [[["decoder_sparse_step"], 1]],
  ),
  ...[
    "fullatt_block_indexes",
    "cross_attention_layers",
    "hybrid_layer_ids",
    "attn_layer_indices",
    "full_attn_idxs",
    "global_attn_indexes",
  ].map((key) => members(key, never)),
  {
    ...members("deepstack_visual_indexes", never),
    // Each of these layers has a merger of its own, by its place in the list.
    write: (values, section) => {
      const indices = values.flatMap((has, layer) => (has === true ? [layer] : []))
      const before = section["deepstack_visual_indexes"]
      return isList(before) && before.length === indices.length
        ? [[["deepstack_visual_indexes"], indices]]
        : undefined
    },
  },
  denseFirst,
  expertsBetween,
  periodic("attn"),
  periodic("expert"),
  attentionTypes,
  letters,
]

/** Lists of numbers or words that are as long as a model is deep by chance, or count something else. */
const other =
  /^architectures$|token|_index|_factor$|_section$|_mean$|_std$|language|^(?:image|patch|kernel|window|tile|crop|pool|stride|feature|out)_|vision_feature|_ids$|labels?$/

/** A list in a section that has an entry per layer by its length, under whatever name, also in an object inside. */
export const listed = (section: Section, depth: number): ReadonlyArray<Trait> => {
  const names = new Set(named.map(({ key }) => key))
  return Object.entries(section).flatMap(([key, value]) => {
    if (names.has(key) || other.test(key)) return []
    if (isList(value)) return value.length === depth ? [list(key, {})] : []
    if (typeof value !== "object" || value === null || /_config$|rope|quantization/.test(key)) return []
    return listed(value as Section, depth).map((trait) => inside(key, trait))
  })
}

/** A trait of an object in the section. */
const inside = (outer: string, { key, read, write }: Trait): Trait => {
  const inner = (section: Section) => {
    const value = section[outer]
    return typeof value === "object" && value !== null ? (value as Section) : {}
  }
  return {
    key: `${outer}.${key}`,
    read: (section, depth) => read(inner(section), depth),
    write: (values, section) =>
      write(values, inner(section))?.map(([path, value]) => [[outer, ...path], value] as const),
  }
}

/** What makes slices of layers impossible, whichever they are; undefined where nothing does. */
export const obstacle = (section: Section): string | undefined => {
  const shared = number(section, "num_kv_shared_layers") ?? 0
  if (shared > 0)
    return `num_kv_shared_layers is ${shared}: the last layers take keys and values of earlier ones`
  const perLayer = number(section, "hidden_size_per_layer_input") ?? 0
  return perLayer > 0
    ? `hidden_size_per_layer_input is ${perLayer}: the embedding has columns for each layer, outside of the layers`
    : undefined
}

/** Keys with a number in which some layer or period may be meant, and which no trait reads. */
export const unread = (section: Section): ReadonlyArray<string> => {
  const harmless =
    /^(?:num|n)_(?:hidden|decoder|encoder|nextn_predict|mtp|transformer)?_?layers$|norm|drop|scale|init|^(?:encoder|decoder)_layers$|max_window_layers|sliding_window_pattern|_offset$|moe_layer_|decoder_sparse_step|interleave_moe|full_attention_interval|no_rope_layer_interval|global_attn_every|num_kv_shared|per_layer_input|_layer_period$/
  const names = new Set(named.map(({ key }) => key))
  return Object.entries(section).flatMap(([key, value]) =>
    typeof value === "number" &&
    /layer|interval|period|every_n|_step$|pattern/.test(key) &&
    !harmless.test(key) &&
    !names.has(key)
      ? [key]
      : [],
  )
}
