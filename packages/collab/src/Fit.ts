/**
 * Whether a head fits what it is put together with: its experts and their order, the classes, how experts are chosen.
 *
 * A head that is asked with other experts than it was trained on answers without complaint, and wrongly. Names and
 * numbers are all that can be compared; whether the weights are the right ones is not known here.
 */
import type { Cascade } from "./Cascade.ts"
import { choices, type HeadSpec, isGated, leastExperts, readsLogits } from "./heads/HeadSpec.ts"

export interface Given {
  /** In their order; sizes where they are known. */
  readonly experts: ReadonlyArray<{
    readonly name: string
    readonly width?: number
    readonly classes?: number
  }>
  readonly classes: ReadonlyArray<string>
  /** Width of what the gate is asked with, where it is known. */
  readonly query?: number
  readonly topK?: number
  readonly cascade?: Pick<Cascade, "order" | "thresholds" | "temperatures">
}

const ofExperts = (head: HeadSpec, { cascade, classes, experts }: Given): string | undefined => {
  const [known, named] = [head.experts, experts].map((all) => all.map(({ name }) => name).join(", "))
  if (known !== named) return `the head joins the experts ${known}, in this order; got ${named || "none"}`
  const needsLogits = readsLogits(head.strategy) || cascade !== undefined
  for (const [i, { classes: own, name, width }] of experts.entries()) {
    const expected = head.experts[i]?.width
    if (width !== undefined && width !== expected) {
      return `expert ${name} hands on ${width} numbers, the head was trained on ${expected}`
    }
    if (needsLogits && own !== undefined && own !== classes.length) {
      const reader = cascade === undefined ? `strategy ${head.strategy}` : "a cascade"
      return `expert ${name} has logits of ${own} classes, and ${reader} needs ${classes.length}`
    }
  }
  return undefined
}

const ofChoice = (head: HeadSpec, { cascade, experts, topK }: Given): string | undefined => {
  const count = experts.length
  if (topK !== undefined && cascade !== undefined) {
    return "topK and a cascade are two ways to choose experts; give one of them"
  }
  if (topK !== undefined && !isGated(head.strategy)) {
    return `topK ${topK}: strategy ${head.strategy} has no gate to choose experts by`
  }
  if (topK !== undefined && !choices(head.strategy, count, [topK]).includes(topK)) {
    return `topK ${topK}: strategy ${head.strategy} takes ${leastExperts(head.strategy)} to ${count} of these experts`
  }
  if (cascade === undefined) return undefined
  const { order, temperatures, thresholds } = cascade
  const places = order.toSorted((a, b) => a - b)
  if (places.length !== count || places.some((place, i) => place !== i)) {
    return `the cascade's order is ${order.join(", ")}; expected each of 0…${count - 1} once`
  }
  const wrong = [thresholds, temperatures].find(({ length }) => length !== count)
  return wrong === undefined
    ? undefined
    : `the cascade has ${thresholds.length} thresholds and ${temperatures.length} temperatures; expected ${count} of each`
}

/** What does not fit, in words; undefined where all does. */
export const problem = (head: HeadSpec, given: Given): string | undefined => {
  const { classes, query } = given
  if (classes.length !== head.classes) {
    return `the head knows ${head.classes} classes, ${classes.length} are named`
  }
  const twice = classes.find((name, i) => classes.indexOf(name) !== i)
  if (twice !== undefined) return `the class "${twice}" is named twice`
  if (query !== undefined && isGated(head.strategy) && query !== head.query) {
    return `the first expert's word embeddings have ${query} numbers, the head's gate was trained on ${head.query}`
  }
  return ofExperts(head, given) ?? ofChoice(head, given)
}
