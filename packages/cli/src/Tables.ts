/** Columns of text, and figures for people. */
import { at, atOr } from "@hila/core/Lookup"

/** Rows as lines: each column as wide as its widest cell, two spaces between. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths: Array<number> = []
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(atOr(widths, index, 0), cell.length)
  return rows
    .map((row) => `  ${row.map((cell, index) => cell.padEnd(at(widths, index))).join("  ")}`.trimEnd())
    .join("\n")
}

/** Bytes: `812 B`, `1.4 MiB`. */
export const bytes = (count: number): string => {
  let [value, unit] = [count, "B"]
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1024) break
    value /= 1024
    unit = next
  }
  return unit === "B" ? `${value} B` : `${value.toFixed(1)} ${unit}`
}

/** Seconds: `4.2 s`, `6 min`, `3.1 h`. */
export const duration = (seconds: number): string =>
  seconds < 60
    ? `${seconds.toFixed(1)} s`
    : seconds < 3600
      ? `${Math.round(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`

/** A figure with what is worth reading of it. */
export const figure = (value: number): string =>
  Number.isInteger(value) ? String(value) : value.toPrecision(4)
