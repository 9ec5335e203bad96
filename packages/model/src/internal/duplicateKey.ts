/**
 * Finds a key that stands twice in one JSON object, which `JSON.parse` hides by keeping the last.
 *
 * The text must be valid JSON; this is no parser.
 */
import { endOfString, skipSpace } from "./jsonScan.ts"

/** The path of the first repeated key (`["tensor", "dtype"]`), or undefined. */
export const duplicateKey = (json: string): ReadonlyArray<string> | undefined => {
  // One set of keys for each open object; an array has none. `path` holds the latest key of each open object.
  const open: Array<Set<string> | undefined> = []
  const path: Array<string> = []
  let i = 0
  while (i < json.length) {
    const character = json[i]
    if (character === "{") {
      open.push(new Set())
      path.push("")
    } else if (character === "[") {
      open.push(undefined)
      path.push("")
    } else if (character === "}" || character === "]") {
      open.pop()
      path.pop()
    } else if (character === '"') {
      const end = endOfString(json, i)
      if (json[skipSpace(json, end)] === ":") {
        const key: string = JSON.parse(json.slice(i, end))
        const keys = open.at(-1)
        path[path.length - 1] = key
        if (keys?.has(key) === true)
          return path.filter((part, depth) => part !== "" || depth === path.length - 1)
        keys?.add(key)
      }
      i = end
      continue
    }
    i++
  }
  return undefined
}
