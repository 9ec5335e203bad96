/** A file of masks that is written in any order, and is there whole or not at all. */
import { entry } from "@hila/core/Lookup"
import { SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { rename, rm } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import * as Disk from "../engine/Disk.ts"
import type * as Output from "../engine/Output.ts"
import { sync, writeFully } from "../internal/disk.ts"

/** Fills a new file under a temporary name, makes it durable and gives it its own. */
export const write = Effect.fnUntraced(function* <E, R>(
  path: string,
  specs: Parameters<typeof SafetensorsWriter.layout>[1],
  fill: (write: Output.Write) => Effect.Effect<void, E, R>,
) {
  const file = resolve(path)
  const temporary = `${file}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`
  const attempt = Disk.attempt(file)
  const { header, infos } = yield* SafetensorsWriter.layout(file, specs)
  const offsets = new Map(infos.map(({ name, offset }) => [name, offset]))
  const filled = Effect.gen(function* () {
    const handle = yield* Disk.open(temporary, "wx")
    const put = (bytes: Uint8Array, position: number) => attempt(() => writeFully(handle, bytes, position))
    yield* put(header, 0)
    yield* fill((tensor, start, bytes) => put(bytes, entry(offsets, tensor) + start))
    yield* attempt(() => handle.sync())
  })
  yield* Effect.scoped(filled).pipe(
    Effect.andThen(attempt(() => rename(temporary, file))),
    Effect.andThen(attempt(() => sync(dirname(file)))),
    Effect.onError(() => Effect.ignore(attempt(() => rm(temporary, { force: true })))),
  )
})
