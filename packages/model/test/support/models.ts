/** Reference numbers, and models open in a real pool. */
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { CausalModel, Checkpoint, type Example, InterpolatedModel } from "../../src/index.ts"

export const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../../fixtures/micro/${name}`, import.meta.url))

export const shared = (path: string) =>
  fileURLToPath(new URL(`../../../../../shared/${path}`, import.meta.url))

export const readText = (path: string) => Effect.sync(() => readFileSync(path, "utf8"))

/** JSON whose form the test states. */
export const readJson = <A>(path: string): Effect.Effect<A> =>
  Effect.map(readText(path), (text) => JSON.parse(text) as A)

export const openModel = Effect.fnUntraced(function* (directory: string) {
  return yield* CausalModel.open(yield* Checkpoint.open(directory))
})

export const openDelta = Effect.fnUntraced(function* (base: string, expert: string) {
  return yield* InterpolatedModel.open(yield* Checkpoint.open(base), yield* Checkpoint.open(expert))
})

/** max |a − b| */
export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce(
    (max, value, i) => Math.max(max, Math.abs(value - (b[i] ?? NaN))),
    a.length === b.length ? 0 : NaN,
  )

/** Lowest index of the largest value. */
export const argMax = (values: Float32Array): number =>
  values.reduce((best, value, i) => (value > (values[best] ?? -Infinity) ? i : best), 0)

/** An example of the given text, split behind `promptLength` tokens. */
export const example = (tokens: ReadonlyArray<number>, promptLength: number): Example.Example => ({
  prompt: "",
  response: "",
  tokens,
  promptLength,
})

/** Additions as the micro family knows them. */
export const sums = (count: number) =>
  Array.from({ length: count }, (_, i) => `Q: ${(i * 37) % 100}+${i}\nA:`)
