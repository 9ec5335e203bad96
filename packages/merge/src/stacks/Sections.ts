/**
 * Where config.json speaks of a stack: the keys that count its layers, and the section that they lie in.
 *
 * By the words in a section's name (`vision_config`), by the keys (`decoder_layers`), and by the number itself: a count
 * that is not the tensors' is another part's, or a mistake. Layers past a count are those that guess tokens ahead, which
 * no count includes.
 */
import { at, known } from "@hila/core/Lookup"
import type { JsonText, ModelConfig } from "@hila/model"
import * as Predicate from "effect/Predicate"
import * as Role from "./Role.ts"
import type { Module } from "./Stacks.ts"

/** An object of a config, or the config itself. */
export type Section = Readonly<Record<string, unknown>>

/** A key that counts layers. */
export interface Count {
  /** Of the section. */
  readonly path: ReadonlyArray<string>
  readonly key: string
  readonly layers: number
}

const own = ["num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers", "depth"]
const halves = {
  encoder: ["encoder_layers", "num_encoder_layers", "encoder_num_hidden_layers"],
  decoder: ["decoder_layers", "num_decoder_layers", "decoder_num_hidden_layers"],
} as const

/** A part of a config by its path. */
export const section = (config: ModelConfig.ModelConfig, path: JsonText.Path): Section | undefined => {
  const found = path.reduce<unknown>(
    (place, step) => (Predicate.isObject(place) ? Reflect.get(place, step) : undefined),
    config,
  )
  return isSection(found) ? found : undefined
}

const isSection = (value: unknown): value is Section => Predicate.isObject(value) && !Array.isArray(value)

/** Every object in a config that may speak of a stack, the config first. */
export const sections = (
  config: Section,
  path: ReadonlyArray<string> = [],
): ReadonlyArray<{ readonly path: ReadonlyArray<string>; readonly values: Section }> => [
  { path, values: config },
  ...(path.length > 2
    ? []
    : Object.entries(config).flatMap(([key, value]) =>
        isSection(value) && !/quantization|rope|generation/.test(key) ? sections(value, [...path, key]) : [],
      )),
]

/** The keys that may count a module's layers in a section of this path. */
const keysIn = (path: ReadonlyArray<string>, { container, role }: Module): ReadonlyArray<string> => {
  const sectionRole = Role.of(path)
  const half = Role.halfOf(path)
  const ofHalf = Role.halfOf(container?.split(".") ?? [])
  if (role === "encoder" || role === "decoder") {
    if (sectionRole !== "text") return []
    if (half !== undefined) return half === role ? own : []
    // Without a key of its own, the count of an encoder-decoder is the encoder's.
    return role === "encoder" ? [...halves.encoder, ...own] : halves.decoder
  }
  return sectionRole === role ? [...own, ...(ofHalf === undefined ? [] : halves[ofHalf])] : []
}

/** The keys that count a module's layers; none where the config does not say, or says another number than it has. */
export const countsOf = (config: ModelConfig.ModelConfig, module: Module): ReadonlyArray<Count> => {
  const said = saidOf(config, module)
  const fitting = said.filter(({ layers }) => layers <= module.stored)
  const most = Math.max(0, ...fitting.map(({ layers }) => layers))
  return fitting.filter(({ layers }) => layers === most)
}

/** All that a config says of a module's layers, whether or not it is so. */
export const saidOf = (config: ModelConfig.ModelConfig, module: Module): ReadonlyArray<Count> => {
  if (module.container === undefined) return []
  const all = sections(config).flatMap(({ path, values }) =>
    keysIn(path, module).flatMap((key) => {
      const layers = values[key]
      return typeof layers === "number" ? [{ path, key, layers }] : []
    }),
  )
  const layers = config["num_layers"]
  // The decoder of an encoder-decoder is as deep as its encoder where the config does not say otherwise.
  if (module.role === "decoder" && all.length === 0 && typeof layers === "number")
    return [{ path: [], key: "num_decoder_layers", layers }]
  // A section for the text comes before what stands beside it, which may be left over from the class's defaults.
  const nested = all.filter(({ path }) => path.length > 0)
  return module.role === "text" && nested.length > 0
    ? [
        ...nested,
        ...all.filter(
          ({ layers, path }) => path.length === 0 && nested.some((other) => other.layers === layers),
        ),
      ]
    : all
}

/** How many layers a module has: as config.json counts them, else as many as it has tensors of. */
export const depthOf = (config: ModelConfig.ModelConfig, module: Module): number => {
  const [count] = countsOf(config, module)
  return count?.layers ?? module.stored
}

/** Lists that every reader of configs takes for one entry per layer. */
const perLayer = new Set(["layer_types", "mlp_layer_types", "layers_block_type", "no_rope_layers"])

/** What a config says of its stacks that their tensors do not hold to, in one line each. */
export const problemsOf = (
  config: ModelConfig.ModelConfig,
  modules: ReadonlyArray<Module>,
): ReadonlyArray<string> =>
  modules.flatMap((module) => {
    const said = saidOf(config, module)
    const [first] = said
    if (first === undefined) return []
    const name = (key: string, path: ReadonlyArray<string>) => [...path, key].join(".")
    if (said.every(({ layers }) => layers > module.stored)) {
      return [`${name(first.key, first.path)} says ${first.layers} layers, the weights have ${module.stored}`]
    }
    const depth = depthOf(config, module)
    const paths = new Map(countsOf(config, module).map(({ path }) => [path.join("."), path]))
    return [...paths.values()].flatMap((path) =>
      Object.entries(known(section(config, path), path.join("."))).flatMap(([key, value]) =>
        perLayer.has(key) && Array.isArray(value) && value.length !== depth && value.length !== module.stored
          ? [`${name(key, path)} has ${value.length} entries, for ${depth} layers`]
          : [],
      ),
    )
  })

/** The first section of a module, where it has one. */
export const placeOf = (
  config: ModelConfig.ModelConfig,
  module: Module,
): ReadonlyArray<string> | undefined => {
  const counts = countsOf(config, module)
  return counts.length === 0 ? undefined : at(counts, 0).path
}
