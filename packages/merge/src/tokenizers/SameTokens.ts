/** Whether checkpoints mean the same tokens by the same ids, as far as their tokenizer files say. */
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import * as Agreement from "./Agreement.ts"
import * as TokenizerFile from "./TokenizerFile.ts"
import * as TokenIds from "./TokenIds.ts"
import * as Vocabulary from "./Vocabulary.ts"

/** A checkpoint and what to call it. */
export interface Participant {
  readonly name: string
  readonly checkpoint: Checkpoint.Checkpoint
}

/** What is to be told, and the first participant whose tokens are others, with the reason. */
export interface Found {
  readonly notes: ReadonlyArray<string>
  readonly refused: { readonly name: string; readonly problem: string } | undefined
}

/** Compares the tokens of participants, as many as they have rows, with those of the first that has a tokenizer. */
export const among = Effect.fnUntraced(function* (
  participants: ReadonlyArray<Participant>,
): Effect.fn.Return<Found> {
  // Files that are the same byte for byte are read once.
  const read = new Map<string, TokenIds.TokenIds | undefined>()
  const named: Array<Agreement.Named> = []
  const silent: Array<{ readonly name: string; readonly why: string }> = []
  for (const { checkpoint, name } of participants) {
    const { files } = checkpoint
    const text = yield* textOf(files)
    if (text === undefined || !read.has(text)) {
      const found = yield* Effect.result(TokenIds.of(files))
      const tokens = found._tag === "Success" ? found.success : undefined
      if (text !== undefined) read.set(text, tokens)
      if (tokens === undefined)
        silent.push({ name, why: found._tag === "Failure" ? found.failure.message : absent(files) })
      else named.push({ name, tokens })
    } else {
      const tokens = read.get(text)
      if (tokens !== undefined) named.push({ name, tokens })
    }
  }
  const [first, ...others] = named
  if (first === undefined) return { notes: [], refused: undefined }
  const taken = silent.map(
    ({ name, why }) => `${name} ${why}: its tokens are taken to be those of ${first.name}`,
  )
  const sizes = participants.flatMap(({ checkpoint }) => Vocabulary.of(checkpoint).rows ?? [])
  const rows = Math.min(...sizes)
  const agreement = Agreement.of(first, others, rows)
  if (agreement._tag === "Agreed") return { notes: [...taken, ...agreement.notes], refused: undefined }
  return { notes: taken, refused: agreement }
})

const absent = (files: Checkpoint.Checkpoint["files"]): string =>
  Object.keys(files).some(TokenizerFile.isVocabularyFile)
    ? "has a tokenizer in a form that is not read here"
    : "has no tokenizer"

const textOf = (files: Checkpoint.Checkpoint["files"]): Effect.Effect<string | undefined> => {
  const path = files["tokenizer.json"]
  if (path === undefined) return Effect.succeed(undefined)
  return Effect.promise(() => readFile(path, "utf8").catch(() => undefined))
}
