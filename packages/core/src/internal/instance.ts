/** The running stage behind `Stage.part`, `Stage.scratch` and progress. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Artifact from "../Artifact.ts"
import { Instance } from "../Stage.ts"
import { Store } from "../Store.ts"
import { keep } from "./resolution.ts"

/** The instance of one stage call; its scratch directory lives as long as the enclosing scope. */
export const instance = Effect.fnUntraced(function* (
  key: string,
  progress: (done: number, kept: number, total: number) => Effect.Effect<void>,
) {
  const store = yield* Store
  const scope = yield* Effect.scope
  let path: string | undefined
  const create = yield* Effect.cached(
    Effect.provideService(
      Effect.tap(store.scratch, (created) =>
        Effect.sync(() => {
          path = created
        }),
      ),
      Scope.Scope,
      scope,
    ),
  )

  const part = <A, E, R>(id: string, artifact: Artifact.Artifact<A>, effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const found = yield* store.part(key, id)
      if (Option.isSome(found)) {
        const content = yield* store.content(found.value.kind, found.value.digest)
        if (Option.isSome(content)) return { value: yield* artifact.decode(content.value), kept: true }
      }
      const value = yield* effect
      const content = yield* Effect.provideService(keep(artifact, value, path), Store, store)
      yield* store.recordPart(key, { id, kind: artifact.kind, digest: content.digest })
      return { value, kept: false }
    })

  const measured: Record<string, number> = {}
  const measure = (numbers: Readonly<Record<string, number>>) =>
    Effect.sync(() => void Object.assign(measured, numbers))

  return {
    service: Instance.of({ part, scratch: create, progress, measure }),
    scratchPath: () => path,
    measured: (): Readonly<Record<string, number>> => measured,
  }
})
