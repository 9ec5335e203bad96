/**
 * Columns: rows as the reference harness's loader has them, where a column is of one kind.
 *
 * A column with a float among its numbers is all floats, also in lists and in objects of the same keys, so that `18` is
 * printed as `18.0`; a column of dates is of moments; a key that a row lacks is None. Columns of several kinds stay as
 * they are.
 */
import { atOr } from "@hila/core/Lookup"
import { float, Float, isFloat, isNumber, Tuple } from "../internal/python.ts"
import * as Moments from "./Moments.ts"
import type { Row } from "./Template.ts"

type Column = ReadonlyArray<unknown>

const isRecord = (value: unknown): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Float)

const floats = (column: Column): Column =>
  column.some(isFloat) ? column.map((value) => (isNumber(value) ? float(Number(value)) : value)) : column

const moments = (column: Column): Column =>
  column.every((value) => typeof value !== "string" || Moments.read(value) !== undefined)
    ? column.map((value) => (typeof value === "string" ? Moments.read(value) : value))
    : column

/** Lists of a column, their elements taken together. */
const lists = (column: Column): Column => {
  const all = column.flatMap((value) => (Array.isArray(value) ? value : []))
  const one = uniform(all)
  if (one === all) return column
  let at = 0
  return column.map((value) => (Array.isArray(value) ? one.slice(at, (at += value.length)) : value))
}

/** Objects of a column, where all have the same keys. */
const records = (column: Column): Column => {
  const present = column.filter(isRecord)
  const keys = Object.keys(atOr(present, 0, {}))
  const alike = present.every(
    (value) => Object.keys(value).length === keys.length && keys.every((key) => Object.hasOwn(value, key)),
  )
  if (!alike) return column
  const before = keys.map((key) => present.map((value) => value[key]))
  const after = before.map(uniform)
  if (after.every((one, i) => one === before[i])) return column
  let at = -1
  return column.map((value) => {
    if (!isRecord(value)) return value
    at++
    return Object.fromEntries(keys.map((key, i) => [key, after[i]?.[at]]))
  })
}

/** The same values as one kind, or the column itself where nothing is to be done. */
const uniform = (column: Column): Column => {
  const present = column.filter((value) => value !== null && value !== undefined)
  if (present.length === 0) return column
  if (present.every(isNumber)) return floats(column)
  if (present.every((value) => Array.isArray(value) && !(value instanceof Tuple))) return lists(column)
  if (present.every((value) => typeof value === "string")) return moments(column)
  return present.every(isRecord) ? records(column) : column
}

/**
 * Rows with columns of one kind each. `beside` are rows of the same data set that are not wanted but count for the kinds.
 */
export const make = (rows: ReadonlyArray<Row>, beside: ReadonlyArray<Row> = []): ReadonlyArray<Row> => {
  const all = [...rows, ...beside]
  const names = [...new Set(all.flatMap(Object.keys))]
  const columns = names.map((name) => {
    const column = all.map((row) => (Object.hasOwn(row, name) ? row[name] : null))
    return { name, column: uniform(column) }
  })
  const whole = rows.every((row) => Object.keys(row).length === names.length)
  if (whole && columns.every(({ column, name }) => rows.every((row, i) => row[name] === column[i])))
    return rows
  return rows.map((_, i) => Object.fromEntries(columns.map(({ column, name }) => [name, column[i]])))
}
