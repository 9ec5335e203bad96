/** What `hila collab pack` and `hila serve collab` do. */
import { Bundle, Cascade, Compute, Expert, Server } from "@hila/collab"
import { Checkpoint } from "@hila/model"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { UsageError } from "./CliError.ts"
import * as Failure from "./Failure.ts"

/** What `hila collab pack` is told; paths are relative to the file. */
const Contents = Schema.Struct({
  classes: Schema.Array(Schema.String),
  head: Schema.String,
  topK: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  cascade: Schema.optionalKey(Schema.String),
  experts: Schema.Array(Schema.Struct({ path: Schema.String, ...Expert.Spec.fields })),
})

const decoded = Effect.fnUntraced(function* <
  S extends Schema.Constraint & { readonly DecodingServices: never },
>(path: string, schema: S) {
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: () => new UsageError({ problem: `${path}: cannot be read` }),
  })
  return yield* Effect.mapError(
    Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(text),
    ({ message }) => new UsageError({ problem: `${path}: ${Failure.oneLine(message)}` }),
  )
})

/** `hila collab pack`. */
export const pack = Effect.fnUntraced(function* (given: {
  readonly contents: string
  readonly directory: string
}) {
  const contents = yield* decoded(given.contents, Contents)
  const at = (path: string) => resolve(dirname(given.contents), path)
  const { cascade, classes, experts, head, topK } = contents
  const opened = yield* Effect.forEach(experts, ({ path, ...spec }) =>
    Effect.map(Checkpoint.open(at(path)), (model) => ({ model, spec })),
  )
  const thresholds = cascade === undefined ? undefined : yield* decoded(at(cascade), Cascade.Cascade)
  const { files } = yield* Bundle.write(given.directory, {
    models: opened.map(({ model }) => model),
    specs: opened.map(({ spec }) => spec),
    classes,
    head: { path: at(head) },
    ...(topK === undefined ? {} : { topK }),
    ...(thresholds === undefined ? {} : { cascade: thresholds }),
  })
  yield* Console.log(
    `${given.directory}: ${experts.length} experts, ${classes.length} classes, ${Object.keys(files).length} files`,
  )
})

/** `hila serve collab`. */
export const serve = Effect.fnUntraced(
  function* ({
    directory,
    host,
    port,
  }: {
    readonly directory: string
    readonly host: string
    readonly port: number
  }) {
    const url = yield* Server.serve(directory, { host, port })
    yield* Console.log(`${directory} at ${url}`)
    return yield* Effect.never
  },
  Effect.scoped,
  Effect.provide(Compute.layer),
)
