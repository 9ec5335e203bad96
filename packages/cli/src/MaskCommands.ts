/** `hila masks show`: what a mask of a task vector keeps, unit by unit. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { debug, json } from "./Arguments.ts"
import { table } from "./Tables.ts"

const show = Command.make(
  "show",
  {
    file: Argument.String("file").pipe(Argument.withDescription("A mask, as pruning writes it")),
    json,
    debug,
  },
  Effect.fnUntraced(function* (given) {
    const { Mask } = yield* Effect.promise(() => import("@hila/merge"))
    const mask = yield* Mask.open(given.file)
    const { density, scheme } = mask
    const units = mask.units.map((row) => ({ ...row, density: row.size === 0 ? 0 : row.kept / row.size }))
    if (given.json) return yield* Console.log(JSON.stringify({ scheme, density, units }))
    const rows = units.map(({ density: own, kept, scale = 1, size, unit }) => [
      unit,
      String(size),
      String(kept),
      own.toFixed(4),
      scale.toFixed(3),
    ])
    yield* Console.log(Mask.artifact.summary(mask))
    yield* Console.log(table([["unit", "scalars", "kept", "density", "scale"], ...rows]))
  }),
).pipe(
  Command.withDescription(
    "Says what a mask keeps of each unit: scalars, density, and what they are scaled by",
  ),
  Command.withExamples([
    {
      command: "hila masks show code.mask.safetensors",
      description: "Densities by unit, of a mask that `prune` of @hila/merge wrote",
    },
  ]),
)

/** `hila masks`. */
export const masks = Command.make("masks").pipe(
  Command.withDescription("Looks at masks of task vectors"),
  Command.withSubcommands([show]),
  Command.withExamples([
    { command: "hila masks show code.mask.safetensors", description: "Densities by unit" },
  ]),
)
