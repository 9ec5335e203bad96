/** How a merge is carried out, whatever asks for it. */
import type * as Engine from "./engine/Engine.ts"
import type { Report } from "./plan/Report.ts"
import type { Acceptable } from "./recipe/RecipeSchema.ts"

/** Options of every merge; the weights depend on none but `accept`. */
export interface Options extends Omit<Engine.Options, "progress"> {
  /** Whether the card tells all; else there is one only where the inputs name data sets, with these. True by default. */
  readonly card?: boolean | undefined
  /** Who merges, where a function is called by another name than its method's. */
  readonly caller?: string | undefined
  /** Whether the card names the inputs by the sha256 of their files, taken while they are merged; true by default. */
  readonly digests?: boolean | undefined
  /** Differences of meaning that are merged all the same, besides those the recipe accepts. */
  readonly accept?: ReadonlyArray<Acceptable> | undefined
  /** Bytes that are free where a directory will be; asked of the file system by default. */
  readonly freeBytes?: ((directory: string) => Promise<number>) | undefined
  /** Called with the pre-flight report before a weight is read. */
  readonly onReport?: ((report: Report) => void) | undefined
  /** Told how far writing the result is and then, if it is not done by then, hashing the inputs: shares, 0 to 1. */
  readonly onProgress?: ((phase: "hashing" | "writing", share: number) => void) | undefined
}
