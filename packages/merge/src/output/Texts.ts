/** The files of a result besides its weights: the donor's as they are, and those whose text the merge makes. */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import * as Disk from "../engine/Disk.ts"
import * as Carried from "../plan/Carried.ts"
import * as ChatTemplate from "../plan/ChatTemplate.ts"
import * as Config from "../stacks/Config.ts"
import type { Prepared } from "../plan/Prepared.ts"
import * as TokenizerFile from "../tokenizers/TokenizerFile.ts"

/** The files that go with the weights: the donor's, with the tokenizer that the recipe chose. */
export const filesOf = Effect.fnUntraced(function* ({ alignment, like }: Prepared) {
  const { files } = yield* Carried.of(like)
  if (alignment === undefined) return files
  const others = Object.entries(files).filter(([name]) => !TokenizerFile.isTokenizerFile(name))
  return { ...Object.fromEntries(others), ...alignment.files }
})

/** Files whose text the merge makes, of those that go along. */
export const textsOf = Effect.fnUntraced(function* (
  prepared: Prepared,
  files: Readonly<Record<string, string>>,
) {
  const { alignment, chatTemplate } = prepared
  return {
    ...(yield* configsOf(prepared)),
    ...(alignment?.tokenizer === undefined ? {} : { "tokenizer.json": alignment.tokenizer }),
    ...(chatTemplate === undefined ? {} : yield* ChatTemplate.filesOf(chatTemplate, files)),
  }
})

/** The configs that the merge changes. */
const configsOf = Effect.fnUntraced(function* (prepared: Prepared) {
  const { alignment, like, located, restacked, specialIds, untied } = prepared
  const { dtype, out_dtype } = located.recipe
  const { config } = like.original
  const { "config.json": ids = [], ...others } = specialIds?.edits ?? {}
  const edits = [
    ...(untied ? Config.untied(config) : []),
    ...Config.plain(config),
    ...Config.edits(config, { dtype: out_dtype ?? dtype ?? undefined, vocabulary: alignment?.rows }),
    ...restacked.edits,
    ...ids,
  ]
  const texts: Record<string, string> = {}
  for (const [name, changes] of Object.entries({ ...others, "config.json": edits })) {
    const path = like.original.files[name]
    if (changes.length === 0 || path === undefined) continue
    texts[name] = Config.edited(yield* Disk.attempt(path)(() => readFile(path, "utf8")), changes)
  }
  return texts
})
