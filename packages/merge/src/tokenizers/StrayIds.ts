/**
 * Ids of special tokens in a checkpoint's configs that name no token, or an ordinary one: a model that ends its answers
 * with a word would be cut off at it, and one whose end is no token never ends.
 */
import { type Checkpoint, SpecialTokens } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Config from "../stacks/Config.ts"
import * as ConfigIds from "./ConfigIds.ts"
import type { TokenizerFile } from "./TokenizerFile.ts"

const roles = /^(?:bos|eos|pad|unk|sep|cls|mask|decoder_start|forced_bos|forced_eos)_(?:token_id|index)$/

/** What special tokens look like where no file says that they are. */
const looks = /^[<[{].*[>\]}]$/s

/** One line for each such id of a checkpoint with this tokenizer. */
export const of = Effect.fnUntraced(function* (
  checkpoint: Checkpoint.Checkpoint,
  { added, ids }: TokenizerFile,
): Effect.fn.Return<ReadonlyArray<string>> {
  const tokens = new Map([...ids].map(([token, id]) => [id, token]))
  const named = yield* Effect.result(SpecialTokens.read(checkpoint))
  const special = new Set<unknown>(named._tag === "Success" ? Object.values(named.success) : [])
  const rows = Config.vocabulary(checkpoint.config) ?? Infinity
  const oddities: Array<string> = []
  for (const file of ConfigIds.files) {
    const config = yield* Effect.result(ConfigIds.read(checkpoint, file))
    if (config._tag === "Failure") {
      oddities.push(config.failure.message)
      continue
    }
    for (const { ids: held, path } of ConfigIds.of(config.success)) {
      if (!roles.test(String(path.at(-1)))) continue
      for (const id of held) {
        const token = tokens.get(id)
        // What lies beyond the rows can be neither read nor written: a config keeps the ids of its class, whatever its size.
        if (token === undefined && id >= rows) continue
        if (token === undefined)
          oddities.push(`${file}: ${path.join(".")} ${id} names no token of the tokenizer`)
        else if (!added.has(token) && !special.has(token) && !looks.test(token))
          oddities.push(`${file}: ${path.join(".")} ${id} is the ordinary token ${JSON.stringify(token)}`)
      }
    }
  }
  return oddities
})
