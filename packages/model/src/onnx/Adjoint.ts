/**
 * What the rules of reverse-mode differentiation are written with.
 *
 * A rule belongs to one operator. Given a node and the adjoint of its output (the derivative of the objective with
 * respect to it), it says how to write the adjoint of each input; inputs whose adjoint nobody needs are never written.
 * Rules lie beside their operators: `Elementwise.ts` and `ElementwiseAdjoint.ts`.
 */
import { known } from "@hila/core/Lookup"
import type { Node, Value } from "./Graph.ts"
import { sum } from "./Contraction.ts"
import { reshapeAs } from "./Extent.ts"

/** Writes one adjoint; `undefined` stands for an input the output does not depend on smoothly (indices, conditions). */
export type Term = (() => Value<"f32">) | undefined

/** One term per input. `adjoints` has one entry per output, at least one of them defined. */
export type Rule = (node: Node, adjoints: ReadonlyArray<Value<"f32"> | undefined>) => ReadonlyArray<Term>

/** Rules by ONNX operator. */
export type Rules = Readonly<Record<string, Rule>>

/** A value that has to be f32; every differentiable operand is. */
export const real = (value: Value | undefined): Value<"f32"> => {
  if (value?.type === "f32") return value as Value<"f32">
  // Operators take f32 operands by type, so only an operator with a wrong rule gets here.
  return known(value).builder.fail("Adjoint", `${known(value).name} is ${known(value).type}, expected f32`)
}

/** The rule of an operator with one output, from its output `y`, the adjoint `dy` of that, and its inputs. */
export const single =
  (
    terms: (
      y: Value<"f32">,
      dy: Value<"f32">,
      inputs: ReadonlyArray<Value>,
      node: Node,
    ) => ReadonlyArray<Term>,
  ): Rule =>
  (node, [dy]) =>
    terms(real(node.outputs[0]), real(dy), node.inputs, node)

/** An integer attribute of a node. */
export const int = (node: Node, name: string): number => {
  const attribute = node.attributes[name]
  return attribute?._tag === "Int" ? attribute.value : 0
}

/** The adjoint of an operand that was broadcast: summed over the axes it was repeated along. */
export const sumTo = (adjoint: Value<"f32">, operand: Value): Value<"f32"> => {
  const missing = adjoint.shape.length - operand.shape.length
  const axes = adjoint.shape.flatMap((size, i) =>
    i < missing || (operand.shape[i - missing] === 1 && size !== 1) ? [i] : [],
  )
  return axes.length === 0 ? adjoint : reshapeAs(sum(adjoint, axes), operand)
}
