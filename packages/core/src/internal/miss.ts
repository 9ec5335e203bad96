/** Explains misses from the records in the store. */
import * as Effect from "effect/Effect"
import * as Ingredients from "../Ingredients.ts"
import * as Reason from "../Reason.ts"
import { Store } from "../Store.ts"

/** Why a key misses, and how long it took in its nearest earlier run, if it ever ran. */
export const explain = Effect.fnUntraced(function* (ingredients: Ingredients.Ingredients) {
  const store = yield* Store
  const history = yield* store.history(ingredients.stage)
  const key = Ingredients.key(ingredients)
  const own = history.find((action) => action.key === key)
  if (own === undefined) {
    const nearest = Reason.nearest(ingredients, history)
    return { reasons: Reason.explain(ingredients, history), expected: nearest?.seconds }
  }
  const { digest, kind } = own
  const isDamaged = (yield* store.condition(kind, digest)) === "damaged"
  const reasons: ReadonlyArray<Reason.Reason> = [
    { _tag: isDamaged ? "OutputDamaged" : "OutputMissing", digest },
  ]
  return { reasons, expected: own.seconds }
})
