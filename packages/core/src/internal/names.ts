/**
 * Names that a store or a remote says: digests, and files of directories. They become paths, so they are looked at first,
 * wherever they come from.
 */
import * as Schema from "effect/Schema"

const pattern = /^[0-9a-f]{64}$/

/** Whether a text is a sha256 in hexadecimal, and so a safe name of a file. */
export const isDigest = (text: string): boolean => pattern.test(text)

/** A sha256 in hexadecimal. */
export const Digest = Schema.String.check(
  Schema.makeFilter((text) => isDigest(text) || "expected a sha256 of 64 hexadecimal digits"),
)

/** Whether a name stays below its directory: steps with names of their own, joined by slashes. */
const isBelow = (name: string): boolean =>
  !name.includes("\0") && name.split("/").every((step) => step !== "" && step !== "." && step !== "..")

/** Whether these can be the files of one directory: each below it, and none of them also a directory of another. */
export const areFiles = (names: ReadonlyArray<string>): boolean => {
  const all = new Set(names)
  return names.every((name) => {
    const steps = name.split("/")
    return isBelow(name) && steps.slice(1).every((_, i) => !all.has(steps.slice(0, i + 1).join("/")))
  })
}
