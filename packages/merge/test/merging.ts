/** A merge whose process kills itself when so much is written: `merging.ts <directory of the models> <output> <share>`. */
import { Engine } from "@hila/merge"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { plan } from "./models.ts"

const [models = "", output = "", limit] = process.argv.slice(2)
const open = (name: string) => Checkpoint.open(join(models, name))

await Effect.runPromise(
  Effect.gen(function* () {
    const [base, a, b] = [yield* open("base"), yield* open("a"), yield* open("b")]
    const tensors = plan({ base, models: [a, b], files: base.files }, "ties")
    const progress = (share: number) => {
      if (share >= Number(limit)) process.kill(process.pid, "SIGKILL")
    }
    yield* Engine.write(output, { method: "ties", tensors, files: base.files, threads: 2, progress })
  }),
)
