/**
 * Nodes: what calling a stage returns. Frozen data that say which stage, with which inputs and parameters.
 *
 * A node does no work and holds no value. Its type carries the value it stands for (`A`), and the errors (`E`) and
 * services (`R`) of everything that has to run for it, so that a pipeline with a missing service does not compile.
 */
import type * as Schema from "effect/Schema"
import type * as Effect from "effect/Effect"
import type { Content } from "./Content.ts"
import type { ArtifactError, SourceError, StoreError } from "./CoreError.ts"
import type { AnyArtifact } from "./internal/erased.ts"
import type { Definition } from "./Stage.ts"

declare const NodeType: unique symbol

interface Common<out A, out E, out R, out X> {
  readonly [NodeType]?: {
    readonly _A: () => A
    readonly _E: () => E
    readonly _R: () => R
    readonly _X: () => X
  }
  /** For people; no part of the key. */
  readonly label: string | undefined
}

/** A pinned leaf: content of the user's, or a value written in the pipeline. */
export interface SourceNode<out A> extends Common<A, SourceError, never, never> {
  readonly kind: "source"
  readonly artifact: AnyArtifact
  /** Finds the content; `keep` publishes a value of the pipeline's own and returns its content. */
  readonly resolve: (tools: SourceTools) => Effect.Effect<Content, SourceError | StoreError | ArtifactError>
}

/** What a source may use to find its content. */
export interface SourceTools {
  readonly file: (path: string) => Effect.Effect<Content, SourceError | StoreError>
  readonly directory: (path: string) => Effect.Effect<Content, SourceError | StoreError>
  readonly keep: (artifact: AnyArtifact, value: unknown) => Effect.Effect<Content, ArtifactError | StoreError>
}

/** A call of a stage. */
export interface StageNode<out A, out E, out R, out X = never> extends Common<A, E, R, X> {
  readonly kind: "stage"
  readonly stage: Definition
  readonly inputs: Readonly<Record<string, AnyNode | ReadonlyArray<AnyNode>>>
  /** The parameters as the body gets them. */
  readonly params: unknown
  /** The parameters as JSON, as they enter the key. */
  readonly encodedParams: Readonly<Record<string, Schema.Json>>
}

/** A value to be: of type `A`, failing with `E`, needing `R`, of which its keys need `X`. */
export type Node<A, E = never, R = never, X = never> = SourceNode<A> | StageNode<A, E, R, X>

export type AnyStageNode = StageNode<unknown, unknown, unknown, unknown>
export type AnyNode = SourceNode<unknown> | AnyStageNode

/**
 * What output records are made of, as a constraint: any node.
 *
 * `AnyNode` itself would be the contextual type of the stage calls written there and widen their services to unknown.
 */
export interface Like {
  readonly kind: "source" | "stage"
  readonly label: string | undefined
}

/** The value type of a node. */
export type Value<N> = N extends Node<infer A, infer _E, infer _R, infer _X> ? A : never
/** The errors of everything that has to run for a node. */
export type ErrorOf<N> = N extends StageNode<infer _A, infer E, infer _R, infer _X> ? E : never
/** The services of everything that has to run for a node. */
export type ServicesOf<N> = N extends StageNode<infer _A, infer _E, infer R, infer _X> ? R : never
/** The services whose identities enter the keys of a node and of everything that has to run for it. */
export type EnvironmentOf<N> = N extends StageNode<infer _A, infer _E, infer _R, infer X> ? X : never

/** The nodes a node takes its inputs from, slot by slot. */
export const inputsOf = (node: AnyNode): ReadonlyArray<AnyNode> =>
  node.kind === "source" ? [] : Object.values(node.inputs).flat()

/** All nodes below some nodes, each once, inputs before the nodes that take them. */
export const order = (targets: Iterable<AnyNode>): ReadonlyArray<AnyNode> => {
  const seen = new Set<AnyNode>()
  const sorted: Array<AnyNode> = []
  // A chain of nodes may be longer than the call stack is deep.
  const open: Array<{ readonly node: AnyNode; readonly inputs: Iterator<AnyNode> }> = []
  const visit = (node: AnyNode): void => {
    if (seen.has(node)) return
    seen.add(node)
    open.push({ node, inputs: inputsOf(node)[Symbol.iterator]() })
  }
  for (const target of targets) {
    visit(target)
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const next = top.inputs.next()
      if (next.done !== true) visit(next.value)
      else {
        sorted.push(top.node)
        open.pop()
      }
    }
  }
  return sorted
}

/** Stage calls below some nodes, each once, inputs first. */
export const stages = (targets: Iterable<AnyNode>): ReadonlyArray<AnyStageNode> =>
  order(targets).filter((node) => node.kind === "stage")

/** A node's name for people: the stage and the label, `"golden math"`. */
export const title = (node: AnyNode): string =>
  node.kind === "source"
    ? (node.label ?? node.artifact.id)
    : node.label === undefined
      ? node.stage.name
      : `${node.stage.name} ${node.label}`
