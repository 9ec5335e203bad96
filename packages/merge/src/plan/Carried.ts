/**
 * The files of the donor that go along with a result, and what is to be said of those that do not.
 *
 * Files of a kind that Hila does not know go along where they are small, since models have files of their own; what is
 * large and unknown is likely to be weights.
 */
import { FileKind } from "@hila/model"
import * as Effect from "effect/Effect"
import { stat } from "node:fs/promises"
import * as Reference from "../recipe/Reference.ts"
import type { Model } from "./Plan.ts"

/** The most bytes of an unknown file that goes along. */
const largest = 64 << 20

/** What goes along. */
export interface Carried {
  /** Relative name → absolute path. */
  readonly files: Readonly<Record<string, string>>
  readonly notes: ReadonlyArray<string>
}

/** Sorts the donor's files; the weights that it is read from are no matter of a note. */
export const of = Effect.fnUntraced(function* ({ original, reference }: Model): Effect.fn.Return<Carried> {
  const read = new Set([...original.tensors.values()].map(({ file }) => file))
  const files: Record<string, string> = {}
  const unknown: Array<string> = []
  const left = new Map<string, Set<string>>()
  for (const [name, path] of Object.entries(original.files)) {
    const kind = FileKind.of(name)
    const isLarge = kind === "unknown" && (yield* sizeOf(path)) > largest
    if (FileKind.isCarried(name) && !isLarge) {
      files[name] = path
      if (kind === "unknown") unknown.push(name)
    } else if (!read.has(path) && !isIndex(name)) {
      const why = isLarge ? "unknown and large" : kind
      left.set(why, (left.get(why) ?? new Set()).add(shortOf(name)))
    }
  }
  const whose = Reference.text(reference)
  const parts = [...left].map(([why, names]) => `${few([...names])} (${why})`)
  return {
    files,
    notes: [
      ...(parts.length === 0 ? [] : [`files of ${whose} that do not go along: ${parts.join("; ")}`]),
      ...(unknown.length === 0
        ? []
        : [`files of ${whose} that go along as they are, unknown: ${few(unknown)}`]),
    ],
  }
})

/** The index of the shards that were read is made anew. */
const isIndex = (name: string) => name === "model.safetensors.index.json"

/** A file by its name, or all of a folder by the folder's. */
const shortOf = (name: string) => (name.includes("/") ? name.slice(0, name.indexOf("/") + 1) : name)

const few = (names: ReadonlyArray<string>) =>
  names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ")

const sizeOf = (path: string) =>
  Effect.promise(() =>
    stat(path).then(
      ({ size }) => size,
      () => 0,
    ),
  )
