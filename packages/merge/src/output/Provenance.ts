/** What a card says of the models that went into a merge. */
import { entry } from "@hila/core/Lookup"
import { type Checkpoint, Hub } from "@hila/model"
import { join } from "node:path"
import * as Adapter from "../adapters/Adapter.ts"
import type { Model } from "../plan/Plan.ts"
import type { Prepared } from "../plan/Prepared.ts"
import * as Reference from "../recipe/Reference.ts"
import type { Input } from "./Card.ts"

const weightFiles = ({ files, tensors }: Checkpoint.Checkpoint): Readonly<Record<string, string>> => {
  const used = new Set([...tensors.values()].map(({ file }) => file))
  return Object.fromEntries(Object.entries(files).filter(([, path]) => used.has(path)))
}

/** The files that a model's weights are read from, by name. */
const filesOf = ({ adapter, original }: Model): Readonly<Record<string, string>> => ({
  ...weightFiles(original),
  ...(adapter === undefined
    ? {}
    : Object.fromEntries(Object.values(Adapter.files).map((name) => [name, join(adapter.path, name)]))),
})

/** Every file that weights are read from. */
export const paths = ({ models }: Pick<Prepared, "models">): ReadonlyArray<string> =>
  [...models.values()].flatMap((model) => Object.values(filesOf(model)))

/** The inputs of a merge with the digests of their files by path, unless they are not asked for. */
export const of = (
  { models, sliced }: Prepared,
  digests: ReadonlyMap<string, string> | undefined,
): ReadonlyArray<Input> => {
  const base = sliced.base === undefined ? undefined : Reference.text(sliced.base)
  return [...models].map(([text, model]) => ({
    role: text === base ? "base" : "model",
    model: text,
    repo: model.hub?.repo ?? (model.directory === undefined ? undefined : Hub.repoOf(model.directory)),
    isDirectory: model.directory !== undefined,
    digests:
      digests === undefined
        ? {}
        : Object.fromEntries(
            Object.entries(filesOf(model)).map(([name, path]) => [name, entry(digests, path)]),
          ),
  }))
}
