/**
 * Events: what happens while a pipeline runs, for progress, for logs and for other programs.
 *
 * The default listener does nothing. The same events are stored with every run.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Reason } from "./Reason.ts"

/** One thing that happened to one stage; `node` is its title, `"golden math"`. */
export type Event =
  | {
      readonly _tag: "Planned"
      readonly run: string
      readonly pipeline: string
      readonly nodes: ReadonlyArray<string>
      /** The outputs asked for, in their order. */
      readonly outputs: ReadonlyArray<string>
      /** Options that were set, as text. */
      readonly set?: Readonly<Record<string, string>>
      /** The module of the pipeline, as it was named. */
      readonly file?: string
    }
  /** Something of the user's that the run takes. */
  | { readonly _tag: "Source"; readonly node: string; readonly artifact: string; readonly digest: string }
  | {
      readonly _tag: "Hit"
      readonly node: string
      readonly key: string
      readonly summary: string
      /** Its code is not the code that made the record. */
      readonly differs?: true
    }
  /** Another process computes it now. */
  | { readonly _tag: "Waits"; readonly node: string; readonly key: string; readonly owner: string }
  | {
      readonly _tag: "Started"
      readonly node: string
      readonly key: string
      readonly reasons: ReadonlyArray<Reason>
      /** Seconds that its nearest earlier run took. */
      readonly expected?: number
    }
  | { readonly _tag: "Retried"; readonly node: string; readonly attempt: number; readonly message: string }
  | {
      readonly _tag: "Progress"
      readonly node: string
      readonly done: number
      readonly kept: number
      readonly total: number
    }
  | {
      readonly _tag: "Published"
      readonly node: string
      readonly key: string
      readonly digest: string
      readonly summary: string
      readonly seconds: number
      readonly metrics?: Readonly<Record<string, number>>
      readonly measured?: Readonly<Record<string, number>>
    }
  /** An output of the pipeline is there; `key` is that of its record, which a source has not. */
  | {
      readonly _tag: "Output"
      readonly output: string
      readonly node: string
      readonly key?: string
      readonly measured?: Readonly<Record<string, number>>
    }
  | { readonly _tag: "Failed"; readonly node: string; readonly message: string }
  | {
      readonly _tag: "Finished"
      readonly run: string
      readonly seconds: number
      readonly hits: number
      readonly runs: number
    }

/** The listener of events. */
export const Events = Context.Reference<{ readonly emit: (event: Event) => Effect.Effect<void> }>(
  "@hila/core/Events",
  { defaultValue: () => ({ emit: () => Effect.void }) },
)
