/** What parameters and bodies of stages have in common. */
import { Stage } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"

/** A name in the stage's own directory. */
export const scratch = (name: string) => Effect.map(Stage.scratch, (directory) => join(directory, name))

/** A number that need not be given. */
export const withDefault = (value: number) =>
  Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(value)))

/** A weight per model. */
export const weights = Schema.optionalKey(Schema.Array(Schema.Finite))
