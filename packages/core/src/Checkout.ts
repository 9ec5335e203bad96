/** Checkouts: content as files of the user's own, which may be changed without harm to the store. */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { dirname, join } from "node:path"
import type { Content } from "./Content.ts"
import { CheckoutError } from "./CoreError.ts"
import { Disk } from "./Disk.ts"
import { describe } from "./internal/systemError.ts"

/**
 * Copies content to a path that must not exist, sharing blocks where the file system can. All of it or nothing. `texts` are
 * files that a directory gets beside its own, or in place of those of the same name.
 */
export const copy = Effect.fnUntraced(function* (
  content: Content,
  to: string,
  texts: Readonly<Record<string, string>> = {},
): Effect.fn.Return<void, CheckoutError> {
  const disk = yield* Disk
  // A call that has begun is waited for, or it would write where this has cleaned up.
  const attempt = <A>(call: () => Promise<A>) =>
    Effect.uninterruptible(
      Effect.tryPromise({
        try: call,
        catch: (cause) => new CheckoutError({ path: to, problem: describe(cause) }),
      }),
    )
  const taken = yield* attempt(async () => disk.stat(to) !== undefined)
  if (taken) {
    const problem = "it exists already: give a path that is new, or remove what is there"
    return yield* new CheckoutError({ path: to, problem })
  }
  const staged = join(dirname(to), `.${disk.pid}-${randomBytes(4).toString("hex")}-checkout`)
  const one = (from: string, path: string) =>
    attempt(async () => {
      await disk.makeDirectory(dirname(path))
      await disk.copy(from, path)
      await disk.chmod(path, 0o644)
      await disk.touch(path, Date.now() / 1000)
    })
  const files =
    content._tag === "File"
      ? [["", content] as const]
      : Object.entries(content.files).filter(([name]) => !Object.hasOwn(texts, name))
  const all = Effect.forEach(files, ([name, file]) => one(file.path, join(staged, name)), { discard: true })
  yield* Effect.onError(
    Effect.gen(function* () {
      if (content._tag === "Directory") yield* attempt(() => disk.makeDirectory(staged))
      yield* all
      if (content._tag === "Directory")
        for (const [name, text] of Object.entries(texts))
          yield* attempt(() => disk.write(join(staged, name), text))
      yield* attempt(() => disk.rename(staged, to))
    }),
    () => Effect.ignore(attempt(() => disk.remove(staged))),
  )
})
