/**
 * Reverse-mode differentiation of a graph under construction (Linnainmaa, 1970; Griewank & Walther, 2008).
 *
 * The derivative is itself a graph: nodes appended to the one being built, operator by operator from the outputs back,
 * by the rules that lie beside the operators. Only values on a path from a variable to a seed get an adjoint. What the
 * backward pass reads of the forward pass stays alive until then, so the memory of a graph with its derivative grows
 * with its depth; a deep model is differentiated block by block, each graph computing its block again.
 */
import { at } from "@hila/core/Lookup"
import type { Rules } from "./Adjoint.ts"
import { rules as contraction } from "./ContractionAdjoint.ts"
import { add } from "./Elementwise.ts"
import { rules as elementwise } from "./ElementwiseAdjoint.ts"
import type { Node, Value } from "./Graph.ts"
import { rules as layout } from "./LayoutAdjoint.ts"
import * as Shape from "./Shape.ts"

/** The rules of all operators. */
export const rules: Rules = { ...elementwise, ...contraction, ...layout }

/** The derivative of the objective with respect to one output of the graph piece; both have one shape. */
export interface Seed {
  readonly of: Value<"f32">
  readonly adjoint: Value<"f32">
}

/** Where in the model a node lies. */
const scopeOf = (node: Node): string => {
  const name = at(node.outputs, 0).name
  return `adjoint/${name.slice(0, Math.max(0, name.lastIndexOf("/")))}`.replace(/\/$/, "")
}

/**
 * Appends the backward pass and returns the adjoint of each variable, in its shape: Σ over seeds of
 * (∂ of / ∂ variable)ᵀ · adjoint.
 *
 * Variables are inputs of the graph or values inside it; seeds are what the piece returns and the adjoints that come
 * from behind it, such as an input of a block's graph. Fails where a seed depends on no variable through operators
 * that have a rule, or a variable has no influence on any seed.
 */
export const gradients = <const V extends ReadonlyArray<Value<"f32">>>(
  seeds: ReadonlyArray<Seed>,
  variables: V,
): { readonly [K in keyof V]: Value<"f32"> } => {
  const [anchor] = variables
  if (anchor === undefined) return [] as never
  const { builder } = anchor
  const forward = builder.nodes().slice()
  const active = new Set<Value>(variables)
  for (const { inputs, outputs } of forward) {
    if (inputs.some((input) => active.has(input))) for (const output of outputs) active.add(output)
  }
  const adjoints = new Map<Value, Value<"f32">>()
  const accumulate = (value: Value, term: Value<"f32">) => {
    if (!Shape.equal(value.shape, term.shape)) {
      builder.fail(
        "Adjoint",
        `${value.name} ${Shape.show(value.shape)} got an adjoint of shape ${Shape.show(term.shape)}`,
      )
    }
    const known = adjoints.get(value)
    adjoints.set(value, known === undefined ? term : add(known, term))
  }
  for (const { adjoint, of } of seeds) if (active.has(of)) accumulate(of, adjoint)
  for (const node of forward.toReversed()) {
    const ofOutputs = node.outputs.map((output) => adjoints.get(output))
    if (ofOutputs.every((adjoint) => adjoint === undefined)) continue
    if (!node.inputs.some((input) => active.has(input))) continue
    builder.scoped(scopeOf(node), () => {
      const rule = rules[node.operator] ?? builder.fail(node.operator, "has no rule of differentiation")
      const terms = rule(node, ofOutputs)
      node.inputs.forEach((input, i) => {
        const term = active.has(input) ? terms[i]?.() : undefined
        if (term !== undefined) accumulate(input, term)
      })
    })
  }
  return variables.map(
    (variable) =>
      adjoints.get(variable) ??
      builder.fail("Adjoint", `no seed depends on ${variable.name} ${Shape.show(variable.shape)}`),
  ) as never
}
