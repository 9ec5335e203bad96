import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Compute } from "../src/index.ts"
import * as Head from "../src/heads/Head.ts"
import * as HeadData from "../src/heads/HeadData.ts"
import * as HeadProgram from "../src/heads/HeadProgram.ts"
import { type HeadSpec, isGated, strategies, type Strategy } from "../src/heads/HeadSpec.ts"
import * as HeadTraining from "../src/heads/HeadTraining.ts"
import * as Metrics from "../src/Metrics.ts"
import { numbers } from "./support/family.ts"

const [classes, count, query] = [3, 3, 5]
const specOf = (strategy: Strategy): HeadSpec => ({
  strategy,
  experts: [
    { name: "a", width: 4 },
    { name: "b", width: 6 },
    { name: "c", width: 4 },
  ],
  classes,
  query,
  width: 8,
  hidden: 6,
  heads: 2,
  rank: 3,
  groups: [[0, 2], [1]],
  temperatures: [1, 2, 0.5],
})

const labelsOf = (rows: number) => Int32Array.from({ length: rows }, (_, i) => (7 * i) % classes)

const dataOf = (spec: HeadSpec, rows: number): HeadData.HeadData => ({
  count: rows,
  features: spec.experts.map(({ width }, i) => numbers(rows * width, i)),
  logits: spec.experts.map((_, i) => numbers(rows * classes, 10 + i)),
  queries: numbers(rows * query, 20),
  labels: labelsOf(rows),
})

const options: HeadTraining.Options = {
  ...HeadTraining.defaults,
  batch: 32,
  epochs: 12,
  gateRate: 2e-2,
  dropout: 0,
  topK: count,
  seed: 0,
}

/** Parameters that are nowhere zero, so that every derivative is put to the test. */
const shaken = (spec: HeadSpec) =>
  new Map(
    [...Head.initial(spec, 3)].map(([name, { data, shape }], i) => [
      name,
      { shape, data: data.map((value, j) => value + 0.3 * Math.cos(3 * i + j)) },
    ]),
  )

layer(Compute.layerWith({ workers: 1, threads: 1 }))("heads", (it) => {
  it.effect.each(strategies)("%s: gradients agree with differences", (strategy) =>
    Effect.gen(function* () {
      const spec = specOf(strategy)
      const data = dataOf(spec, 4)
      const parameters = shaken(spec)
      const rows = [0, 1, 2, 3]
      const likelihood = new Float32Array(4).fill(-1 / 4)
      const logGates = Float32Array.from({ length: 4 * count }, (_, i) => 0.05 * Math.sin(i))
      const step = yield* HeadProgram.openGradients(spec)
      const run = step(parameters, data, rows, { likelihood, logGates })
      const { gradients } = yield* run
      const objective = Effect.map(run, (out) => {
        const gates = isGated(strategy)
          ? [...out.gates].reduce((sum, g, i) => sum + Math.log(g) * logGates[i]!, 0)
          : 0
        return -out.likelihood.reduce((a, b) => a + b, 0) / 4 + gates
      })
      for (const [name, { data: values }] of parameters) {
        const at = Math.floor(values.length / 2)
        const value = values[at]!
        const width = 1e-2
        values[at] = value + width
        const above = yield* objective
        values[at] = value - width
        const below = yield* objective
        values[at] = value
        const expected = (above - below) / (2 * width)
        assert.closeTo(gradients.get(name)![at]!, expected, 3e-4 + 0.02 * Math.abs(expected), name)
      }
    }).pipe(Effect.scoped),
  )

  it.effect.each(strategies)(
    "%s: all experts chosen are the dense head, one closed is one without a say",
    (strategy) =>
      Effect.gen(function* () {
        const spec = specOf(strategy)
        const data = dataOf(spec, 6)
        const run = yield* HeadProgram.openFed(spec)
        const parameters = shaken(spec)
        const dense = yield* run(parameters, data)
        const all = HeadData.top(dense.gates, count, count)
        assert.deepStrictEqual(yield* run(parameters, data, all), dense)
        // What a closed expert would have said changes nothing.
        const mask = Float32Array.from({ length: 6 * count }, (_, i) => (i % count === 1 ? 0 : 1))
        const other = {
          ...data,
          features: data.features.with(1, numbers(6 * 6, 99)),
          logits: data.logits.with(1, numbers(6 * classes, 98)),
        }
        const [closed, changed] = [yield* run(parameters, data, mask), yield* run(parameters, other, mask)]
        closed.logProbabilities.forEach((value, i) =>
          assert.closeTo(value, changed.logProbabilities[i]!, 1e-5),
        )
        assert.isBelow(closed.gates[1]!, isGated(strategy) ? 1e-30 : 1)
      }).pipe(Effect.scoped),
  )

  it.effect("identical experts get even gates", () =>
    Effect.gen(function* () {
      const spec = { ...specOf("gated"), experts: ["a", "b", "c"].map((name) => ({ name, width: 4 })) }
      const one = dataOf(spec, 90)
      const same = {
        ...one,
        features: one.features.map(() => one.features[0]!),
        logits: one.logits.map(() => one.logits[0]!),
      }
      const trainer = yield* HeadTraining.open(spec, same, same, options)
      let head: Head.Head = { spec, parameters: Head.initial(spec, 0), curve: [] }
      for (const phase of HeadTraining.phases(spec, options)) head = yield* trainer.phase(head, phase)
      const run = yield* HeadProgram.openFed(spec)
      const { gates } = yield* run(head.parameters, same)
      for (const gate of gates) assert.closeTo(gate, 1 / 3, 5e-3)
    }).pipe(Effect.scoped),
  )

  it.effect("an expert that is always right is chosen", () =>
    Effect.gen(function* () {
      const spec = specOf("gated")
      const data = dataOf(spec, 120)
      const right = Float32Array.from({ length: 120 * classes }, (_, i) =>
        i % classes === data.labels[Math.floor(i / classes)] ? 6 : 0,
      )
      const told = { ...data, logits: data.logits.with(1, right) }
      const trainer = yield* HeadTraining.open(spec, told, told, options)
      let head: Head.Head = { spec, parameters: Head.initial(spec, 0), curve: [] }
      for (const phase of HeadTraining.phases(spec, options))
        head = yield* trainer.phase(head, { ...phase, epochs: 12 })
      const run = yield* HeadProgram.openFed(spec)
      const { gates, logProbabilities } = yield* run(head.parameters, told)
      const chosen = HeadData.top(gates, count, 1)
      assert.strictEqual(
        chosen.reduce((n, value, i) => n + (i % count === 1 ? value : 0), 0),
        120,
      )
      assert.strictEqual(
        Metrics.macroF1(Metrics.classesOf(logProbabilities, classes), data.labels, classes),
        1,
      )
    }).pipe(Effect.scoped),
  )

  it.effect(
    "annealed to one expert, a head that needed all of them answers with the one that is chosen",
    () =>
      Effect.gen(function* () {
        const spec = specOf("concat")
        const given = dataOf(spec, 150)
        // The second expert, whom the gate learns to choose, says the class softly; the others say it loudly.
        const told = {
          ...given,
          features: spec.experts.map(({ width }, i) =>
            Float32Array.from({ length: 150 * width }, (_, at) => {
              const [row, column] = [Math.floor(at / width), at % width]
              const loudness = column === given.labels[row] ? (i === 1 ? 0.7 : 4) : 0
              return loudness + 0.3 * Math.sin(7 * at * at + i)
            }),
          ),
          logits: given.logits.with(
            1,
            Float32Array.from({ length: 150 * classes }, (_, at) =>
              at % classes === given.labels[Math.floor(at / classes)] ? 6 : 0,
            ),
          ),
        }
        const joint = { ...options, epochs: 4, gateRate: 5e-2, jointRate: 2e-2, jointEpochs: 10, topK: 1 }
        const run = yield* HeadProgram.openFed(spec)
        const trained = Effect.fnUntraced(function* (own: HeadTraining.Options) {
          const trainer = yield* HeadTraining.open(spec, told, told, own)
          let head: Head.Head = { spec, parameters: Head.initial(spec, 0), curve: [] }
          for (const phase of HeadTraining.phases(spec, own)) head = yield* trainer.phase(head, phase)
          const { gates } = yield* run(head.parameters, told)
          const { logProbabilities } = yield* run(head.parameters, told, HeadData.top(gates, count, 1))
          const predicted = Metrics.classesOf(logProbabilities, classes)
          return { head, one: Metrics.macroF1(predicted, told.labels, classes) }
        })
        const dense = yield* trained({ ...joint, topK: count })
        const narrow = yield* trained({ ...joint, anneal: true })
        assert.isAbove(narrow.one, dense.one)
        assert.isAbove(narrow.one, 0.95)
        // What its curve says of the joint stage is what one expert says.
        const best = Math.max(
          ...narrow.head.curve
            .filter(({ stage }) => stage === "joint")
            .map((epoch) => epoch.validationMacroF1),
        )
        assert.closeTo(narrow.one, best, 1e-9)
      }).pipe(Effect.scoped),
  )

  it("are annealed from all experts to those that are wanted, by the middle of the epochs", () => {
    const of = (most: number, k: number, epochs: number) =>
      Array.from({ length: epochs }, (_, i) => HeadTraining.annealed(most, k, i + 1, epochs))
    assert.deepStrictEqual(of(4, 1, 6), [4, 3, 2, 1, 1, 1])
    assert.deepStrictEqual(of(3, 2, 5), [3, 3, 2, 2, 2])
    assert.deepStrictEqual(of(3, 1, 1), [1])
    assert.deepStrictEqual(of(3, 3, 3), [3, 3, 3])
  })

  it.effect("are the same from their file", () =>
    Effect.gen(function* () {
      const spec = specOf("attention")
      const data = dataOf(spec, 5)
      const parameters = shaken(spec)
      const path = `${process.env["TMPDIR"] ?? "/tmp"}/hila-head-${process.pid}.safetensors`
      yield* Head.write(path, { spec, parameters, curve: [] })
      const opened = yield* HeadProgram.open({ path })
      const fed = yield* HeadProgram.openFed(spec)
      const expected = yield* fed(parameters, data)
      assert.deepStrictEqual(yield* opened.run(data), expected)
      const gates = yield* opened.gate(data.queries)
      gates.forEach((gate, i) => assert.closeTo(gate, expected.gates[i]!, 1e-6))
    }).pipe(Effect.scoped),
  )
})
