/** A collaboration that tests share, and a bundle of it. */
import { Context, Effect, Layer } from "effect"
import * as Head from "../../src/heads/Head.ts"
import type { HeadSpec } from "../../src/heads/HeadSpec.ts"
import { Bundle } from "../../src/index.ts"
import * as Family from "./family.ts"

/** Two experts, a head that has not been trained but has a gate with an opinion, and a bundle of them. */
export class Packed extends Context.Service<
  Packed,
  { readonly directory: string; readonly contents: Bundle.Contents }
>()("test/Packed") {
  static readonly layer = Layer.effect(
    Packed,
    Effect.gen(function* () {
      const directory = yield* Family.temporary
      const models = yield* Effect.forEach([0, 1], (index) => Family.untrained(directory, index))
      const spec: HeadSpec = {
        strategy: "concat",
        experts: Family.specs.map(({ name }) => ({ name, width: Family.size.hidden })),
        classes: Family.texts.classes.length,
        query: Family.size.hidden,
        width: 8,
        hidden: 8,
        heads: 2,
        rank: 2,
        groups: [],
        temperatures: [1, 1],
      }
      const parameters = new Map(
        [...Head.initial(spec, 1)].map(([name, { data, shape }], i) => [
          name,
          { shape, data: name === "gate.outer.weight" ? Family.numbers(data.length, i) : data },
        ]),
      )
      const head = yield* Head.write(`${directory}/head.safetensors`, { spec, parameters, curve: [] })
      const contents = {
        models,
        specs: Family.specs,
        classes: Family.texts.classes,
        head,
      }
      yield* Bundle.write(`${directory}/bundle`, contents)
      return { directory, contents }
    }),
  )
}

/** Texts to ask it. */
export const asked = Family.texts.test.map(({ text }) => text)
