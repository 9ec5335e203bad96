/** What every executor has to do, wherever it computes. Each check needs a store of its own. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Artifact from "../Artifact.ts"
import * as Run from "../Run.ts"
import * as Source from "../Source.ts"
import * as Stage from "../Stage.ts"
import { Executor } from "../Executor.ts"
import { Store } from "../Store.ts"
import { type Check, holds, same } from "./Check.ts"

const Numbers = Artifact.json("contract-numbers", Schema.Array(Schema.Finite))
const One = Artifact.json("contract-number", Schema.Finite)

class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {
  override get message() {
    return this.why
  }
}

const sum = Stage.make({
  name: "contract-sum",
  version: 1,
  inputs: { one: One, many: Stage.each(Numbers) },
  params: { times: Schema.Finite },
  output: One,
  run: ({ many, one }, { times }) =>
    Effect.succeed(times * many.flat().reduce((total, value) => total + value, one)),
})

const draw = Stage.make({
  name: "contract-draw",
  version: 1,
  params: { id: Schema.Int },
  output: Numbers,
  run: () => Effect.all([Random.next, Random.next]),
})

/** The clauses that hold for every executor. */
export const executorContract: ReadonlyArray<Check<Store>> = [
  {
    name: "computes from the content of the inputs, and leaves the result in the store",
    check: Effect.gen(function* () {
      const one = Source.value(One, 1)
      const many = [Source.value(Numbers, [2, 3]), Source.value(Numbers, [4])]
      const total = sum({ one, many }, { times: 2 })
      yield* same(yield* Run.outputs({ total }), { total: 20 })
      const store = yield* Store
      const [action] = yield* store.actions
      yield* same(yield* store.condition("file", action?.digest ?? ""), "whole")
      yield* same(action?.metrics, { "contract-number": 20 })
    }),
  },
  {
    name: "draws the same random numbers for the same key, and others for another",
    check: Effect.gen(function* () {
      const [first, second] = [draw({}, { id: 1 }), draw({}, { id: 2 })]
      const before = yield* Run.outputs({ first, second })
      yield* holds(before.first[0] !== before.second[0], "two keys drew the same")
      const store = yield* Store
      for (const action of yield* store.actions) yield* store.removeAction(action)
      yield* same(yield* Run.outputs({ first, second }), before)
    }),
  },
  {
    name: "fails with the error of the body, and records nothing",
    check: Effect.gen(function* () {
      const refuse = Stage.make({
        name: "contract-refuse",
        version: 1,
        output: One,
        run: () => Effect.fail(new Refused({ why: "no" })),
      })
      const error = yield* Effect.flip(Run.outputs({ out: refuse({}) }))
      yield* same(error._tag, "Refused")
      const store = yield* Store
      yield* same(yield* store.actions, [])
    }),
  },
  {
    name: "keeps the finished elements of a body that fails",
    check: Effect.gen(function* () {
      const computed: Array<number> = []
      let isBroken = true
      const list = Stage.make({
        name: "contract-list",
        version: 1,
        output: Numbers,
        run: () =>
          Stage.forEach(
            [1, 2, 3],
            (value) =>
              value === 3 && isBroken
                ? Effect.fail(new Refused({ why: "not yet" }))
                : Effect.sync(() => (computed.push(value), value)),
            { part: String, output: One },
          ),
      })
      yield* Effect.flip(Run.outputs({ out: list({}) }))
      isBroken = false
      yield* same(yield* Run.outputs({ out: list({}) }), { out: [1, 2, 3] })
      yield* same(computed, [1, 2, 3])
      const store = yield* Store
      yield* same(yield* store.parts, [])
    }),
  },
  {
    name: "is asked once for each key",
    check: Effect.gen(function* () {
      const asked: Array<string> = []
      const { execute } = yield* Executor
      const counting = Executor.of({ execute: (task) => (asked.push(task.key), execute(task)) })
      const nodes = { a: draw({}, { id: 1 }, "a"), b: draw({}, { id: 1 }, "b") }
      yield* Effect.provideService(Run.outputs(nodes), Executor, counting)
      yield* Effect.provideService(Run.outputs(nodes), Executor, counting)
      yield* same(asked.length, 1)
    }),
  },
]
