export * as Address from "./Address.ts"
export * as Action from "./Action.ts"
export * as Artifact from "./Artifact.ts"
export * as Canonical from "./Canonical.ts"
export * as Checkout from "./Checkout.ts"
export * as Choice from "./Choice.ts"
export * as Citation from "./Citation.ts"
export * as Content from "./Content.ts"
export * as Digest from "./Digest.ts"
export {
  ArtifactError,
  type Blame,
  CheckoutError,
  ParamsError,
  PipelineError,
  ResourceError,
  ServeError,
  SourceError,
  StoreError,
} from "./CoreError.ts"
export { type Event, Events } from "./Events.ts"
export { Executor } from "./Executor.ts"
export * as Explain from "./Explain.ts"
export { Figure } from "./Figure.ts"
export * as Gc from "./Gc.ts"
export * as Graph from "./Graph.ts"
export * as Ingredients from "./Ingredients.ts"
export * as Lineage from "./Lineage.ts"
export * as Look from "./Look.ts"
export * as Lookup from "./Lookup.ts"
export * as Node from "./Node.ts"
export * as Pipeline from "./Pipeline.ts"
export * as Plan from "./Plan.ts"
export * as Reason from "./Reason.ts"
export * as Remote from "./Remote.ts"
export * as Resources from "./Resources.ts"
export * as Run from "./Run.ts"
export * as RunLog from "./RunLog.ts"
export * as Source from "./Source.ts"
export * as SourceCode from "./SourceCode.ts"
export * as Stage from "./Stage.ts"
export { type Claim, Store } from "./Store.ts"
export * as Threads from "./Threads.ts"
export * as Verify from "./Verify.ts"
