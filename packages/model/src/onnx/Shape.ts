/**
 * Shapes with symbolic dimensions, and the arithmetic that build-time checking needs.
 *
 * A dimension is a number, or a name such as `batch` whose size is known only when the session runs. Sums and
 * products of dimensions are written in one canonical form (`past+sequence`, `2*batch*sequence`), so two symbolic
 * dimensions are equal exactly when their texts are. It proves no inequality and solves nothing.
 */
import { atOr } from "@hila/core/Lookup"

export type Dim = number | string
export type Shape = ReadonlyArray<Dim>

const factors = (dim: Dim): { coefficient: number; symbols: ReadonlyArray<string> } => {
  if (typeof dim === "number") return { coefficient: dim, symbols: [] }
  if (dim.includes("+") && !dim.includes("(")) return { coefficient: 1, symbols: [`(${dim})`] }
  const parts = dim.split("*")
  return {
    coefficient: parts.reduce((c, p) => (/^\d+$/.test(p) ? c * Number(p) : c), 1),
    symbols: parts.filter((p) => !/^\d+$/.test(p)),
  }
}

/** The product of dimensions in canonical form; `product([])` is 1. */
export const product = (dims: Shape): Dim => {
  const all = dims.map(factors)
  const coefficient = all.reduce((c, f) => c * f.coefficient, 1)
  const symbols = all.flatMap((f) => f.symbols).toSorted()
  if (symbols.length === 0 || coefficient === 0) return coefficient
  const [first] = symbols
  if (coefficient === 1 && symbols.length === 1 && first !== undefined)
    return first.replace(/^\((.*)\)$/, "$1")
  return [...(coefficient === 1 ? [] : [String(coefficient)]), ...symbols].join("*")
}

/** The sum of dimensions in canonical form. */
export const sum = (dims: Shape): Dim => {
  const terms = dims.flatMap((d): ReadonlyArray<Dim> => (typeof d === "number" ? [d] : d.split("+")))
  const numbers = terms.reduce<number>((s, t) => (/^\d+$/.test(String(t)) ? s + Number(t) : s), 0)
  const symbols = terms
    .map(String)
    .filter((t) => !/^\d+$/.test(t))
    .toSorted()
  if (symbols.length === 0) return numbers
  return [...symbols, ...(numbers === 0 ? [] : [String(numbers)])].join("+")
}

/** Whether two shapes are the same, symbol by symbol. */
export const equal = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i])

/** The numpy broadcast of two shapes, or undefined where they do not fit. */
export const broadcast = (a: Shape, b: Shape): Shape | undefined => {
  const rank = Math.max(a.length, b.length)
  const out: Array<Dim> = []
  for (let i = 0; i < rank; i++) {
    const x = atOr(a, a.length - rank + i, 1)
    const y = atOr(b, b.length - rank + i, 1)
    if (x !== y && x !== 1 && y !== 1) return undefined
    out.push(x === 1 ? y : x)
  }
  return out
}

/** `[batch, 8, 16]` */
export const show = (shape: Shape): string => `[${shape.join(", ")}]`
