/**
 * The recipe format: what a recipe may say, as one schema.
 *
 * It is the YAML of the existing merge tool (its documentation is the source) and more: `profile`, `seed`, `accept`, `methods`,
 * filters by glob, layer and head, and files with coefficients, masks and statistics. The strict reader, the types and the JSON Schema for editors come from it.
 */
import * as Schema from "effect/Schema"
import { names } from "../methods/names.ts"

const describe = (description: string) => ({ description })
const key = Schema.optionalKey

/** A dtype as recipes name it. */
export const DtypeName = Schema.Literals(["float32", "float16", "bfloat16", "float64"])

const Layer = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** A number, a range `[from, to)`, or a list of numbers. */
const Numbers = Schema.Union([
  Layer,
  Schema.Struct({ from: Layer, to: Layer }),
  Schema.Array(Layer),
]).annotate(describe("one number, {from, to} (to excluded), or a list"))

/** Which tensors (and which heads in them) a value is for. */
export const Filter = Schema.Union([
  Schema.String,
  Schema.Struct({
    tensor: key(Schema.String.annotate(describe("a glob over the tensor's whole name"))),
    layer: key(Numbers),
    head: key(Numbers.annotate(describe("query heads; the key and value rows of their group go along"))),
  }),
]).annotate(describe("part of the tensor's name, a glob if it has * or ?, or {tensor, layer, head}"))
export type Filter = typeof Filter.Type

const Scalar = Schema.Union([Schema.Finite, Schema.Boolean, Schema.String, Schema.Null])
export type Scalar = typeof Scalar.Type
const Gradient = Schema.Array(Scalar)

/** A value for the tensors its filter names, or for all. */
export const Conditional = Schema.Struct({
  value: Schema.Union([Scalar, Gradient]).annotate(describe("a value, or a gradient over the layers")),
  filter: key(Filter),
})
export type Conditional = typeof Conditional.Type

/** A value, a gradient over the layers, or values by filter, of which the first that matches counts. */
export const Value = Schema.Union([Scalar, Conditional, Schema.Array(Schema.Union([Scalar, Conditional]))])
export type Value = typeof Value.Type

/** Parameters of the method by name. */
export const Parameters = Schema.Record(Schema.String, Value)
export type Parameters = typeof Parameters.Type

const Path = Schema.Struct({ path: Schema.String, revision: key(Schema.NullOr(Schema.String)) })

/** A model: `path`, `org/name@revision`, either with `+adapter`, or the same in parts. */
export const ModelReference = Schema.Union([
  Schema.String,
  Schema.Struct({
    model: Schema.Union([Schema.String, Path]),
    lora: key(Schema.NullOr(Schema.Union([Schema.String, Path]))),
    override_architecture: key(Schema.NullOr(Schema.String)),
  }),
]).annotate(describe("a directory or org/name@revision, with +adapter for a LoRA"))
export type ModelReference = typeof ModelReference.Type

const parameters = key(Schema.NullOr(Parameters))

const file = (description: string) => key(Schema.NullOr(Schema.String.annotate(describe(description))))

const statistics = file("a file of weight statistics of this model, for methods that use them")

/** A model of the merge, all its layers. */
export const Model = Schema.Struct({
  model: ModelReference,
  parameters,
  mask: file("a mask of this model's task vector, as pruning writes it"),
  statistics,
})

const UnitTable = Schema.Union([
  Schema.String,
  Schema.Struct({
    path: Schema.String,
    residual: key(
      Schema.Literals(["mean", "uniform", "base"]).annotate(
        describe("what tensors outside every unit get: the mean of their layer (default), 1, or the base's"),
      ),
    ),
  }),
])

const listOf = <S extends Schema.Constraint>(item: S, description: string) =>
  key(Schema.NullOr(Schema.Union([item, Schema.Array(item)]).annotate(describe(description))))

const Source = Schema.Struct({
  model: ModelReference,
  layer_range: Schema.Tuple([Layer, Layer]).annotate(describe("[first, end): end excluded")),
  parameters,
})

/** Layers of the result: the same number from each source. */
export const Slice = Schema.Struct({
  sources: Schema.NonEmptyArray(Source),
  base_model: key(Schema.NullOr(ModelReference)),
  parameters,
  residual_weight: key(Schema.NullOr(Schema.Finite)),
})

const Module = Schema.Struct({
  models: key(Schema.NonEmptyArray(Model)),
  slices: key(Schema.NonEmptyArray(Slice)),
  parameters,
})

const TokenSource = Schema.Union([
  Schema.String,
  Schema.Struct({
    kind: Schema.Literals(["model_token", "zero"]),
    model: key(ModelReference),
    token: key(Schema.String),
    token_id: key(Layer),
  }),
])

/** The vocabulary of the result. */
export const Tokenizer = Schema.Struct({
  source: key(ModelReference.annotate(describe("union, base, or one of the models"))),
  tokens: key(
    Schema.NullOr(
      Schema.Record(Schema.String, Schema.Struct({ source: TokenSource, force: key(Schema.Boolean) })),
    ),
  ),
  pad_to_multiple_of: key(Schema.NullOr(Schema.Int.check(Schema.isGreaterThan(0)))),
})

/** Differences of meaning that are refused unless a recipe accepts them. */
export const acceptable = ["tokens", "architecture"] as const
export const Acceptable = Schema.Literals(acceptable)
export type Acceptable = typeof Acceptable.Type

const MethodName = Schema.Literals(names)

/** Another method for some of the tensors. */
const Override = Schema.Struct({ filter: Filter, merge_method: MethodName, parameters })

/** A whole recipe. */
export const Recipe = Schema.Struct({
  merge_method: MethodName,
  models: key(Schema.NullOr(Schema.NonEmptyArray(Model))),
  slices: key(Schema.NullOr(Schema.NonEmptyArray(Slice))),
  modules: key(
    Schema.NullOr(Schema.Record(Schema.String, Module)).annotate(
      describe("every module by name: default, or text_decoder, vision_tower, encoder, decoder, …"),
    ),
  ),
  base_model: key(Schema.NullOr(ModelReference)),
  parameters,
  layer_weights: listOf(
    Schema.String,
    "files with a coefficient per expert and group of layers; several multiply",
  ),
  unit_weights: listOf(UnitTable, "files with a weight per expert and unit; several multiply"),
  base_statistics: file("a file of weight statistics of the base, for methods that use them"),
  methods: key(
    Schema.Array(Override).annotate(describe("other methods by filter; the first that matches counts")),
  ),
  dtype: key(Schema.NullOr(DtypeName)),
  out_dtype: key(Schema.NullOr(DtypeName)),
  tokenizer_source: key(Schema.NullOr(ModelReference)),
  tokenizer: key(Schema.NullOr(Tokenizer)),
  chat_template: key(
    Schema.NullOr(
      Schema.String.annotate(describe("auto, alpaca, chatml, exaone, llama3, mistral, or a Jinja template")),
    ),
  ),
  accept: key(
    Schema.NullOr(
      Schema.Array(Acceptable).annotate(
        describe(
          "differences between models that are merged all the same: tokens, other tokens at the same ids; architecture, equal tensors that mean other things",
        ),
      ),
    ),
  ),
  profile: key(Schema.Literals(["tool", "paper"]).annotate(describe("whose numbers; tool by default"))),
  seed: key(Schema.Int.annotate(describe("of the random methods; 0 by default"))),
})
export type Recipe = typeof Recipe.Type

/** The format as JSON Schema (draft 2020-12), for editors. */
export const jsonSchema = (): object => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(Recipe, { onExcessProperty: "error" })
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Hila merge recipe",
    ...schema,
    $defs: definitions,
  }
}
