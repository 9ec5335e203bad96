/**
 * A graph that cannot be built: an operator was given shapes or element types it does not accept.
 *
 * Raised while the graph is written, before ONNX Runtime sees it, so that the message can name the place in the
 * model and both shapes. A graph over a checkpoint fails this way only when a tensor has another shape than its
 * architecture says, hence the user's input is to blame.
 */
import * as Schema from "effect/Schema"

export class GraphError extends Schema.TaggedError<GraphError>()("GraphError", {
  operator: Schema.String,
  /** Where in the model, such as `layers.0/attention`; empty at the top. */
  scope: Schema.String,
  problem: Schema.String,
}) {
  readonly blame = "input" as const
  override get message(): string {
    return `graph${this.scope === "" ? "" : ` at ${this.scope}`}: ${this.operator}: ${this.problem}`
  }
}
