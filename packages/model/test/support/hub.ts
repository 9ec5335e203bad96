/** A mock Hub with one model beside an empty cache, and what its failures say. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { cpSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Hub } from "../../src/index.ts"
import { temporary } from "./fixtures.ts"
import { commit, mockHub } from "./mock-hub.ts"
import { fixture } from "./models.ts"

export const repo = "me/tiny"

/** A Hub with one model, an empty cache, and a way to use both; every use asks as a new process would. */
export const setting = Effect.gen(function* () {
  const directory = yield* temporary
  const files = join(directory, "files")
  cpSync(fixture("math"), files, { recursive: true })
  writeFileSync(join(files, "README.md"), "not needed")
  writeFileSync(join(files, "pytorch_model.bin"), "not needed")
  const hub = yield* mockHub({ [repo]: files, "me/empty": yield* temporary })
  const cache = join(directory, "cache")
  const use = (more: Partial<Hub.Settings> = {}) =>
    Effect.provideService(Hub.Settings, {
      endpoint: hub.endpoint,
      token: undefined,
      cache,
      offline: false,
      ...more,
    })
  const root = join(cache, "models--me--tiny")
  const blob = (name: string) => join(root, "blobs", hub.sha256(repo, name))
  /** Whether some of the weights have come. */
  const arrived = () =>
    (statSync(`${blob("model.safetensors")}.incomplete`, { throwIfNoEntry: false })?.size ?? 0) > 0
  return { hub, cache, root, use, files, blob, arrived }
})

export const messageOf = <A, R>(
  effect: Effect.Effect<A, { readonly message: string; readonly blame: string }, R>,
) =>
  Effect.map(Effect.flip(effect), ({ blame, message }) => {
    assert.notInclude(message, "\n")
    return `${blame}: ${message}`
  })

export const pinned = { repo, revision: commit }
