/**
 * A computation graph under construction: typed values, the nodes between them, and the weights they read.
 *
 * Operators (`Op.ts`) check element types and shapes when a node is added, so a graph that was built is well formed.
 * Nodes are kept in the order they were written, with their operands as values rather than names: a pass over the
 * graph (writing it as ONNX, printing it, differentiating it) walks `nodes` and needs no further tables.
 */
import { entryOr } from "@hila/core/Lookup"
import type * as Result from "effect/Result"
import { attempt, raise } from "../internal/raise.ts"
import type { ElementType, WeightType } from "./ElementType.ts"
import type { GraphError } from "./GraphError.ts"
import type { Shape } from "./Shape.ts"

/** One tensor of the graph. Its name is unique; operators reach the graph they belong to through `builder`. */
export interface Value<out T extends ElementType = ElementType> {
  readonly name: string
  readonly type: T
  readonly shape: Shape
  readonly builder: Builder
}

export type Attribute =
  | { readonly _tag: "Int"; readonly value: number }
  | { readonly _tag: "Ints"; readonly value: ReadonlyArray<number> }
  | { readonly _tag: "Float"; readonly value: number }
  | { readonly _tag: "String"; readonly value: string }

export interface Node {
  readonly operator: string
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Value>
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** Bytes of a file: where an external initializer lies. `file` is an absolute path; offset and length are bytes. */
export interface Location {
  readonly file: string
  readonly offset: number
  readonly byteLength: number
}

/** A tensor with a known content: small ones carry their bytes, weights say where they lie. */
export interface Initializer {
  readonly value: Value
  readonly content: Uint8Array | Location
}

export interface Graph {
  readonly name: string
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Value>
  readonly initializers: ReadonlyArray<Initializer>
  readonly nodes: ReadonlyArray<Node>
}

/** The mutable side of a graph; lives only during `build`. */
export interface Builder {
  /** A graph input; dimensions may be symbolic. */
  readonly input: <T extends ElementType>(name: string, type: T, shape: Shape) => Value<T>
  /** A small f32 tensor stored in the graph; without a shape, a scalar or a vector. */
  readonly constant: (values: number | ReadonlyArray<number> | Float32Array, shape?: Shape) => Value<"f32">
  /** A small i64 vector stored in the graph (shapes, axes). */
  readonly integers: (values: ReadonlyArray<number>) => Value<"i64">
  /** A small i32 tensor stored in the graph: a scalar or a vector. */
  readonly indices: (values: number | ReadonlyArray<number>) => Value<"i32">
  /** A weight that lies in a file; asking for the same name again gives the same value. */
  readonly weight: <T extends WeightType>(name: string, type: T, shape: Shape, location: Location) => Value<T>
  /** Adds a node; the caller has checked the operands. */
  readonly add: <const T extends ElementType>(
    operator: string,
    inputs: ReadonlyArray<Value>,
    outputs: ReadonlyArray<{ readonly type: T; readonly shape: Shape }>,
    attributes?: Readonly<Record<string, Attribute>>,
  ) => ReadonlyArray<Value<T>>
  /** The nodes written so far, in order: every operand comes before the node that reads it. */
  readonly nodes: () => ReadonlyArray<Node>
  /** Runs `define` with a place name in front of the names made inside, such as `layers.0`. */
  readonly scoped: <A>(scope: string, define: () => A) => A
  /** Leaves the definition with a `GraphError` that names the current place. */
  readonly fail: (operator: string, problem: string) => never
}

/**
 * Builds a graph: `define` makes inputs and applies operators, and returns the outputs by name.
 * Fails with a `GraphError` at the first operator whose operands do not fit.
 */
export const build = (
  name: string,
  define: (builder: Builder) => Readonly<Record<string, Value>>,
): Result.Result<Graph, GraphError> =>
  attempt(() => {
    const inputs: Array<Value> = []
    const nodes: Array<Node> = []
    const initializers = new Map<string, Initializer>()
    const scopes: Array<string> = []
    const counts = new Map<string, number>()
    const unique = (stem: string): string => {
      const path = [...scopes, stem].join("/")
      const count = entryOr(counts, path, 0)
      counts.set(path, count + 1)
      return count === 0 ? path : `${path}.${count}`
    }
    const stored = <T extends ElementType>(type: T, shape: Shape, content: Uint8Array): Value<T> => {
      const key = `constant:${type}:${shape.join(",")}:${Buffer.from(content).toString("base64")}`
      const known = initializers.get(key)
      // The key holds the type, so the value under it has it.
      if (known !== undefined) return known.value as Value<T>
      const value: Value<T> = { name: `constant.${initializers.size}`, type, shape, builder }
      initializers.set(key, { value, content })
      return value
    }
    const builder: Builder = {
      input: (inputName, type, shape) => {
        const value = { name: inputName, type, shape, builder }
        inputs.push(value)
        return value
      },
      constant: (values, shape) => {
        const list = typeof values === "number" ? [values] : values
        const data = Float32Array.from(list)
        return stored(
          "f32",
          shape ?? (typeof values === "number" ? [] : [data.length]),
          new Uint8Array(data.buffer),
        )
      },
      integers: (values) =>
        stored("i64", [values.length], new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer)),
      indices: (values) =>
        typeof values === "number"
          ? stored("i32", [], new Uint8Array(Int32Array.of(values).buffer))
          : stored("i32", [values.length], new Uint8Array(Int32Array.from(values).buffer)),
      weight: (weightName, type, shape, location) => {
        const key = `weight:${weightName}`
        const known = initializers.get(key)
        if (known !== undefined) {
          if (known.value.type !== type)
            builder.fail("weight", `"${weightName}" was first read as ${known.value.type}`)
          return known.value as Value<typeof type>
        }
        const value = { name: weightName, type, shape, builder }
        initializers.set(key, { value, content: location })
        return value
      },
      add: (operator, operands, outputs, attributes = {}) => {
        const values = outputs.map(({ type, shape }) => ({ name: unique(operator), type, shape, builder }))
        nodes.push({ operator, inputs: operands, outputs: values, attributes })
        return values
      },
      nodes: () => nodes,
      scoped: (scope, inner) => {
        scopes.push(scope)
        const result = inner()
        scopes.pop()
        return result
      },
      fail: (operator, problem) => raise({ operator, problem, scope: scopes.join("/") }),
    }
    const results = define(builder)
    // An output carries its public name; the value behind it may serve several outputs, or be an input.
    const outputs = Object.entries(results).map(([outputName, value]) => {
      const named: Value = { name: outputName, type: value.type, shape: value.shape, builder }
      nodes.push({ operator: "Identity", inputs: [value], outputs: [named], attributes: {} })
      return named
    })
    return { name, inputs, outputs, initializers: [...initializers.values()], nodes }
  })
