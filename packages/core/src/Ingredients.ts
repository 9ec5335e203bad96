/**
 * Ingredients: everything a result depends on, and the key made of it.
 *
 * Inputs enter by the digests of their contents, not by the keys of the stages that made them: a stage that runs again
 * and produces the same bytes changes nothing downstream (early cutoff). Labels, paths and time are not in the key.
 */
import * as Schema from "effect/Schema"
import * as Canonical from "./Canonical.ts"
import * as Digest from "./Digest.ts"
import type * as Node from "./Node.ts"

const InputDigests = Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)]))

/** What enters a key; stored with every record so that a miss can be explained by values. */
export const Ingredients = Schema.Struct({
  stage: Schema.String,
  version: Schema.Int,
  params: Schema.Record(Schema.String, Schema.Json),
  inputs: InputDigests,
  output: Schema.String,
  /** Identities of the services that the stage declares to depend on; absent where it declares none. */
  environment: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})
export type Ingredients = typeof Ingredients.Type

/** The version of the key's own format; part of every key. */
const format = "hila/1"

/** Sha256 of the format and the canonical JSON of the ingredients. */
export const key = (ingredients: Ingredients): string =>
  Digest.of(`${format} ${Canonical.stringify(ingredients)}`)

/** The ingredients of a stage call, given the digest of each of its input nodes and its environment. */
export const of = (
  node: Node.AnyStageNode,
  digestOf: (input: Node.AnyNode) => string,
  environment: Readonly<Record<string, string>> = {},
): Ingredients => ({
  stage: node.stage.name,
  version: node.stage.version,
  params: node.encodedParams,
  inputs: Object.fromEntries(
    Object.entries(node.inputs).map(([slot, input]) => [
      slot,
      isMany(input) ? input.map(digestOf) : digestOf(input),
    ]),
  ),
  output: node.stage.output.id,
  ...(Object.keys(environment).length === 0 ? {} : { environment }),
})

const isMany = (input: Node.AnyNode | ReadonlyArray<Node.AnyNode>): input is ReadonlyArray<Node.AnyNode> =>
  Array.isArray(input)
