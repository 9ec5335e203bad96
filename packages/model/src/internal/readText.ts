/** The small text files of a checkpoint. */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { ModelError } from "../ModelError.ts"
import { failure } from "./files.ts"

/** The text of a file, UTF-8; its path stands for the model in errors. */
export const readText = (path: string): Effect.Effect<string, ModelError> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => new ModelError({ model: path, ...failure(cause) }),
  })
