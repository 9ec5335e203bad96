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
    catch: () => new UsageError({ problem: `${path}: cannot be read; is the path right?` }),
  })
  return yield* Effect.mapError(
    Schema.decodeUnknownEffect(Schema.fromJsonString(schema), { onExcessProperty: "error" })(text),
    ({ message }) => new UsageError({ problem: `${path}: ${Failure.oneLine(message)}` }),
  )
})

/** `hila collab pack`. */
export const pack = Effect.fnUntraced(function* (given: {
  readonly contents: string
  readonly directory: string
  readonly json: boolean
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
  const { directory } = given
  const names = Object.keys(files)
  yield* Console.log(
    given.json
      ? JSON.stringify({ directory, experts: experts.map(({ name }) => name), classes, files: names })
      : `${directory}: ${experts.length} experts, ${classes.length} classes, ${names.length} files`,
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
