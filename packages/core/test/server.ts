/** A process that serves a store: `server.ts <store> [token]`; prints its address. */
import { Store } from "@hila/core"
import * as StoreServer from "@hila/core/StoreServer"
import { Effect } from "effect"

const [directory = "", token] = process.argv.slice(2)
const limits = token === undefined ? {} : { token }
await Effect.runPromise(
  Effect.gen(function* () {
    process.stdout.write(`${yield* StoreServer.serve({ port: 0, ...limits })}\n`)
    yield* Effect.never
  }).pipe(Effect.scoped, Effect.provide(Store.layer(directory))),
)
