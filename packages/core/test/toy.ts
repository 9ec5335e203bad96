/** A small pipeline of numbers that counts how often its bodies run. */
import { Artifact, Source, Stage } from "@hila/core"
import { Effect, Schema } from "effect"

export const Numbers = Artifact.json("numbers", Schema.Array(Schema.Finite), {
  summary: (values) => `${values.length} numbers`,
})
export const Total = Artifact.json("total", Schema.Finite, { summary: (value) => `total ${value}` })
export const One = Artifact.json("one", Schema.Finite)

export class Broken extends Schema.TaggedError<Broken>()("Broken", { at: Schema.Number }) {
  override get message() {
    return `broken at ${this.at}`
  }
}

/** Stages with fresh counters. `failAt` makes the element of that value fail. */
export const toy = (options: { readonly failAt?: () => number | undefined } = {}) => {
  const calls: Array<string> = []
  const scale = Stage.make({
    name: "scale",
    version: 1,
    inputs: { numbers: Numbers },
    params: { by: Schema.Finite },
    output: Numbers,
    run: ({ numbers }, { by }) =>
      Stage.forEach(
        numbers,
        (value) =>
          Effect.suspend(() => {
            calls.push(`scale ${value}`)
            return value === options.failAt?.()
              ? Effect.fail(new Broken({ at: value }))
              : Effect.succeed(value * by)
          }),
        { part: (value) => String(value), output: One },
      ),
  })
  const positive = Stage.make({
    name: "positive",
    version: 1,
    inputs: { numbers: Numbers },
    output: Numbers,
    run: ({ numbers }) =>
      Effect.sync(() => {
        calls.push("positive")
        return numbers.map((value) => Math.sign(value))
      }),
  })
  const sum = Stage.make({
    name: "sum",
    version: 1,
    inputs: { parts: Stage.each(Numbers) },
    output: Total,
    run: ({ parts }) =>
      Effect.sync(() => {
        calls.push("sum")
        return parts.flat().reduce((a, b) => a + b, 0)
      }),
  })
  const source = (values: ReadonlyArray<number>) => Source.value(Numbers, values)
  return { calls, scale, positive, sum, source }
}
