/**
 * A plain float64 interpreter of graphs: what each operator means, slowly and exactly, for tests to compare with.
 */
import type { Graph, Node, Value } from "../../src/onnx/Graph.ts"

export interface Tensor {
  readonly shape: ReadonlyArray<number>
  readonly data: Float64Array
}

export const tensor = (shape: ReadonlyArray<number>, values: ArrayLike<number>): Tensor => ({
  shape,
  data: Float64Array.from(values),
})

export const volume = (shape: ReadonlyArray<number>): number => shape.reduce((n, size) => n * size, 1)

/** The multi-index of every element, in row-major order. */
const places = (shape: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> =>
  Array.from({ length: volume(shape) }, (_, at) => {
    const place = Array.from<number>({ length: shape.length })
    let rest = at
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis]!
      place[axis] = rest % size
      rest = Math.floor(rest / size)
    }
    return place
  })

/** The element at a multi-index; axes of size 1, and missing leading ones, repeat. */
const read = ({ data, shape }: Tensor, place: ReadonlyArray<number>): number => {
  const missing = place.length - shape.length
  return data[shape.reduce((at, size, axis) => at * size + (size === 1 ? 0 : place[axis + missing]!), 0)]!
}

const fill = (shape: ReadonlyArray<number>, value: (place: ReadonlyArray<number>) => number): Tensor =>
  tensor(shape, places(shape).map(value))

const broadcast = (shapes: ReadonlyArray<ReadonlyArray<number>>): ReadonlyArray<number> => {
  const rank = Math.max(...shapes.map(({ length }) => length))
  return Array.from({ length: rank }, (_, i) =>
    shapes.reduce((size, shape) => {
      const own = shape[shape.length - rank + i] ?? 1
      return own === 1 ? size : own
    }, 1),
  )
}

const elementwise =
  (f: (...values: ReadonlyArray<number>) => number) =>
  (...inputs: ReadonlyArray<Tensor>): Tensor =>
    fill(broadcast(inputs.map(({ shape }) => shape)), (place) => f(...inputs.map((x) => read(x, place))))

const int = (node: Node, name: string): number => {
  const attribute = node.attributes[name]
  return attribute?._tag === "Int" ? attribute.value : 0
}

const reduce = (
  x: Tensor,
  axes: ReadonlyArray<number>,
  f: (values: ReadonlyArray<number>) => number,
): Tensor =>
  fill(
    x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size)),
    (place) => {
      const kept = places(x.shape).filter((p) =>
        p.every((i, axis) => axes.includes(axis) || i === place[axis]),
      )
      return f(kept.map((p) => read(x, p)))
    },
  )

const sum = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0)

/** log Σ e^x along an axis */
const logSumExp = (x: Tensor, axis: number) =>
  reduce(x, [axis], (values) => {
    const most = Math.max(...values)
    return most + Math.log(sum(values.map((value) => Math.exp(value - most))))
  })

const matMul = (a: Tensor, b: Tensor): Tensor => {
  const [m, k] = a.shape.slice(-2) as [number, number]
  const n = b.shape.at(-1)!
  return fill([...broadcast([a.shape.slice(0, -2), b.shape.slice(0, -2)]), m, n], (place) => {
    const [batch, i, j] = [place.slice(0, -2), place.at(-2)!, place.at(-1)!]
    return sum(Array.from({ length: k }, (_, l) => read(a, [...batch, i, l]) * read(b, [...batch, l, j])))
  })
}

/** The series of 2/√π ∫₀ˣ e^(−t²) dt, exact to float64 for |x| ≤ 2. */
const erf = (x: number): number => {
  let [term, total] = [x, x]
  for (let n = 1; n < 60; n++) {
    term *= -(x * x) / n
    total += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * total
}

type Operator = (inputs: ReadonlyArray<Tensor>, node: Node) => Tensor | ReadonlyArray<Tensor>

const pointwise =
  (f: (...values: ReadonlyArray<number>) => number): Operator =>
  (inputs) =>
    elementwise(f)(...inputs)

/** What each operator computes. */
export const operators: Readonly<Record<string, Operator>> = {
  Add: pointwise((a, b) => a + b),
  Sub: pointwise((a, b) => a - b),
  Mul: pointwise((a, b) => a * b),
  Div: pointwise((a, b) => a / b),
  Neg: pointwise((x) => -x),
  Abs: pointwise((x) => Math.abs(x)),
  Sqrt: pointwise((x) => Math.sqrt(x)),
  Exp: pointwise((x) => Math.exp(x)),
  Sigmoid: pointwise((x) => 1 / (1 + Math.exp(-x))),
  Tanh: pointwise((x) => Math.tanh(x)),
  Erf: pointwise((x) => erf(x)),
  Relu: pointwise((x) => Math.max(x, 0)),
  Sin: pointwise((x) => Math.sin(x)),
  Cos: pointwise((x) => Math.cos(x)),
  LessOrEqual: pointwise((a, b) => (a <= b ? 1 : 0)),
  Where: pointwise((condition, a, b) => (condition === 1 ? a : b)),
  Cast: pointwise((x) => x),
  Identity: ([x]) => x!,
  MatMul: ([a, b]) => matMul(a!, b!),
  ReduceSum: ([x, axes]) => reduce(x!, Array.from(axes!.data), sum),
  ReduceMean: ([x, axes]) => reduce(x!, Array.from(axes!.data), (values) => sum(values) / values.length),
  Softmax: ([x], node) => elementwise((v, l) => Math.exp(v - l))(x!, logSumExp(x!, int(node, "axis"))),
  LogSoftmax: ([x], node) => elementwise((v, l) => v - l)(x!, logSumExp(x!, int(node, "axis"))),
  Reshape: ([x, sizes]) => {
    const known = Array.from(sizes!.data, (size, axis) => (size === 0 ? x!.shape[axis]! : size))
    const open = x!.data.length / volume(known.filter((size) => size !== -1))
    return tensor(
      known.map((size) => (size === -1 ? open : size)),
      x!.data,
    )
  },
  Expand: ([x, sizes]) => fill(broadcast([x!.shape, Array.from(sizes!.data)]), (place) => read(x!, place)),
  Shape: ([x]) => tensor([x!.shape.length], x!.shape),
  Transpose: ([x], { attributes: { perm } }) => {
    const order = perm?._tag === "Ints" ? perm.value : []
    return fill(
      order.map((axis) => x!.shape[axis]!),
      (place) => {
        const source = Array.from<number>({ length: order.length })
        order.forEach((axis, i) => (source[axis] = place[i]!))
        return read(x!, source)
      },
    )
  },
  Concat: (inputs, node) => {
    const axis = int(node, "axis")
    const shape = inputs[0]!.shape.with(axis, sum(inputs.map((x) => x.shape[axis]!)))
    return fill(shape, (place) => {
      let at = place[axis]!
      const part = inputs.find((x) => {
        if (at < x.shape[axis]!) return true
        at -= x.shape[axis]!
        return false
      })
      return read(part!, place.with(axis, at))
    })
  },
  Split: ([x, sizes], node) => {
    const axis = int(node, "axis")
    let start = 0
    return Array.from(sizes!.data, (size) => {
      const from = start
      start += size
      return fill(x!.shape.with(axis, size), (place) => read(x!, place.with(axis, place[axis]! + from)))
    })
  },
  Gather: ([x, indices], node) => {
    const axis = int(node, "axis")
    const rank = indices!.shape.length
    const shape = [...x!.shape.slice(0, axis), ...indices!.shape, ...x!.shape.slice(axis + 1)]
    return fill(shape, (place) =>
      read(x!, [
        ...place.slice(0, axis),
        read(indices!, place.slice(axis, axis + rank)),
        ...place.slice(axis + rank),
      ]),
    )
  },
  GatherElements: ([x, indices], node) =>
    fill(indices!.shape, (place) => read(x!, place.with(int(node, "axis"), read(indices!, place)))),
}

const stored = (content: Uint8Array, type: Value["type"]): ArrayLike<number> => {
  const { buffer } = content.slice()
  if (type === "i64") return Array.from(new BigInt64Array(buffer), Number)
  return type === "i32" ? new Int32Array(buffer) : new Float32Array(buffer)
}

/** The outputs of a graph whose initializers all lie in it. */
export const evaluate = (
  graph: Graph,
  inputs: Readonly<Record<string, Tensor>>,
): Readonly<Record<string, Tensor>> => {
  const values = new Map<string, Tensor>(Object.entries(inputs))
  for (const { content, value } of graph.initializers) {
    if (content instanceof Uint8Array) {
      values.set(value.name, tensor(value.shape.map(Number), stored(content, value.type)))
    }
  }
  for (const node of graph.nodes) {
    const operator = operators[node.operator]
    if (operator === undefined) throw new Error(`the reference has no operator ${node.operator}`)
    const results = operator(
      node.inputs.map(({ name }) => values.get(name)!),
      node,
    )
    const list = "data" in results ? [results] : results
    node.outputs.forEach(({ name }, i) => values.set(name, list[i]!))
  }
  return Object.fromEntries(graph.outputs.map(({ name }) => [name, values.get(name)!]))
}
