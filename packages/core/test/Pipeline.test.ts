import { Graph, Node, Pipeline, Plan, Reason, Stage, Store } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { join } from "node:path"
import { temporaryDirectory } from "./temporary.ts"
import { Numbers, toy } from "./toy.ts"

const { scale, source, sum } = toy()
const Factor = Schema.Finite.check(Schema.isGreaterThan(0))

const pipeline = Pipeline.make({
  name: "toy",
  options: {
    by: Pipeline.option(Factor, 2, "factor"),
    title: Pipeline.option(Schema.String, "x", "a text"),
  },
  build: ({ by, title }) => ({ total: sum({ parts: [scale({ numbers: source([1]) }, { by }, title)] }) }),
  layer: Layer.empty,
})

describe("Pipeline", () => {
  it.effect("builds with defaults, and with options given as text", () =>
    Effect.gen(function* () {
      const titles = (set: Record<string, string>) =>
        Effect.map(Pipeline.build(pipeline, set), (outputs) =>
          Node.stages(Object.values(outputs)).map(Node.title),
        )
      assert.deepStrictEqual(yield* titles({}), ["scale x", "sum x"])
      assert.deepStrictEqual(yield* titles({ title: "3", by: "0.5" }), ["scale 3", "sum 3"])
    }),
  )

  it.effect("answers a slip of the finger with the option that was meant", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Pipeline.build(pipeline, { tittle: "a" }))
      assert.strictEqual(
        error.message,
        'pipeline toy: unknown option "tittle", did you mean "title"? it takes by, title',
      )
    }),
  )

  it.effect("names what is misspelt in the pipeline itself, and where something else failed", () =>
    Effect.gen(function* () {
      const problem = (build: (options: { readonly by: number }) => unknown) =>
        Effect.map(
          Effect.flip(
            Pipeline.build(
              // As a file that nobody has compiled.
              Pipeline.make({
                name: "slip",
                options: { by: Pipeline.option(Factor, 2, "factor") },
                build: build as () => {},
                layer: Layer.empty,
              }),
            ),
          ),
          ({ message }) => message,
        )
      const node = source([1])
      const misspelt = (options: object) => (options as { readonly bye: { readonly x: 1 } }).bye.x
      assert.strictEqual(
        yield* problem((options) => ({ node, x: misspelt(options) })),
        'pipeline slip: build reads an unknown option "bye", did you mean "by"? it takes by',
      )
      assert.match(
        yield* problem(({ by }) => ({ node, x: misspelt({ by }) })),
        /^pipeline slip: Cannot read properties of undefined .* \(.*Pipeline\.test\.ts:\d+\)$/,
      )
      assert.strictEqual(
        yield* problem(() => ({ node, merged: undefined })),
        'pipeline slip: output "merged" is undefined; build returns nodes by name, such as { merged }',
      )
      assert.match(
        yield* problem(() => node),
        /what build returns is a value of type object; build returns nodes/,
      )
      assert.match(
        yield* problem(() => ({ out: (scale as unknown as () => typeof node)() })),
        /^stage scale: expected its inputs by name, \{\} where it takes none, got undefined$/,
      )
      // Copies, rests and what prints an object ask for nothing that is not there.
      yield* Pipeline.build(
        Pipeline.make({
          name: "copies",
          options: { by: Pipeline.option(Factor, 2, "factor") },
          build: ({ by, ...rest }) => {
            assert.deepStrictEqual([{ ...rest }, JSON.stringify({ by })], [{}, '{"by":2}'])
            return { node }
          },
          layer: Layer.empty,
        }),
      )
      assert.throws(
        () =>
          Pipeline.make({
            name: "slip",
            options: { by: 2 as never },
            build: () => ({ node }),
            layer: Layer.empty,
          }),
        'pipeline slip: option "by" is a value of type number; write Pipeline.option(schema, default, description)',
      )
    }),
  )

  it.effect("refuses a value its schema refuses, in one line that names option and value", () =>
    Effect.gen(function* () {
      for (const text of ["many", "-1", "NaN"]) {
        const error = yield* Effect.flip(Pipeline.build(pipeline, { by: text }))
        assert.include(error.message, `option by=${text}: `)
        assert.notInclude(error.message, "\n")
      }
    }),
  )

  it.effect("turns a graph that cannot be built into an error of the user's", () =>
    Effect.gen(function* () {
      const strict = Stage.make({
        name: "strict",
        version: 1,
        params: { by: Factor },
        output: Numbers,
        run: () => Effect.succeed([]),
      })
      const bad = Pipeline.make({
        name: "bad",
        options: { by: Pipeline.option(Schema.Finite, -1, "factor") },
        build: ({ by }) => ({ out: strict({}, { by }) }),
        layer: Layer.empty,
      })
      const error = yield* Effect.flip(Pipeline.build(bad))
      assert.strictEqual(error.blame, "input")
      assert.match(error.message, /^stage strict: .*greater than 0/)
      assert.notInclude(error.message, "\n")
    }),
  )

  it.effect("is recognised, and nothing else is", () =>
    Effect.sync(() => {
      assert.isTrue(Pipeline.isPipeline(pipeline))
      for (const other of [undefined, null, {}, "pipeline", () => 1])
        assert.isFalse(Pipeline.isPipeline(other))
    }),
  )

  it.effect("is drawn with its sources, slots and outputs", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        Graph.mermaid(yield* Pipeline.build(pipeline)),
        [
          "flowchart LR",
          '  n0(["numbers"])',
          '  n1["scale x · v1"]',
          '  n2["sum x · v1"]',
          "  n0 -->|numbers| n1",
          "  n1 -->|parts| n2",
          '  n2 --> out_total(("total"))',
        ].join("\n"),
      )
      const { total } = yield* Pipeline.build(pipeline)
      assert.include(Graph.mermaid({ "the total": total! }), ' --> out0(("the total"))')
    }),
  )

  it.effect("is drawn for Graphviz too", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        Graph.dot(yield* Pipeline.build(pipeline, { title: 'a "b"' })),
        [
          "digraph pipeline {",
          "  rankdir=LR",
          '  n0 [shape=box, style=rounded, label="numbers"]',
          '  n1 [shape=box, label="scale a \\"b\\" · v1"]',
          '  n2 [shape=box, label="sum a \\"b\\" · v1"]',
          '  n0 -> n1 [label="numbers"]',
          '  n1 -> n2 [label="parts"]',
          '  "out total" [shape=circle, label="total"]',
          '  n2 -> "out total"',
          "}",
        ].join("\n"),
      )
    }),
  )

  it.effect("plans everything as never run on an empty store", () =>
    Effect.gen(function* () {
      const store = join(yield* temporaryDirectory, "store")
      const plan = yield* Effect.provide(
        Plan.make(yield* Pipeline.build(pipeline)),
        Layer.mergeAll(pipeline.layer, Store.layer(store)),
      )
      assert.strictEqual(
        Plan.render(plan),
        [
          "  scale x  run    never ran",
          "  sum x    waits  on scale x",
          "1 to run, 1 may follow, 0 kept",
        ].join("\n"),
      )
    }),
  )
})

describe("Reason", () => {
  const action = (params: Record<string, number>, started: string) => ({
    key: started,
    ingredients: { stage: "s", version: 1, params, inputs: {}, output: "o" },
    kind: "file" as const,
    digest: "d",
    size: 1,
    summary: "",
    started,
    seconds: 1,
  })

  it("compares with the nearest earlier record, the latest of those", () => {
    const now = { stage: "s", version: 1, params: { density: 0.3, seed: 1 }, inputs: {}, output: "o" }
    const history = [
      action({ density: 0.5, seed: 1 }, "2026-01-01"),
      action({ density: 0.4, seed: 1 }, "2026-01-02"),
      action({ density: 0.9, seed: 2 }, "2026-01-03"),
    ]
    assert.deepStrictEqual(Reason.explain(now, history).map(Reason.render), ["density: 0.4 → 0.3"])
    assert.deepStrictEqual(Reason.explain(now, []).map(Reason.render), ["never ran"])
  })
})
