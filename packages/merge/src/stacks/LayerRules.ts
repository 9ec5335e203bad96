/**
 * How the reference implementation's configuration classes derive what a layer is from its number, where a config has no
 * list: with windows or without, rotating or not, by model type.
 */
import type { Section } from "./Sections.ts"

/** Values of one kind, one per layer. */
export type Values = ReadonlyArray<unknown>

/** What holds for each of so many layers; undefined where the section says nothing of the kind. */
export type Rule = (section: Section, depth: number) => Values | undefined

/** The numbers of so many layers. */
export const range = (depth: number): ReadonlyArray<number> =>
  Array.from({ length: depth }, (_, layer) => layer)

/** A number under a key, if there is one. */
export const number = (section: Section, key: string): number | undefined => {
  const value = section[key]
  return typeof value === "number" ? value : undefined
}

/** Whether a value is a list. */
export const isList = (value: unknown): value is Values => Array.isArray(value)

/** Every `period`-th layer is of the one kind, counted from 1. */
const every = (depth: number, period: number, kind: string, other: string): Values =>
  range(depth).map((layer) => (period > 0 && (layer + 1) % period === 0 ? kind : other))

/** Kinds of attention as configs call them. */
export const [full, sliding, linear] = ["full_attention", "sliding_attention", "linear_attention"]

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

/** Every so many layers do without rotary positions: 0. */
export const rotary: Rule = (section, depth) =>
  range(depth).map((layer) => Number((layer + 1) % (number(section, "no_rope_layer_interval") ?? 4) !== 0))

/** Kinds of attention by model type. */
export const attention: Readonly<Record<string, Rule>> = {
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
