/**
 * What tensors of one shape mean in two models whose architectures have records: heads, rotation, norms, units of scale.
 *
 * Sizes and names are compared elsewhere, tensor by tensor. Layers are compared one by one, those that both models have.
 */
import { at, entryOr } from "@hila/core/Lookup"
import type { Stack } from "@hila/model"
import { differences } from "@hila/model/architectures/ModelShape"
import type { Mismatch } from "./Meaning.ts"

interface Rule {
  readonly path: RegExp
  readonly what: string
  /** Whether rows of equal tensors hold other things, so that a merge of them is of neither model. */
  readonly grave: boolean
}

const rule = (path: RegExp, what: string, grave: boolean): Rule => ({ path, what, grave })

/** By what `ModelShape.differences` calls a place; the first that matches counts, and places that none names are sizes. */
const rules: ReadonlyArray<Rule> = [
  rule(/^heads$/, "query heads", true),
  rule(/^kvHeads$/, "key-value heads", true),
  rule(/^headDim$/, "entries of a head", true),
  rule(/^(?:norm|queryKeyNorm)$/, "kind of norm", true),
  rule(/^parallel$/, "parallel attention and MLP", true),
  rule(/^causal$/, "causal attention", true),
  rule(/^embeddingScale$/, "scale of embeddings", true),
  rule(/^residualScale$/, "scale of what layers add", true),
  rule(/^logitScale$/, "scale of logits", true),
  rule(/^(?:firstPosition|paddingToken)$/, "first position", true),
  rule(/^(?:classifier\.)?activation$/, "activation", true),
  rule(/^classifier\.pooling$/, "pooling", true),
  rule(/^layers\.\d+\.\w+\.(?:layout|transposed)/, "layout of heads in a tensor", true),
  rule(/^attention\.\d+\.scale$/, "scale of attention scores", true),
  rule(/^attention\.\d+\.rope$/, "rotation", true),
  rule(/^attention\.\d+\.rope\.dims$/, "rotated entries of a head", true),
  rule(/^attention\.\d+\.rope\.pairs$/, "pairs of rotated entries", true),
  rule(/^attention\.\d+\.rope\.theta$/, "base of rotation (rope_theta)", false),
  rule(/^attention\.\d+\.rope\.scaling/, "scaling of rotation (rope_scaling)", false),
  rule(/^attention\.\d+\.reach$/, "reach of attention (a window's)", false),
  rule(/^attentionSoftcap$/, "cap of attention scores", false),
  rule(/^logitSoftcap$/, "cap of logits", false),
  rule(/^normEps$/, "ε of norms", false),
  rule(/^classifier\.labels/, "name of a class", false),
]

/** Both compute x · Φ(x), one by an approximation; configs of one model name now this one and now that. */
const gelus = new Set<unknown>(["gelu", "geluTanh"])

/** The mismatches of `b` with `a`, grave ones first. */
export const of = (a: Stack, b: Stack): ReadonlyArray<Mismatch> => {
  const depth = Math.min(a.layers.length, b.layers.length)
  const part = (stack: Stack): Stack => ({
    ...stack,
    layers: stack.layers.slice(0, depth),
    attention: stack.attention.slice(0, depth),
    expected: new Map(),
  })
  const found = new Map<string, Mismatch & { readonly places: number }>()
  for (const { a: one, b: other, path } of differences(part(a), part(b))) {
    const matched = rules.find((each) => each.path.test(path))
    if (matched === undefined) continue
    const grave = matched.what === "activation" ? !(gelus.has(one) && gelus.has(other)) : matched.grave
    const part = /\.scaling\.(?!type$)(\w+)$/.exec(path)?.[1]
    const what = part === undefined ? matched.what : matched.what.replace(")", `.${part})`)
    const mismatch = { what, a: text(one), b: text(other), grave }
    const key = JSON.stringify(mismatch)
    found.set(key, { ...mismatch, places: entryOr(found, key, { places: 0 }).places + 1 })
  }
  return [...windows(part(a), part(b)), ...found.values()].toSorted(
    (x, y) => Number(y.grave) - Number(x.grave),
  )
}

/** Layers with a window that lie elsewhere: two kinds of attention changed places, where one model has none or all is told. */
const windows = ({ attention: a }: Stack, { attention: b }: Stack): ReadonlyArray<Mismatch> => {
  const layers = (stack: Stack["attention"]) =>
    [...stack.keys()].filter((l) => at(stack, l).reach !== undefined)
  const [inA, inB] = [layers(a), layers(b)]
  const swapped = inA.some((l) => !inB.includes(l)) && inB.some((l) => !inA.includes(l))
  return swapped ? [{ what: "windows in layers", a: inA.join(", "), b: inB.join(", "), grave: true }] : []
}

const text = (value: unknown): string =>
  value === undefined ? "none" : typeof value === "string" ? value : JSON.stringify(value)
