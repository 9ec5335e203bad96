import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { symlink, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Digest from "../src/engine/Digest.ts"
import { bytesOf, scratch } from "./support.ts"

describe("digests of files", () => {
  it.effect("are the same by threads, side by side, as of each file alone, and tell how far they are", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const paths = ["a", "b", "c"].map((name) => join(directory, name))
      // Longer than is hashed without threads, of different lengths, and with holes that take no disk.
      for (const [index, path] of paths.entries()) {
        yield* Effect.promise(() => writeFile(path, `file ${index}`))
        yield* Effect.promise(() => truncate(path, (40 + index) * 2 ** 20 + index))
      }
      const shares: Array<number> = []
      const found = yield* Digest.ofFiles([...paths, ...paths], (share) => shares.push(share))
      assert.strictEqual(found.size, 3)
      for (const path of paths) {
        const expected = createHash("sha256")
          .update(yield* bytesOf(path))
          .digest("hex")
        assert.strictEqual(found.get(path), expected)
        const alone = yield* Digest.ofFiles([path])
        assert.strictEqual(alone.get(path), expected)
      }
      assert.isTrue(shares.every((share) => share > 0 && share <= 1))
    }),
  )

  it.effect("of links into the Hub's cache are read off their names, and of what is not there an error", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const name = "0".repeat(64)
      yield* Effect.promise(() => writeFile(join(directory, name), "anything"))
      const link = join(directory, "model.safetensors")
      yield* Effect.promise(() => symlink(join(directory, name), link))
      assert.strictEqual((yield* Digest.ofFiles([link])).get(link), name)
      const gone = join(directory, "gone")
      const error = yield* Effect.flip(Digest.ofFiles([gone]))
      assert.strictEqual(error.path, gone)
    }),
  )
})
