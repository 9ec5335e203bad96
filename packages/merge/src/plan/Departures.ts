/**
 * Where a run departs from the existing merge tool, or from what a reader of the recipe may expect, in one line each.
 */
import { at, entryOr } from "@hila/core/Lookup"
import { Buffers } from "@hila/model"
import { definitions } from "../methods/registry.ts"
import type { Name } from "../methods/names.ts"
import * as Value from "./Value.ts"
import * as Overrides from "./Overrides.ts"
import type { OutputTensor } from "./Plan.ts"
import type { Prepared } from "./Prepared.ts"

/**
 * Methods that mergekit 0.1.5 computes in the recipe's dtype, so that its result is further from the exact one than half a
 * step; `docs/rounding.md` has the figures. It computes linear and slerp in f32 as we do.
 */
const roundedBy: ReadonlySet<string> = new Set<Name>([
  "nuslerp",
  "multislerp",
  "karcher",
  "task_arithmetic",
  "ties",
  "dare_linear",
  "dare_ties",
  "breadcrumbs",
  "breadcrumbs_ties",
  "della",
  "della_linear",
  "sce",
  "ram",
  "ramplus_tl",
  "model_stock",
  "nearswap",
  "arcee_fusion",
])

/** Whether mergekit 0.1.5 computes a method in 16 bits where the recipe's dtype has as many. */
export const rounds = (method: string): boolean => roundedBy.has(method)

/** The lines for a run. */
export const of = (prepared: Prepared): ReadonlyArray<string> => {
  const { located, notes, sliced, tensors } = prepared
  const { recipe } = located
  const methods = Overrides.methodsOf(located)
  const lines = [...notes]
  if (recipe.profile === "paper")
    lines.push("profile paper: the defaults are the papers', not mergekit 0.1.5's")
  const rounded = methods.filter(rounds)
  if ((recipe.dtype === "bfloat16" || recipe.dtype === "float16") && rounded.length > 0) {
    lines.push(
      `dtype ${recipe.dtype}: arithmetic is in f32 all the same, with one rounding at the end; mergekit 0.1.5 computes ${rounded.join(", ")} in ${recipe.dtype}`,
    )
  }
  if (methods.some((name) => definitions[name].random)) {
    lines.push(
      "random numbers are keyed by seed, model, tensor and element, so they are not mergekit 0.1.5's; the statistics are",
    )
  }
  const base = definitions[recipe.merge_method].base
  if (base === "none" && sliced.base !== undefined && recipe.models != null && methods.length === 1) {
    const counted = sliced.slices.some(({ listed }) => listed.length > (recipe.models?.length ?? 0))
    if (counted)
      lines.push(
        `${recipe.merge_method} has no base: base_model takes part as one more model, as in mergekit 0.1.5`,
      )
  }
  return [...lines, ...byTensor(tensors), ...outsideLayers(prepared)]
}

/** One line per kind of departure, with how many tensors it concerns. */
const byTensor = (tensors: ReadonlyArray<OutputTensor>): ReadonlyArray<string> => {
  const found = new Map<string, Array<string>>()
  for (const tensor of tensors) {
    for (const line of linesOf(tensor)) found.set(line, [...entryOr(found, line, []), tensor.name])
  }
  return [...found].map(
    ([line, names]) =>
      `${names.length} of ${tensors.length} tensors (${names[0]}${names.length > 1 ? ", …" : ""}): ${line}`,
  )
}

const linesOf = ({ base, method, models, shape, values }: OutputTensor): ReadonlyArray<string> => {
  const first = base ?? at(models, 0)
  if (method === undefined && Buffers.is(first)) return ["config.json determines it: copied from one model"]
  if (method === undefined) return [`${first.dtype} holds integers: copied from the first model`]
  const departure = definitions[method].departure?.(values, shape)
  return departure === undefined ? [] : [departure]
}

/** A gradient has a value for each layer; embeddings, final norm and head get its first one, which surprises. */
const outsideLayers = ({ located, sliced, tensors }: Prepared): ReadonlyArray<string> => {
  const gradients = Overrides.scopesOf(located, sliced).flatMap(({ parameters, path }) =>
    Object.entries(parameters).flatMap(([key, value]) => (Value.hasGradient(value) ? [{ key, path }] : [])),
  )
  const keys = [...new Set(gradients.map(({ key }) => key))]
  return tensors.flatMap(({ name, subject, values }) => {
    if (subject.layer !== undefined) return []
    const shown = keys.flatMap((key) => {
      const value = values[key]
      return value === undefined ? [] : [`${key} ${Array.isArray(value) ? value.join(", ") : String(value)}`]
    })
    return shown.length === 0
      ? []
      : [`${name} is in no layer, where a gradient gives its first value: ${shown.join("; ")}`]
  })
}
