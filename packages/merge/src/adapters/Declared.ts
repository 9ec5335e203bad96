/** What an adapter_config.json promises besides factors, and whether the file keeps it: a file may be cut off. */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Change } from "./Change.ts"
import type { Input } from "./Changes.ts"

/** Notes for the reader; fails at the first thing that is declared and missing. */
export const check = Effect.fnUntraced(function* (
  input: Input,
  changes: ReadonlyMap<string, Change>,
): Effect.fn.Return<ReadonlyArray<string>, string> {
  const notes: Array<string> = []
  const saved = [...input.parts].flatMap(([module, { whole }]) => (whole.size > 0 ? [module] : []))
  const has = (names: ReadonlyArray<string>, name: string) =>
    names.some((module) => `.${module}.`.includes(`.${name}.`))
  for (const name of input.config.saved) {
    if (has(saved, name)) continue
    // PEFT lists every name that a classifier may have, of which a model has one.
    const others = input.config.saved.some((other) => has(saved, other))
    if (!others || has([...input.model.tensors.keys()], name))
      return yield* Effect.fail(
        `modules_to_save names ${name}, and the file has no tensor of it: it may be incomplete`,
      )
    notes.push(`modules_to_save names ${name}, which neither the adapter nor the model has`)
  }
  const bias = biasesOf(input, changes).find((name) => changes.get(name)?.whole === undefined)
  if (bias !== undefined) {
    return yield* Effect.fail(
      `bias is ${input.config.biases}, and the file has no ${bias}: it may be incomplete`,
    )
  }
  return [...notes, ...unadapted(input, changes)]
})

/** The biases that were trained beside the factors. */
const biasesOf = ({ config, model }: Input, changes: ReadonlyMap<string, Change>) => {
  const all = [...model.tensors.keys()].filter((name) => /(?:^|\.)bias$/.test(name))
  if (config.biases === "none") return []
  return config.biases === "all"
    ? all
    : all.filter((name) => changes.get(name.replace(/bias$/, "weight"))?.product !== undefined)
}

/** Layers that the config asks for and the file has no factors of stay as they are in the base, as in PEFT. */
const unadapted = ({ config, model, modules }: Input, changes: ReadonlyMap<string, Change>) => {
  if (typeof config.targets !== "object") return []
  const asked = [...model.tensors.values()].filter(
    ({ name, shape }) => shape.length === 2 && modules.isTarget(name.replace(/\.weight$/, "")),
  )
  const without = asked.filter(({ name }) => changes.get(name)?.product === undefined)
  return without.length === 0
    ? []
    : [
        `target_modules names ${asked.length} layers of the model, of which ${without.length} (${at(without, 0).name}${without.length > 1 ? ", …" : ""}) have no factors and stay as they are`,
      ]
}
