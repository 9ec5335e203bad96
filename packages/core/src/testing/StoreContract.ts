/** What every store has to do, whatever it is made of. Each check needs a store of its own. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { Action } from "../Action.ts"
import * as Artifact from "../Artifact.ts"
import * as Digest from "../Digest.ts"
import * as Gc from "../Gc.ts"
import * as Ingredients from "../Ingredients.ts"
import * as Run from "../Run.ts"
import * as Source from "../Source.ts"
import * as Stage from "../Stage.ts"
import { Store } from "../Store.ts"
import * as Verify from "../Verify.ts"
import { type Check, holds, same } from "./Check.ts"

/** Publishes a text as a file. */
const publish = (text: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* Store
      const path = join(yield* store.scratch, "value")
      yield* Effect.promise(() => writeFile(path, text))
      return yield* store.publish(path)
    }),
  )

const ingredients = (by: number): Ingredients.Ingredients => ({
  stage: "contract",
  version: 1,
  params: { by },
  inputs: {},
  output: "text",
})

const actionFor = (by: number, digest: string, size: number): Action => ({
  key: Ingredients.key(ingredients(by)),
  ingredients: ingredients(by),
  kind: "file",
  digest,
  size,
  summary: "",
  started: new Date(by).toISOString(),
  seconds: 1,
})

const Number_ = Artifact.json("contract-number", Schema.Finite)

/** A pipeline whose body counts its runs. */
const counted = () => {
  const count = { runs: 0 }
  const stage = Stage.make({
    name: "contract",
    version: 1,
    inputs: { value: Number_ },
    output: Number_,
    run: ({ value }) =>
      Effect.delay(
        Effect.sync(() => (count.runs++, value + 1)),
        0,
      ),
  })
  return { count, node: stage({ value: Source.value(Number_, 1) }) }
}

/** The clauses that hold for every store. */
export const storeContract: ReadonlyArray<Check<Store>> = [
  {
    name: "gives back what was published, under its digest",
    check: Effect.gen(function* () {
      const store = yield* Store
      const { digest } = yield* publish("hello")
      yield* same(digest, Digest.of("hello"))
      const found = yield* store.content("file", digest)
      yield* holds(Option.isSome(found) && found.value._tag === "File", "content is found")
      if (Option.isSome(found) && found.value._tag === "File") {
        const { path } = found.value
        yield* same(yield* Effect.promise(() => readFile(path, "utf8")), "hello")
      }
    }),
  },
  {
    name: "publishes the same content once, however many do so at the same time",
    check: Effect.gen(function* () {
      const contents = yield* Effect.forEach(Array.from({ length: 8 }), () => publish("same"), {
        concurrency: "unbounded",
      })
      yield* same(new Set(contents.map(({ digest }) => digest)).size, 1)
      const store = yield* Store
      yield* same((yield* store.blobs).length, 1)
    }),
  },
  {
    name: "finds a record only while its content is whole",
    check: Effect.gen(function* () {
      const store = yield* Store
      const { digest, size } = yield* publish("result")
      const action = actionFor(1, digest, size)
      yield* same(yield* store.lookup("contract", action.key), Option.none())
      yield* store.record(action)
      yield* same(yield* store.lookup("contract", action.key), Option.some(action))
      yield* same(yield* store.history("contract"), [action])
      yield* store.removeBlob(digest)
      yield* same(yield* store.lookup("contract", action.key), Option.none())
      yield* same(yield* store.condition("file", digest), "missing")
    }),
  },
  {
    name: "keeps the elements of an unfinished stage until they are dropped",
    check: Effect.gen(function* () {
      const store = yield* Store
      const key = Digest.of("a stage")
      const { digest } = yield* publish("element")
      const part = { id: "a/b c", kind: "file", digest } as const
      yield* store.recordPart(key, part)
      yield* same(yield* store.part(key, part.id), Option.some(part))
      yield* same(yield* store.part(key, "other"), Option.none())
      yield* same(yield* store.parts, [{ key, parts: [part] }])
      yield* store.dropParts(key)
      yield* same(yield* store.part(key, part.id), Option.none())
    }),
  },
  {
    name: "gives a claim to one at a time",
    check: Effect.gen(function* () {
      const store = yield* Store
      const inner = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* same((yield* store.claim("k")).held, true)
          return (yield* Effect.scoped(store.claim("k"))).held
        }),
      )
      yield* same(inner, false)
      yield* same((yield* Effect.scoped(store.claim("k"))).held, true)
    }),
  },
  {
    name: "computes a key once, however many runs want it at the same time",
    check: Effect.gen(function* () {
      const { count, node } = counted()
      const values = yield* Effect.forEach(Array.from({ length: 5 }), () => Run.outputs({ node }), {
        concurrency: "unbounded",
      })
      yield* same(
        values,
        Array.from({ length: 5 }, () => ({ node: 2 })),
      )
      yield* same(count.runs, 1)
    }),
  },
  {
    name: "remembers runs and references",
    check: Effect.gen(function* () {
      const store = yield* Store
      yield* store.log("b", ['{"_tag":"one"}'])
      yield* store.log("b", ['{"_tag":"two"}'])
      yield* store.log("a", ["{}"])
      yield* same(yield* store.runs, ["a", "b"])
      yield* same(yield* store.events("b"), ['{"_tag":"one"}', '{"_tag":"two"}'])
      const { digest, size } = yield* publish("result")
      const action = actionFor(1, digest, size)
      yield* store.refer("p/q", "out put", action)
      const { key } = action
      yield* same(yield* store.refs, [{ pipeline: "p/q", output: "out put", stage: "contract", key, digest }])
    }),
  },
  {
    name: "collects what no reference and no run needs, and nothing else",
    check: Effect.gen(function* () {
      const store = yield* Store
      const { count, node } = counted()
      yield* Run.outputs({ node })
      const { digest, size } = yield* publish("forgotten")
      yield* store.record(actionFor(1, digest, size))
      const garbage = yield* Gc.collect({ grace: 0 })
      yield* same(
        garbage.blobs.map((blob) => blob.digest),
        [digest],
      )
      yield* same((yield* store.actions).length, 1)
      yield* Run.outputs({ node })
      yield* same(count.runs, 1)
    }),
  },
  {
    name: "is not collected while a run uses it",
    check: Effect.scoped(
      Effect.gen(function* () {
        const store = yield* Store
        yield* same((yield* store.enter).held, true)
        const error = yield* Effect.flip(Gc.collect({ grace: 0 }))
        yield* holds(error.message.includes("is using it"), error.message)
      }),
    ),
  },
  {
    name: "sets damaged blobs aside when it is verified, and computes them again",
    check: Effect.gen(function* () {
      const store = yield* Store
      const { count, node } = counted()
      yield* Run.outputs({ node })
      yield* same((yield* Verify.all()).damaged.length, 0)
      const [action] = yield* store.actions
      const found = yield* store.content("file", action?.digest ?? "")
      if (Option.isSome(found) && found.value._tag === "File") {
        const { path } = found.value
        yield* Effect.promise(async () => {
          const { chmod, utimes } = await import("node:fs/promises")
          await chmod(path, 0o644)
          await writeFile(path, "7\n")
          // As a disk would that forgets: nothing shows it but the bytes.
          await utimes(path, 1, 1)
        })
      }
      const report = yield* Verify.all()
      yield* same(
        report.damaged.map(({ blob }) => blob.digest),
        [action?.digest],
      )
      yield* same(yield* Run.outputs({ node }), { node: 2 })
      yield* same(count.runs, 2)
    }),
  },
]
