/**
 * Looks: what a result looked like when it was made, as a text and figures.
 *
 * A look is kept beside the record and never inside the content, so that drawing otherwise makes no other result, and so
 * that a report of a run tells what the run told, whatever has become of the pipeline and of the code that drew it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Action } from "./Action.ts"
import * as Artifact from "./Artifact.ts"
import type { ArtifactError, StoreError } from "./CoreError.ts"
import { Figure } from "./Figure.ts"
import type { AnyArtifact } from "./internal/erased.ts"
import { keep } from "./internal/resolution.ts"
import { describe } from "./internal/systemError.ts"
import { Store } from "./Store.ts"

const Look = Schema.Struct({ text: Schema.String, figures: Schema.Array(Figure) })
export type Look = typeof Look.Type

const artifact = Artifact.json("look", Look)

/** What an artifact makes of a value, with the numbers that were measured while it was made. */
export const of = (
  drawnBy: AnyArtifact,
  value: unknown,
  measured: Readonly<Record<string, number>> = {},
): Look => {
  try {
    return { text: drawnBy.show(value, measured), figures: drawnBy.figures(value, measured) }
  } catch (cause) {
    // A mistake in a drawing is no reason to lose what a stage has computed.
    return { text: `${drawnBy.summary(value)} (it cannot be drawn: ${describe(cause)})`, figures: [] }
  }
}

/** Keeps a look and returns its digest; nothing is kept of one that says no more than the summary. */
export const store = (
  look: Look,
  summary: string,
): Effect.Effect<string | undefined, ArtifactError | StoreError, Store> =>
  look.figures.length === 0 && look.text === summary
    ? Effect.succeed(undefined)
    : Effect.map(keep(artifact, look), ({ digest }) => digest)

/** Adds a look to a record that has none, where there is more to show than its summary. */
export const complete = Effect.fnUntraced(function* (
  drawnBy: AnyArtifact,
  action: Action,
  value: unknown,
): Effect.fn.Return<void, ArtifactError | StoreError, Store> {
  if (action.look !== undefined) return
  const look = yield* store(of(drawnBy, value, action.measured), action.summary)
  if (look !== undefined) yield* (yield* Store).record({ ...action, look })
})

/** The look of a recorded result; of one without, or whose look is gone, its summary. */
export const read = Effect.fnUntraced(function* ({
  look,
  summary,
}: Action): Effect.fn.Return<Look, StoreError, Store> {
  const plain: Look = { text: summary, figures: [] }
  if (look === undefined) return plain
  const { content } = yield* Store
  const found = yield* content("file", look)
  if (Option.isNone(found)) return plain
  return Option.getOrElse(yield* Effect.option(artifact.decode(found.value)), () => plain)
})
