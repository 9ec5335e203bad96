/** The ids of a checkpoint's tokens, from whichever of its files says them. */
import { type Checkpoint, CheckpointError, JsonText } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import * as TokenizerFile from "./TokenizerFile.ts"

/** Ids by token, and which tokens are added ones. */
export interface TokenIds {
  readonly ids: ReadonlyMap<string, number>
  readonly added: { readonly has: (token: string) => boolean }
}

type Files = Checkpoint.Checkpoint["files"]

/**
 * The tokens by tokenizer.json, else by vocab.json and added_tokens.json, else by vocab.txt; undefined where there is none
 * of them. Fails where they cannot be read.
 */
export const of = Effect.fnUntraced(function* (
  files: Files,
): Effect.fn.Return<TokenIds | undefined, CheckpointError> {
  if (files["tokenizer.json"] !== undefined) return yield* TokenizerFile.read({ files }, "tokenizer.json")
  const { "added_tokens.json": addedPath, "vocab.json": json, "vocab.txt": lines } = files
  if (json === undefined && lines === undefined) return undefined
  const ids =
    json === undefined
      ? new Map(
          (yield* text(lines ?? ""))
            .split(/\r?\n/)
            .flatMap((token, id) => (token === "" ? [] : [[token, id] as const])),
        )
      : yield* mapOf(json)
  const added = addedPath === undefined ? new Map<string, number>() : yield* mapOf(addedPath)
  return { ids: new Map([...ids, ...added]), added }
})

const refuse = (path: string, problem: string) => new CheckpointError({ path, problem, blame: "input" })

const text = (path: string) =>
  Effect.tryPromise({ try: () => readFile(path, "utf8"), catch: (cause) => refuse(path, String(cause)) })

const decode = Schema.decodeUnknownEffect(JsonText.fromText(Schema.Unknown))

const mapOf = Effect.fnUntraced(function* (path: string) {
  const value = yield* Effect.mapError(decode(yield* text(path)), () => refuse(path, "is no JSON"))
  const ids = TokenizerFile.idsIn(value)
  return typeof ids === "string" ? yield* refuse(path, ids) : ids
})
