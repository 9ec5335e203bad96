/**
 * A recipe made ready: read, its models opened, every tensor planned, nothing read or written yet.
 */
import { at, entry } from "@hila/core/Lookup"
import type { ArchitectureError, CheckpointError, HubError, SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { MergeError, type RecipeError } from "../MergeError.ts"
import * as RecipeFile from "../recipe/RecipeFile.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import type { Acceptable } from "../recipe/RecipeSchema.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Settings from "./Settings.ts"
import * as Slices from "../recipe/Slices.ts"
import * as Restacked from "../stacks/Restacked.ts"
import * as Alignment from "../tokenizers/Alignment.ts"
import * as Vocabulary from "../tokenizers/Vocabulary.ts"
import * as Carried from "./Carried.ts"
import * as ChatTemplate from "./ChatTemplate.ts"
import * as Companions from "./Companions.ts"
import * as Heads from "./Heads.ts"
import * as Inputs from "./Inputs.ts"
import * as Meaning from "./Meaning.ts"
import * as Numbers from "./Numbers.ts"
import * as Overrides from "./Overrides.ts"
import * as Plan from "./Plan.ts"
import * as SameTokens from "./SameTokens.ts"
import * as SpecialIds from "./SpecialIds.ts"
import * as Statistics from "./Statistics.ts"
import * as Tables from "./Tables.ts"
import * as View from "../names/View.ts"

/** What a merge is going to do. */
export interface Prepared extends Plan.Input {
  readonly tensors: ReadonlyArray<Plan.OutputTensor>
  /** The model whose config, tokenizer and other files the result gets. */
  readonly like: Plan.Model
  /** What slices of layers change in the config. */
  readonly restacked: Restacked.Restacked
  /** What the recipe's tokenizer rule does, if it has one. */
  readonly alignment: Alignment.Alignment | undefined
  /** Ids of special tokens in the result's configs, where the rule moves them. */
  readonly specialIds: SpecialIds.SpecialIds | undefined
  /** The result's chat template, if the recipe gives one. */
  readonly chatTemplate: string | undefined
  /** Whether the result has a head of its own though the config it gets ties it to the embedding. */
  readonly untied: boolean
  /** What is accepted without effect, and what else is to be said. */
  readonly notes: ReadonlyArray<string>
}

/** Why a recipe cannot be made ready. */
export type PrepareError =
  | RecipeError
  | MergeError
  | HubError
  | CheckpointError
  | SafetensorsError
  | ArchitectureError

/** Reads a recipe file and prepares it. */
export const fromFile = Effect.fnUntraced(function* (
  path: string,
  /** Besides what the recipe itself accepts. */
  accept: ReadonlyArray<Acceptable> = [],
): Effect.fn.Return<Prepared, PrepareError> {
  const file = resolve(path)
  const text = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) =>
      new MergeError({
        method: "merge",
        input: path,
        problem:
          Predicate.hasProperty(cause, "code") && cause.code === "EISDIR"
            ? "is a directory; a merge is asked for by a recipe, a file of YAML that names models"
            : "there is no such recipe file, or it cannot be read",
      }),
  })
  return yield* fromText(text, path, dirname(file), accept)
})

/** Prepares the text of a recipe; its relative paths start from `directory`, and `name` stands for it in errors. */
export const fromText = Effect.fnUntraced(function* (
  text: string,
  name: string,
  directory: string,
  accept: ReadonlyArray<Acceptable> = [],
): Effect.fn.Return<Prepared, PrepareError> {
  const parsed = yield* RecipeFile.parse(text, name)
  const recipe = { ...parsed.recipe, accept: [...(parsed.recipe.accept ?? []), ...accept] }
  const located = { ...parsed, recipe, reference: yield* Reference.onDisk(parsed.recipe, directory) }
  return yield* fromLocated(
    located,
    (sliced) => Inputs.open(located, sliced, directory),
    (sliced) => Companions.open(located, sliced, directory),
  )
})

/** Prepares a recipe whose models and further files are opened by these functions. */
export const fromLocated = Effect.fnUntraced(function* (
  located: Located,
  openModels: (sliced: Slices.Sliced) => Effect.Effect<ReadonlyMap<string, Plan.Model>, PrepareError>,
  openCompanions: (sliced: Slices.Sliced) => Effect.Effect<Companions.Companions, RecipeError>,
): Effect.fn.Return<Prepared, PrepareError> {
  const sliced = yield* Slices.of(located)
  const scopes = Overrides.scopesOf(located, sliced)
  const ignored = yield* Settings.checkNames(located, scopes, Overrides.methodsOf(located))
  yield* Overrides.checkCounts(located, sliced)
  const companions = yield* openCompanions(sliced)
  const opened = yield* openModels(sliced)
  yield* Numbers.checkModels(located, sliced, opened)
  const alike = yield* viewed(sliced, opened)
  const { alignment, models, path } = yield* aligned(located, sliced, alike.models)
  const like = Plan.likeOf({ models, sliced })
  const named = (text: string) => ({ text, checkpoint: entry(opened, text).original })
  const specialIds =
    alignment === undefined
      ? undefined
      : yield* SpecialIds.of(
          located,
          path,
          alignment,
          named(Reference.text(like.reference)),
          named(alignment.donor),
        )
  const heads = Overrides.usesHeads(located, sliced) ? yield* Heads.of(like.checkpoint) : undefined
  const tables = yield* Tables.of(located, sliced, like.checkpoint, companions)
  const statistics = yield* Statistics.of(located, sliced, like.checkpoint, companions)
  const input = { located, sliced, models, heads, tables, statistics }
  const tensors = yield* Plan.make(input)
  const sameTokens = alignment === undefined ? yield* SameTokens.check(located, sliced, models, like) : []
  const restacked = yield* Restacked.of(input, Plan.likeness(sliced))
  const meaning = yield* Meaning.ofRecipe(located, sliced, like, models)
  const originals = [...models.values()].map(({ original }) => original)
  const chatTemplate = yield* ChatTemplate.of(located, originals)
  const carried = yield* Carried.of(like)
  const adapters = [...models.values()].flatMap(({ adapter }) =>
    (adapter?.notes ?? []).map((note) => `${adapter?.path}: ${note}`),
  )
  const notes = [
    ...located.notes,
    ...sliced.notes,
    ...ignored,
    ...[...models].flatMap(([text, { original }]) =>
      (original.remarks ?? []).map((remark) => `${text}: ${remark}`),
    ),
    ...Numbers.notesOf(models),
    ...alike.notes,
    ...meaning,
    ...adapters,
    ...tables.notes,
    ...restacked.notes,
    ...(alignment?.notes ?? []),
    ...sameTokens,
    ...(specialIds?.notes ?? []),
    ...carried.notes,
  ]
  return {
    ...input,
    tensors,
    like,
    restacked,
    alignment,
    specialIds,
    chatTemplate,
    untied: alike.untied,
    notes,
  }
})

/** Models under the names of the one that the result is like. */
const viewed = Effect.fnUntraced(function* (
  sliced: Slices.Sliced,
  models: ReadonlyMap<string, Plan.Model>,
): Effect.fn.Return<
  Pick<View.Alike, "notes" | "untied"> & { readonly models: ReadonlyMap<string, Plan.Model> },
  MergeError | SafetensorsError
> {
  const like = Plan.likeOf({ models, sliced })
  const others = [...models.values()].filter((model) => model !== like)
  const participant = ({ original, reference }: Plan.Model) => ({
    role: Reference.text(reference),
    checkpoint: original,
  })
  const { names, notes, untied } = yield* View.of([participant(like), ...others.map(participant)])
  for (const [index, { adapter }] of [like, ...others].entries()) {
    const seen = new Set(at(names, index).values())
    const lost = [...(adapter?.changes.keys() ?? [])].find((stored) => !seen.has(stored))
    if (adapter === undefined || lost === undefined) continue
    const problem = `changes ${lost}, which in this model is a copy of the tensor that it is tied to: untie the model first (tie_word_embeddings false)`
    return yield* new MergeError({ method: "merge", input: adapter.path, problem })
  }
  const views = new Map([like, ...others].map((model, index) => [model, at(names, index)]))
  return {
    notes,
    untied,
    models: new Map([...models].map(([text, model]) => [text, asSeen(model, entry(views, model))])),
  }
})

const asSeen = (model: Plan.Model, names: View.Names): Plan.Model => {
  const { adapter, original } = model
  const checkpoint = View.apply(original, names)
  // A head that the embedding stands for changes with it.
  const changes = [...names].flatMap(([name, stored]) => {
    const change = adapter?.changes.get(stored)
    return change === undefined ? [] : [[name, change] as const]
  })
  return {
    ...model,
    names,
    original: checkpoint,
    checkpoint,
    ...(adapter === undefined ? {} : { adapter: { ...adapter, changes: new Map(changes) } }),
  }
}

/** Models whose embeddings and heads have the rows that the recipe's tokenizer rule gives them; not yet in any file. */
const aligned = Effect.fnUntraced(function* (
  located: Located,
  sliced: Slices.Sliced,
  models: ReadonlyMap<string, Plan.Model>,
): Effect.fn.Return<
  {
    readonly alignment: Alignment.Alignment | undefined
    readonly models: ReadonlyMap<string, Plan.Model>
    /** Of the rule. */
    readonly path: Path
  },
  RecipeError | CheckpointError
> {
  const request = yield* Alignment.requestOf(located)
  if (request === undefined) return { alignment: undefined, models, path: [] }
  const base = sliced.base === undefined ? undefined : Reference.text(sliced.base)
  const order = [...models].toSorted(([a], [b]) => Number(b === base) - Number(a === base))
  const participants = order.map(([text, { checkpoint }]) => ({ text, checkpoint }))
  const alignment = yield* Alignment.of(located, request, participants, base !== undefined)
  const view = (model: Plan.Model): Plan.Model => {
    const { tensors: ofTokens } = Vocabulary.of(model.checkpoint)
    const tensors = [...model.checkpoint.tensors].map(([name, info]) => {
      const rows = ofTokens.get(name)
      return [
        name,
        rows === undefined ? info : { ...info, shape: Vocabulary.shapeWith(rows, alignment.rows) },
      ] as const
    })
    return { ...model, checkpoint: { ...model.checkpoint, tensors: new Map(tensors) } }
  }
  return { alignment, path: request.path, models: new Map(order.map(([text, model]) => [text, view(model)])) }
})
