/** Checkouts: content as files of the user's own, which may be changed without harm to the store. */
import * as Effect from "effect/Effect"
import { dirname, join } from "node:path"
import type { Content } from "./Content.ts"
import { CheckoutError } from "./CoreError.ts"
import { Disk } from "./Disk.ts"
import { describe } from "./internal/systemError.ts"

/** Copies content to a path that must not exist, sharing blocks where the file system can. All of it or nothing. */
export const copy = (content: Content, to: string): Effect.Effect<void, CheckoutError> =>
  Effect.flatMap(Disk, (disk) => {
    const staged = join(dirname(to), `.${disk.pid}-checkout`)
    const one = async (from: string, path: string): Promise<void> => {
      await disk.makeDirectory(dirname(path))
      await disk.copy(from, path)
      await disk.chmod(path, 0o644)
      await disk.touch(path, Date.now() / 1000)
    }
    return Effect.tryPromise({
      try: async () => {
        if (disk.stat(to) !== undefined) throw Object.assign(new Error(to), { code: "EEXIST" })
        try {
          if (content._tag === "File") await one(content.path, staged)
          else
            for (const [name, file] of Object.entries(content.files)) await one(file.path, join(staged, name))
          await disk.rename(staged, to)
        } catch (cause) {
          await disk.remove(staged).catch(() => undefined)
          throw cause
        }
      },
      catch: (cause) => new CheckoutError({ path: to, problem: describe(cause) }),
    })
  })
