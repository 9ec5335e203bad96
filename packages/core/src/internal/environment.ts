/** The identities of the services a stage declares to depend on. */
import * as Effect from "effect/Effect"
import type * as Node from "../Node.ts"
import { promise } from "./erased.ts"

/** By the name of the service. The types of node, run and plan promise that the services are there. */
export const environmentOf = (node: Node.AnyStageNode): Effect.Effect<Readonly<Record<string, string>>> =>
  node.stage.environment.length === 0 ? none : identitiesOf(node)

const none = Effect.succeed({})

const identitiesOf = (node: Node.AnyStageNode): Effect.Effect<Readonly<Record<string, string>>> =>
  promise(
    Effect.map(
      Effect.forEach(node.stage.environment, (key) =>
        Effect.map(key, ({ identity }) => [key.key, identity] as const),
      ),
      (entries) => Object.fromEntries(entries),
    ),
  )
