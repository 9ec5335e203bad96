/** The pipeline that faults are tried on: elements, a directory, several inputs, and a log of every body that ran. */
import { Artifact, Run, Source, Stage, type Store } from "@hila/core"
import { Effect, Schema } from "effect"
import { appendFileSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"

const Numbers = Artifact.json("numbers", Schema.Array(Schema.Finite))
const One = Artifact.json("one", Schema.Finite)
const Files = Artifact.directory("files")

export interface Subject {
  /** Where bodies log themselves, one line each. */
  readonly log: string
  /** Milliseconds per body and element. */
  readonly pause: number
}

/** What a run has to answer. */
export const expected = { total: 20, names: ["a.txt", "sub/b.txt"] }

/** Runs the subject on the store at hand. */
export const run = ({ log, pause }: Subject) => {
  const body = <A>(name: string, value: () => A): Effect.Effect<A> =>
    Effect.promise(async () => {
      appendFileSync(log, `${name}\n`)
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause))
      return value()
    })
  const scale = Stage.make({
    name: "scale",
    version: 1,
    inputs: { numbers: Numbers },
    output: Numbers,
    run: ({ numbers }) =>
      Stage.forEach(numbers, (value) => body(`scale ${value}`, () => 2 * value), {
        part: (value) => `scale ${value}`,
        output: One,
      }),
  })
  const files = Stage.make({
    name: "files",
    version: 1,
    inputs: { numbers: Numbers },
    output: Files,
    run: ({ numbers }) =>
      Effect.gen(function* () {
        const directory = yield* Stage.scratch
        yield* body("files", () => undefined)
        const names = { "a.txt": join(directory, "a.txt"), "sub/b.txt": join(directory, "sub", "b.txt") }
        yield* Effect.promise(async () => {
          await mkdir(join(directory, "sub"), { recursive: true })
          await writeFile(names["a.txt"], numbers.join("\n"))
          await writeFile(names["sub/b.txt"], "b")
        })
        return { files: names }
      }),
  })
  const sum = Stage.make({
    name: "sum",
    version: 1,
    inputs: { parts: Stage.each(Numbers), files: Files },
    output: One,
    run: ({ parts }) => body("sum", () => parts.flat().reduce((total, value) => total + value, 0)),
  })
  const scaled = scale({ numbers: Source.value(Numbers, [1, 2, 3, 4]) })
  const written = files({ numbers: scaled })
  const total = sum({ parts: [scaled], files: written })
  return Effect.map(Run.outputs({ total, written }, { pipeline: "subject", jobs: 2 }), (values) => ({
    total: values.total,
    names: Object.keys(values.written.files),
  }))
}

/** The bodies and elements that a store has finished, by the names they log. */
export const finished = (store: Store["Service"]) =>
  Effect.gen(function* () {
    const names = new Set<string>()
    for (const { parts } of yield* store.parts) for (const { id } of parts) names.add(id)
    for (const { ingredients } of yield* store.actions) {
      if (ingredients.stage === "scale") for (const value of [1, 2, 3, 4]) names.add(`scale ${value}`)
      else names.add(ingredients.stage)
    }
    return names
  })
