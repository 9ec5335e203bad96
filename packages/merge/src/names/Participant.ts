/** A model and its part in a merge, `"base"` or `"expert 2"`, for what is said of it. */
import type { Checkpoint } from "@hila/model"

export interface Participant {
  readonly role: string
  readonly checkpoint: Checkpoint.Checkpoint
}
