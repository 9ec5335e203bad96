/**
 * One tensor under the names that generations of writers gave it: with and without the prefix of the model's class
 * (`transformer.h.0…` and `h.0…`), LayerNorm's `gamma` and `beta`, `language_model.model.…` and `model.language_model.…`,
 * and what wrappers of training put in front.
 *
 * A name is read as another only where both come down to the same core and no other name of either model does.
 */

/** Components that stand in front of a tensor's own name and say of which class the model was when it was written. */
const prefixes = new Set([
  "model",
  "transformer",
  "language_model",
  "base_model",
  "gpt_neox",
  "backbone",
  "bert",
  "roberta",
  "distilbert",
  "albert",
  "electra",
  "deberta",
  "mpnet",
  "module",
  "_orig_mod",
  "_fsdp_wrapped_module",
])

const oldNorm = { gamma: "weight", beta: "bias" } as const

/** What is left of a name without its prefixes, in newer words. */
export const core = (name: string): string => {
  const parts = name.replaceAll(/(?<=^|\.)(?:_orig_mod|_fsdp_wrapped_module)\./g, "").split(".")
  const from = parts.findIndex((part) => !prefixes.has(part))
  return parts
    .slice(Math.max(0, from))
    .join(".")
    .replace(/(?<=LayerNorm\.)(gamma|beta)$/, (_, old: keyof typeof oldNorm) => oldNorm[old])
}

/** Names by their cores; undefined where two names have one. */
const byCore = (names: Iterable<string>): ReadonlyMap<string, string> | undefined => {
  const found = new Map<string, string>()
  for (const name of names) {
    const key = core(name)
    if (found.has(key)) return undefined
    found.set(key, name)
  }
  return found
}

/**
 * Under which of `wanted` names each of `names` is to be read; one that corresponds to none keeps its own.
 *
 * Undefined where nothing is to be renamed, or where it is not clear what is what.
 */
export const correspondence = (
  wanted: ReadonlyArray<string>,
  names: ReadonlyArray<string>,
): ReadonlyMap<string, string> | undefined => {
  const known = new Set(wanted)
  if (names.every((name) => known.has(name))) return undefined
  const [theirs, own] = [byCore(wanted), byCore(names)]
  if (theirs === undefined || own === undefined) return undefined
  const read = new Map([...own].map(([key, name]) => [name, theirs.get(key) ?? name]))
  return [...read].every(([name, as]) => name === as) ? undefined : read
}
