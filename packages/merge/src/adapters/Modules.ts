/**
 * Which modules the names and patterns of an adapter_config.json mean, by the rules of PEFT's
 * `check_target_module_exists` and `get_pattern_key`: whole names, ends of names after a dot, or regular expressions.
 */
import * as Effect from "effect/Effect"
import type { AdapterConfig, Patterns } from "./AdapterConfig.ts"

/** The patterns of a config, compiled; `module` is a name such as `model.layers.0.self_attn.q_proj`. */
export interface Modules {
  /** Whether the config asks for factors of a module. */
  readonly isTarget: (module: string) => boolean
  readonly rankOf: (module: string) => number
  readonly alphaOf: (module: string) => number
}

/** Compiles the patterns; fails at the first that is no regular expression. */
export const compile = Effect.fnUntraced(function* (
  config: AdapterConfig,
): Effect.fn.Return<Modules, string> {
  const { excluded, layers, layerPatterns, saved, targets } = config
  const isExcluded = yield* matcher("exclude_modules", excluded)
  const isNamed = targets === undefined ? () => true : yield* matcher("target_modules", targets)
  const within = yield* Effect.forEach(saved, (name) =>
    regex("modules_to_save", `^(?:|.*\\.)(?:${name})(?:$|\\..*)`),
  )
  const numbered =
    layerPatterns.length === 0
      ? [/^.*?\.[^.]*\.(\d+)\./]
      : yield* Effect.forEach(layerPatterns, (name) =>
          regex("layers_pattern", `^(?:|.*?\\.)(?:${name})\\.(\\d+)\\.`),
        )
  const inLayers = (module: string) => {
    const found = numbered.map((pattern) => pattern.exec(module)).find((match) => match !== null)
    return found !== undefined && layers !== undefined && layers.includes(Number(found.at(-1)))
  }
  return {
    isTarget: (module) => {
      if (isExcluded(module) || within.some((pattern) => pattern.test(module)) || !isNamed(module))
        return false
      // A module that is listed by its whole name is adapted whatever its layer.
      const whole = typeof targets !== "string" && targets?.includes(module) === true
      return layers === undefined || whole || inLayers(module)
    },
    rankOf: yield* numberOf("rank_pattern", config.ranks, config.rank),
    alphaOf: yield* numberOf("alpha_pattern", config.alphas, config.alpha),
  }
})

const regex = (key: string, source: string): Effect.Effect<RegExp, string> =>
  Effect.try({
    // Python names groups with a P.
    try: () => new RegExp(source.replaceAll("(?P<", "(?<")),
    catch: () => `${key} holds no regular expression that can be read here: ${source}`,
  })

/** By a regular expression of the whole name, or by names that it is or ends with. */
const matcher = (
  key: string,
  names: string | ReadonlyArray<string>,
): Effect.Effect<(module: string) => boolean, string> =>
  typeof names === "string"
    ? Effect.map(regex(key, `^(?:${names})$`), (pattern) => (module: string) => pattern.test(module))
    : Effect.succeed((module: string) => names.some((name) => module === name || module.endsWith(`.${name}`)))

const numberOf = (key: string, patterns: Patterns, usual: number) =>
  Effect.map(
    Effect.forEach(patterns, ([pattern, value]) =>
      Effect.map(regex(key, `^(?:.*\\.)?(?:${pattern})$`), (compiled) => ({ compiled, value })),
    ),
    (compiled) => (module: string) =>
      compiled.find((pattern) => pattern.compiled.test(module))?.value ?? usual,
  )
