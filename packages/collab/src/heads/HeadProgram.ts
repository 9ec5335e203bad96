/**
 * Heads that run: with parameters as inputs, with or without their gradients, for training; from a file, for answering.
 */
import type { Artifact } from "@hila/core"
import { at, last } from "@hila/core/Lookup"
import { Safetensors } from "@hila/model"
import * as Graph from "@hila/model/onnx/Graph"
import { gradients } from "@hila/model/onnx/Reverse"
import * as Op from "@hila/model/onnx/Op"
import * as Batches from "@hila/model/runtime/Batches"
import * as Losses from "@hila/model/runtime/Losses"
import type { Tensors } from "@hila/model/runtime/Protocol"
import * as Effect from "effect/Effect"
import { Compute } from "../Compute.ts"
import type { Parameters } from "../training/AdamW.ts"
import * as Head from "./Head.ts"
import * as HeadData from "./HeadData.ts"
import * as HeadGraph from "./HeadGraph.ts"
import { type HeadSpec, isGated } from "./HeadSpec.ts"

/** What a head says of rows. */
export interface Output {
  /** [rows, classes] */
  readonly logProbabilities: Float32Array
  /** [rows, M]; even where the strategy has no gate */
  readonly gates: Float32Array
}

/** Rows of one run at most, beyond which nothing is gained. */
const chunk = 512

const fed = (builder: Graph.Builder, found: Map<string, Graph.Value<"f32">>): HeadGraph.Source => {
  return (name, shape) => {
    const value = found.get(name) ?? builder.input(name, "f32", shape)
    found.set(name, value)
    return value
  }
}

const parameterFeeds = (parameters: Parameters): Tensors =>
  Object.fromEntries(
    [...parameters].map(([name, { data, shape }]) => [name, Batches.float32(data.slice(), shape)]),
  )

const results = (logProbabilities: Graph.Value<"f32">, logGates: Graph.Value<"f32"> | undefined) =>
  logGates === undefined ? { logProbabilities } : { logProbabilities, logGates }

const fetches = (spec: HeadSpec) =>
  isGated(spec.strategy) ? ["logProbabilities", "logGates"] : ["logProbabilities"]

const outputOf = (spec: HeadSpec, rows: number, outputs: Tensors): Output => ({
  logProbabilities: Losses.float32(outputs["logProbabilities"]),
  gates: isGated(spec.strategy)
    ? Losses.float32(outputs["logGates"]).map(Math.exp)
    : new Float32Array(rows * spec.experts.length).fill(1 / spec.experts.length),
})

/** Runs `run` over chunks of rows, and joins what it gives. */
const inChunks = <E, R>(
  spec: HeadSpec,
  count: number,
  run: (rows: ReadonlyArray<number>) => Effect.Effect<Output, E, R>,
) =>
  Effect.gen(function* () {
    const logProbabilities = new Float32Array(count * spec.classes)
    const gates = new Float32Array(count * spec.experts.length)
    for (let start = 0; start < count; start += chunk) {
      const rows = Array.from({ length: Math.min(chunk, count - start) }, (_, i) => start + i)
      const output = yield* run(rows)
      logProbabilities.set(output.logProbabilities, start * spec.classes)
      gates.set(output.gates, start * spec.experts.length)
    }
    return { logProbabilities, gates } satisfies Output
  })

const maskOf = (
  selected: Float32Array | undefined,
  rows: ReadonlyArray<number>,
  width: number,
): Float32Array | undefined =>
  selected === undefined
    ? undefined
    : rows.length === 0
      ? new Float32Array(0)
      : selected.slice(at(rows, 0) * width, (last(rows) + 1) * width)

/** Opens a head of given parameters, as training changes them. */
export const openFed = Effect.fnUntraced(function* (spec: HeadSpec) {
  const compute = yield* Compute
  const graph = Graph.build("head", (builder) => {
    const { logGates, logProbabilities } = HeadGraph.forward(builder, spec, fed(builder, new Map()), false)
    return results(logProbabilities, logGates)
  })
  const program = yield* compute.open(`head ${spec.strategy}`, graph)
  return (parameters: Parameters, data: HeadData.HeadData, selected?: Float32Array) =>
    inChunks(
      spec,
      data.count,
      Effect.fnUntraced(function* (rows) {
        const own = HeadData.feeds(spec, data, rows, maskOf(selected, rows, spec.experts.length))
        const outputs = yield* program.lease((lease) =>
          lease.run({ ...own, ...parameterFeeds(parameters) }, fetches(spec)),
        )
        return outputOf(spec, rows.length, outputs)
      }),
    )
})

/** The derivatives of a batch's objective with respect to what a head computes. */
export interface Adjoints {
  /** Of the log-likelihood of each row's class, [rows, 1]. */
  readonly likelihood: Float32Array
  /** Of log-gates, [rows, M]. */
  readonly logGates: Float32Array
}

/** Opens a head with the gradients of its parameters. */
export const openGradients = Effect.fnUntraced(function* (spec: HeadSpec) {
  const compute = yield* Compute
  const found = new Map<string, Graph.Value<"f32">>()
  const count = spec.experts.length
  const graph = Graph.build("head-training", (builder) => {
    const { logGates, logProbabilities } = HeadGraph.forward(builder, spec, fed(builder, found), true)
    const targets = builder.input("targets", "i32", ["batch", 1])
    const likelihood = Op.gatherElements(logProbabilities, targets, 1)
    const ofLikelihood = { of: likelihood, adjoint: builder.input("adjoint.likelihood", "f32", ["batch", 1]) }
    const seeds =
      logGates === undefined
        ? [ofLikelihood]
        : [
            ofLikelihood,
            { of: logGates, adjoint: builder.input("adjoint.logGates", "f32", ["batch", count]) },
          ]
    const derivatives = gradients(seeds, [...found.values()])
    return {
      ...results(logProbabilities, logGates),
      likelihood,
      ...Object.fromEntries([...found.keys()].map((name, i) => [`gradient of ${name}`, at(derivatives, i)])),
    }
  })
  const program = yield* compute.open(`training of ${spec.strategy}`, graph)
  const names = [...found.keys()]
  return Effect.fnUntraced(function* (
    parameters: Parameters,
    data: HeadData.HeadData,
    rows: ReadonlyArray<number>,
    adjoints: Adjoints,
    options: { readonly selected?: Float32Array; readonly dropout?: Float32Array } = {},
  ) {
    const size = rows.length
    const own = HeadData.feeds(spec, data, rows, options.selected)
    const dropout = options.dropout ?? new Float32Array(size * spec.hidden).fill(1)
    const inputs: Tensors = {
      ...own,
      ...parameterFeeds(parameters),
      targets: Batches.int32(
        Int32Array.from(rows, (row) => at(data.labels, row)),
        [size, 1],
      ),
      "adjoint.likelihood": Batches.float32(adjoints.likelihood.slice(), [size, 1]),
      ...(isGated(spec.strategy)
        ? { "adjoint.logGates": Batches.float32(adjoints.logGates.slice(), [size, count]) }
        : {}),
      ...(spec.strategy === "concat" ? { dropout: Batches.float32(dropout, [size, spec.hidden]) } : {}),
    }
    const wanted = [...fetches(spec), "likelihood", ...names.map((name) => `gradient of ${name}`)]
    const outputs = yield* program.lease((lease) => lease.run(inputs, wanted))
    return {
      ...outputOf(spec, size, outputs),
      likelihood: Losses.float32(outputs["likelihood"]),
      gradients: new Map(names.map((name) => [name, Losses.float32(outputs[`gradient of ${name}`])])),
    }
  })
})

/** Opens a head from its file: the whole of it, and its gate alone. */
export const open = Effect.fnUntraced(function* (file: Artifact.FileHandle) {
  const head = yield* Head.read(file)
  const { spec } = head
  const { tensors } = yield* Safetensors.open(file.path)
  const compute = yield* Compute
  const stored =
    (builder: Graph.Builder): HeadGraph.Source =>
    (name, shape) => {
      const info = tensors.get(name) ?? builder.fail("head", `the file has no parameter "${name}"`)
      if (info.shape.join() !== shape.join()) {
        const sizes = `expected the shape ${shape.join(" × ")}, got ${info.shape.join(" × ")}`
        builder.fail("head", `parameter "${name}": ${sizes}; train the head again`)
      }
      return builder.weight(name, "f32", shape, info)
    }
  const whole = yield* compute.open(
    `head ${spec.strategy}`,
    Graph.build("head", (builder) => {
      const { logGates, logProbabilities } = HeadGraph.forward(builder, spec, stored(builder), false)
      return results(logProbabilities, logGates)
    }),
  )
  const gateProgram = isGated(spec.strategy)
    ? yield* compute.open(
        `gate of ${spec.strategy}`,
        Graph.build("gate", (builder) => ({ logGates: HeadGraph.gateAlone(builder, spec, stored(builder)) })),
      )
    : undefined
  const run = (data: HeadData.HeadData, selected?: Float32Array) =>
    inChunks(
      spec,
      data.count,
      Effect.fnUntraced(function* (rows) {
        const own = HeadData.feeds(spec, data, rows, maskOf(selected, rows, spec.experts.length))
        const outputs = yield* whole.lease((lease) => lease.run(own, fetches(spec)))
        return outputOf(spec, rows.length, outputs)
      }),
    )
  /** Gates [rows, M] of queries [rows, query], before any expert has run. */
  const gate = Effect.fnUntraced(function* (queries: Float32Array) {
    const rows = queries.length / spec.query
    const count = spec.experts.length
    if (gateProgram === undefined) return new Float32Array(rows * count).fill(1 / count)
    const inputs = {
      query: Batches.float32(queries.slice(), [rows, spec.query]),
      selected: Batches.float32(new Float32Array(rows * count).fill(1), [rows, count]),
    }
    const outputs = yield* gateProgram.lease((lease) => lease.run(inputs, ["logGates"]))
    return Losses.float32(outputs["logGates"]).map(Math.exp)
  })
  return { ...head, run, gate }
})
