/**
 * Whether models give the same ids to the same tokens, which a merge without a tokenizer rule takes for granted.
 *
 * As many rows are no proof. Tokens that two models have at different ids are refused: rows of different tokens would be
 * mixed. A slot that one model gives a new name is what fine-tuning does with reserved and added tokens, and is told; so
 * are tokens at ids that the other leaves free.
 */
import { entryOr } from "@hila/core/Lookup"
import type { TokenIds } from "./TokenIds.ts"
import { shown } from "./Union.ts"

/** The tokens of a model by its name. */
export interface Named {
  readonly name: string
  readonly tokens: TokenIds
}

/** What is to be told of other models' tokens, or which of them cannot be merged and why. */
export type Agreement =
  | { readonly _tag: "Agreed"; readonly notes: ReadonlyArray<string> }
  | { readonly _tag: "Refused"; readonly name: string; readonly problem: string }

/** Slots that tokenizers keep for tokens to come. */
const reserved =
  /^[<[{].*(?:reserved|unused|extra|placeholder|dummy|special|control).*[>\]}]$|^madeupword\d+$/is

interface Renamed {
  readonly id: number
  readonly before: string
  readonly after: string
}

/** Compares models with the first, whose tokenizer the result gets, as far as they have `rows` rows. */
export const of = (first: Named, others: ReadonlyArray<Named>, rows: number): Agreement => {
  const notes: Array<string> = []
  const ofFirst = byId(first.tokens, rows)
  /** What other models call a slot of the first's. */
  const names = new Map<number, { readonly name: string; readonly token: string }>()
  for (const { name, tokens } of others) {
    if (tokens.ids === first.tokens.ids) continue
    const refused = (problem: string): Agreement => ({ _tag: "Refused", name, problem })
    const moved = [...tokens.ids].flatMap(([token, id]) => {
      const own = first.tokens.ids.get(token)
      return own === undefined || own === id || id >= rows || own >= rows ? [] : [{ token, id, own }]
    })
    const [example] = moved
    if (example !== undefined) {
      const { id, own, token } = example
      const count = moved.length === 1 ? "" : ` (${moved.length} such tokens in all)`
      return refused(`${name} has ${JSON.stringify(token)} at the id ${id}, ${first.name} at ${own}${count}`)
    }
    const renamed: Array<Renamed> = []
    const more: Array<string> = []
    for (const [id, after] of byId(tokens, rows)) {
      const before = ofFirst.get(id)
      if (before === undefined) more.push(after)
      else if (before !== after) renamed.push({ id, before, after })
    }
    const isSlot = ({ after, before }: Renamed) =>
      first.tokens.added.has(before) ||
      tokens.added.has(after) ||
      reserved.test(before) ||
      reserved.test(after)
    const ordinary = renamed.filter((each) => !isSlot(each))
    const [other] = ordinary
    if (other !== undefined) {
      const count = ordinary.length === 1 ? "" : ` (${ordinary.length} such ids in all)`
      return refused(
        `${name} has ${JSON.stringify(other.after)} at the id ${other.id}, ${first.name} ${JSON.stringify(other.before)}${count}`,
      )
    }
    for (const { after, id } of renamed) {
      const known = entryOr(names, id, { name, token: after })
      if (known.token !== after)
        return refused(
          `${name} has ${JSON.stringify(after)} at the id ${id}, ${known.name} ${JSON.stringify(known.token)}`,
        )
      names.set(id, known)
    }
    if (renamed.length > 0) {
      const list = renamed
        .slice(0, 5)
        .map(({ after, before, id }) => `${JSON.stringify(before)} (${id}) is ${JSON.stringify(after)}`)
      const rest = renamed.length > list.length ? ` and ${renamed.length - list.length} more` : ""
      notes.push(
        `${name} has other names for tokens of ${first.name}, which the result has: ${list.join(", ")}${rest}`,
      )
    }
    if (more.length > 0)
      notes.push(
        `${name} has tokens that ${first.name}, whose tokenizer the result gets, has not: ${shown(more)} (tokenizer_source: union keeps them)`,
      )
  }
  return { _tag: "Agreed", notes }
}

const byId = ({ ids }: TokenIds, rows: number): ReadonlyMap<number, string> =>
  new Map([...ids].flatMap(([token, id]) => (id < rows ? [[id, token] as const] : [])))
