/**
 * Ids of special tokens in config.json and generation_config.json, which a tokenizer rule may give to other tokens.
 *
 * Each becomes the id that its token has in the result. Where the result has no such token, the donor of the tokenizer
 * says which id it uses instead; where it does not say, the merge is refused, or an entry of a longer list is left out.
 */
import { entry } from "@hila/core/Lookup"
import type { Checkpoint, CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import type * as Alignment from "../tokenizers/Alignment.ts"
import * as ConfigIds from "../tokenizers/ConfigIds.ts"
import { shown } from "../tokenizers/Union.ts"
import type { Edit } from "../stacks/Config.ts"

/** What changes in the config files. */
export interface SpecialIds {
  /** By the name of the file. */
  readonly edits: Readonly<Record<string, ReadonlyArray<Edit>>>
  readonly notes: ReadonlyArray<string>
}

/** A model by its name in the recipe. */
interface Named {
  readonly text: string
  readonly checkpoint: Checkpoint.Checkpoint
}

/** The ids of the model that the result is like, in the result's vocabulary; `donor` is whose tokenizer that is. */
export const of = Effect.fnUntraced(function* (
  located: Located,
  path: Path,
  alignment: Alignment.Alignment,
  like: Named,
  donor: Named,
): Effect.fn.Return<SpecialIds, RecipeError | CheckpointError> {
  const tokens = new Map([...entry(alignment.tokens, like.text)].map(([token, id]) => [id, token]))
  const edits: Record<string, ReadonlyArray<Edit>> = {}
  const notes: Array<string> = []
  for (const name of ConfigIds.files) {
    const own = yield* ConfigIds.read(like.checkpoint, name)
    const theirs = new Map(
      ConfigIds.of(yield* ConfigIds.read(donor.checkpoint, name)).map((holder) => [
        holder.path.join("."),
        holder,
      ]),
    )
    const changed: Array<Edit> = []
    for (const holder of ConfigIds.of(own)) {
      const key = holder.path.join(".")
      const gone: Array<string> = []
      const unnamed: Array<number> = []
      const value = holder.with((id) => {
        const token = tokens.get(id)
        if (token === undefined) unnamed.push(id)
        else if (!alignment.ids.has(token)) gone.push(token)
        return token === undefined ? id : alignment.ids.get(token)
      })
      if (unnamed.length > 0 && !isSame(tokens, alignment.ids))
        notes.push(`${name}: ${key} ${unnamed.join(", ")} names no token of ${like.text}, and stays as it is`)
      const isEmpty = value === undefined || (Array.isArray(value) && value.length === 0)
      if (!isEmpty) {
        if (gone.length > 0)
          notes.push(`${name}: ${key} loses ${shown(gone)}, which the result's tokenizer has not`)
        if (JSON.stringify(value) !== JSON.stringify(holder.value)) {
          changed.push({ path: holder.path, value })
          notes.push(
            `${name}: ${key} is ${shortly(value)} in the result's vocabulary, for ${shortly(holder.value)}`,
          )
        }
        continue
      }
      const instead = theirs.get(key)
      if (instead === undefined) {
        const problem = `${name}: ${key} ${shortly(holder.value)} is ${shown(gone)} in ${like.text}; ${donor.text}, whose tokenizer the result gets, has no such token and no ${key}: keep it with tokenizer.tokens, {${shown(gone.slice(0, 1))}: {source: ${like.text}}}`
        return yield* located.error(path, problem)
      }
      changed.push({ path: holder.path, value: instead.value })
      notes.push(
        `${name}: ${key} is ${shortly(instead.value)}, that of ${donor.text}, whose tokenizer has no ${shown(gone)}`,
      )
    }
    edits[name] = changed
  }
  return { edits, notes }
})

const shortly = (value: unknown): string => {
  const text = JSON.stringify(value) ?? ""
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** Whether every token has its old id, so that what names no token names none as before. */
const isSame = (tokens: ReadonlyMap<number, string>, ids: ReadonlyMap<string, number>): boolean =>
  [...tokens].every(([id, token]) => ids.get(token) === id)
