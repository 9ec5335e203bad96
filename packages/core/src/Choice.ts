/**
 * A stage's parameter that chooses one of several named ways of doing something, each with a version of its own.
 *
 * A stage's version is part of the keys of all its results. Where one of its ways changes, only what was made in that way is
 * outdated: a way whose version is above 1 has it in its name as the key sees it, `ties@2`, and the others keep their keys.
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { entry } from "./Lookup.ts"

/**
 * The schema of a choice among `names`. `versions` has those above 1.
 *
 * @example
 * Schema.encodeSync(Choice.schema(["ties", "linear"], { ties: 2 }))("ties") // => "ties@2"
 */
export const schema = <const Name extends string>(
  names: ReadonlyArray<Name>,
  versions: Readonly<Partial<Record<Name, number>>>,
) => {
  const written = new Map(names.map((name) => [name, withVersion(name, versions[name])]))
  const read = new Map([...written].map(([name, text]) => [text, name]))
  return Schema.Literals([...read.keys()]).pipe(
    Schema.decodeTo(
      Schema.Literals(names),
      SchemaTransformation.transform({
        decode: (text: string) => entry(read, text),
        encode: (name: Name) => entry(written, name),
      }),
    ),
  )
}

const withVersion = (name: string, version: number | undefined) =>
  version === undefined || version === 1 ? name : `${name}@${version}`
