/**
 * Canonical JSON: one text for one value, whatever the order in which its properties were set.
 *
 * Keys, manifests and records are hashed in this form. It takes JSON values only; schemas turn everything else into
 * JSON first, and a value that has no JSON form is an error there, never a fallback here.
 */

/**
 * The canonical JSON text of a JSON value: sorted property names, no white space.
 *
 * @example
 * Canonical.stringify({ b: 1, a: [true, null] }) // => '{"a":[true,null],"b":1}'
 */
export const stringify = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(stringify).join(",")}]`
  if (value !== null && typeof value === "object") {
    let fields = ""
    const record: Readonly<Record<string, unknown>> = { ...value }
    // The order of sort() is by UTF-16 code units, the same everywhere.
    for (const name of Object.keys(record).toSorted()) {
      const field = record[name]
      if (field !== undefined)
        fields += `${fields === "" ? "" : ","}${JSON.stringify(name)}:${stringify(field)}`
    }
    return `{${fields}}`
  }
  // JSON has a negative zero, JSON.stringify does not write it.
  if (Object.is(value, -0)) return "-0"
  return JSON.stringify(value) ?? "null"
}
