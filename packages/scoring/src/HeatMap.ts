/**
 * Heat maps of scores: layers downwards, heads across, the MLP in a column of its own.
 *
 * Blue is a unit that helps the expert, red one that harms it; strength is the score over the largest of its kind, so
 * that MLPs, whose scores are larger, do not wash the heads out. For terminals and as a file for a page.
 */
import { entry, entryOr } from "@hila/core/Lookup"
import type { UnitTable } from "@hila/model"

interface Cell {
  readonly row: UnitTable.Row
  /** score / max |score| of the kind, −1…1; 0 where all are 0. */
  readonly strength: number
}

interface Grid {
  /** Column titles: `g0 g1 … mlp`, or `q0 … kv0 … mlp`. */
  readonly columns: ReadonlyArray<string>
  /** Cells by layer and column; a layer may lack a column. */
  readonly layers: ReadonlyArray<ReadonlyArray<Cell | undefined>>
}

const prefix: Readonly<Record<UnitTable.Row["kind"], string>> = {
  kvGroup: "g",
  queryHead: "q",
  kvHead: "kv",
  mlp: "mlp",
  layer: "all",
}

const title = ({ index, kind }: UnitTable.Row): string =>
  kind === "mlp" || kind === "layer" ? prefix[kind] : `${prefix[kind]}${index}`

const grid = ({ rows }: UnitTable.UnitTable): Grid => {
  const largest = new Map<string, number>()
  for (const { kind, score } of rows) largest.set(kind, Math.max(entryOr(largest, kind, 0), Math.abs(score)))
  const columns = [...new Set(rows.map(title))]
  const depth = Math.max(-1, ...rows.map(({ layer }) => layer)) + 1
  const byPlace = new Map(rows.map((row) => [`${row.layer} ${title(row)}`, row]))
  const layers = Array.from({ length: depth }, (_, layer) =>
    columns.map((column): Cell | undefined => {
      const row = byPlace.get(`${layer} ${column}`)
      if (row === undefined) return undefined
      const most = entry(largest, row.kind)
      return { row, strength: most === 0 ? 0 : row.score / most }
    }),
  )
  return { columns, layers }
}

const helping = [33, 102, 172] as const
const harming = [178, 24, 43] as const

/** White to blue or red by strength, as red, green and blue 0…255 (the RdBu scheme of ColorBrewer at its ends). */
const colour = (strength: number): readonly [number, number, number] => {
  const end = strength >= 0 ? helping : harming
  const at = Math.min(1, Math.abs(strength))
  const mix = (channel: number) => Math.round(255 + (channel - 255) * at)
  return [mix(end[0]), mix(end[1]), mix(end[2])]
}

/** The heat map for a terminal with 24-bit colour; `plain` writes strengths in percent without colour. */
export const text = (table: UnitTable.UnitTable, options: { readonly plain?: boolean } = {}): string => {
  const { columns, layers } = grid(table)
  const width = Math.max(5, ...columns.map(({ length }) => length + 1))
  const show = (cell: Cell | undefined): string => {
    if (cell === undefined) return " ".repeat(width)
    const number = String(Math.round(cell.strength * 100)).padStart(width)
    if (options.plain === true) return number
    const [red, green, blue] = colour(cell.strength)
    const ink = Math.abs(cell.strength) > 0.55 ? "97" : "30"
    return `\u001B[48;2;${red};${green};${blue};${ink}m${number}\u001B[0m`
  }
  const head = `layer${columns.map((column) => column.padStart(width)).join("")}`
  return [
    head,
    ...layers.map((cells, layer) => `${String(layer).padStart(5)}${cells.map(show).join("")}`),
  ].join("\n")
}

const escape = (value: string): string => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

/** The heat map as an SVG document; each cell's score with its error is its tooltip. */
export const svg = (table: UnitTable.UnitTable): string => {
  const { columns, layers } = grid(table)
  const [cell, left, top] = [28, 56, 44]
  const [width, height] = [left + columns.length * cell + 8, top + layers.length * cell + 8]
  const label = (x: number, y: number, value: string, anchor: string) =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}">${escape(value)}</text>`
  const rect = (found: Cell | undefined, layer: number, column: number): string => {
    if (found === undefined) return ""
    const { row, strength } = found
    const tip = `${row.unit}: ${row.score.toPrecision(3)} ± ${row.standardError.toPrecision(2)}`
    const place = `x="${left + column * cell}" y="${top + layer * cell}" width="${cell - 1}" height="${cell - 1}"`
    return `<rect ${place} fill="rgb(${colour(strength).join(",")})"><title>${escape(tip)}</title></rect>`
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="10">`,
    label(4, 14, `${table.method}, ${table.scheme}: blue helps, red harms`, "start"),
    ...columns.map((column, at) => label(left + at * cell + cell / 2, top - 6, column, "middle")),
    ...layers.map((_, layer) => label(left - 6, top + layer * cell + cell / 2 + 4, `layer ${layer}`, "end")),
    ...layers.flatMap((cells, layer) => cells.map((found, column) => rect(found, layer, column))),
    "</svg>",
    "",
  ].join("\n")
}
