/**
 * Contamination: which of a task's items stand word for word in given texts.
 *
 * An item's text is its document's own prompt, without description and shots, and the right answer: what a text that
 * gives the answer away would hold. The other choices are left out, as they would cut n-grams that are there.
 */
import { atOr, known } from "@hila/core/Lookup"
import type { Item } from "../requests/Items.ts"
import * as Fields from "../tasks/Fields.ts"
import * as Overlap from "./Overlap.ts"

/** From this share of its n-grams on, an item counts as found. */
export const threshold = 0.5

/** What was found of one item. */
export interface ItemOverlap extends Overlap.Found {
  /** Index of the document in its split. */
  readonly id: number
}

/** An item as far as its text goes. */
export type Asked = Pick<Item, "choices" | "golds" | "id" | "preface" | "requests" | "target">

/** The text of an item that is looked for. */
export const textOf = ({ choices, golds, preface, requests, target }: Asked): string => {
  const request = requests[atOr(golds, 0, 0)]
  switch (request?._tag) {
    case undefined:
      return ""
    case "Rolling":
      return request.text
    case "LogLikelihood":
      return request.context.slice(preface) + request.continuation
    case "Generate": {
      const [first = ""] = Fields.golds(target)
      const index = Fields.indexOf(first)
      const answer = index === undefined ? String(first) : (choices[index] ?? String(first))
      return `${request.context.slice(preface)}\n${answer}`
    }
  }
}

/** Looks for the items of several tasks in the same texts, in n-grams of `n` words: per task, in their order. */
export const ofTasks = (
  tasks: ReadonlyArray<ReadonlyArray<Asked>>,
  texts: Iterable<string>,
  n: number = Overlap.standardLength,
): ReadonlyArray<ReadonlyArray<ItemOverlap>> => {
  const found = Overlap.ofItems(
    tasks.flatMap((items) => items.map(textOf)),
    texts,
    n,
  )
  let at = 0
  return tasks.map((items) => items.map(({ id }) => ({ id, ...known(found[at++]) })))
}

/** How many items reach the threshold. */
export const reached = (items: ReadonlyArray<ItemOverlap>): number =>
  items.filter(({ share }) => share >= threshold).length
