/**
 * What config.json says of single layers: which attention, which MLP, which size, by a list or by a rule over their numbers.
 *
 * Each trait is read as one value per layer, and written back for layers in another order. The rules and their defaults
 * are those of the reference implementation's configuration classes. `write` is undefined where keys cannot say it.
 */
import { entryOr, known } from "@hila/core/Lookup"
import type { JsonText } from "@hila/model"
import { attention, full, isList, number, range, rotary, type Rule, type Values } from "./LayerRules.ts"
import type { Section } from "./Sections.ts"

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

const isNumbers = (value: unknown): value is ReadonlyArray<number> =>
  isList(value) && value.every((item) => typeof item === "number")

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
  write: (values, section) =>
    key === "layer_types" && endsFull.has(String(section["model_type"])) && values.at(-1) !== full
      ? undefined
      : [[[key], values]],
})

/** Types whose classes make the last layer a full one, whatever the list says. */
const endsFull = new Set([
  "gemma4",
  "gemma4_text",
  "gemma4_unified_text",
  "diffusion_gemma_text",
  "embedding_gemma2_text",
  "olmo_hybrid",
])

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

/** What an object says of some layers, by their numbers as keys. */
const numbered = (key: string): Trait => ({
  key,
  read: (section, depth) => {
    const given = section[key]
    if (typeof given !== "object" || given === null) return undefined
    const entries = new Map(Object.entries(given))
    return range(depth).map((layer): unknown => entryOr(entries, String(layer), null))
  },
  write: (values) => [
    [[key], Object.fromEntries(values.flatMap((value, layer) => (value === null ? [] : [[layer, value]])))],
  ],
})

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
  numbered("per_layer_config"),
  numbered("pruned_heads"),
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
