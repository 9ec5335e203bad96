/**
 * Accuracy against cost as an SVG: operations per text on a logarithmic axis, every way of answering a point.
 */
import { at } from "@hila/core/Lookup"
import type { kinds } from "./Evaluation.ts"

const [width, height] = [760, 440]
const margin = { left: 60, right: 190, top: 30, bottom: 50 }

/** A way of answering: its kind, its accuracy with an interval, 0 … 1, and operations per text. */
export interface Point {
  readonly name: string
  readonly kind: (typeof kinds)[number]
  readonly accuracy: { readonly value: number; readonly low: number; readonly high: number }
  readonly flops: number
}

const colours: Readonly<Record<Point["kind"], string>> = {
  expert: "#7a7a7a",
  model: "#9a6700",
  strategy: "#0b62c4",
  baseline: "#3a8f3a",
  oracle: "#b0b0b0",
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

/** Label positions that do not overlap: pushed down where they would. */
const spread = (wanted: ReadonlyArray<number>, gap: number): ReadonlyArray<number> => {
  const order = [...wanted.keys()].toSorted((a, b) => at(wanted, a) - at(wanted, b))
  const out = [...wanted]
  let last = -Infinity
  for (const i of order) {
    out[i] = Math.max(at(wanted, i), last + gap)
    last = at(out, i)
  }
  return out
}

/** The picture of points; whiskers are the intervals of the accuracy. */
export const svg = (all: ReadonlyArray<Point>): string => {
  const shown = all.filter(({ kind }) => kind !== "oracle")
  const logs = shown.map(({ flops }) => Math.log10(Math.max(flops, 1)))
  const [low, high] = [Math.min(...logs) - 0.1, Math.max(...logs) + 0.1]
  const [least, most] = [
    Math.min(...shown.map(({ accuracy }) => accuracy.low)) - 0.01,
    Math.max(...shown.map(({ accuracy }) => accuracy.high)) + 0.01,
  ]
  const x = (log: number) => margin.left + ((log - low) / (high - low)) * (width - margin.left - margin.right)
  const y = (value: number) =>
    height - margin.bottom - ((value - least) / (most - least)) * (height - margin.top - margin.bottom)
  const labels = spread(
    shown.map(({ accuracy }) => y(accuracy.value)),
    11,
  )
  const points = shown.map((row, i) => {
    const [px, py, colour] = [x(at(logs, i)), y(row.accuracy.value), colours[row.kind]]
    return [
      `<line x1="${px.toFixed(1)}" x2="${px.toFixed(1)}" y1="${y(row.accuracy.low).toFixed(1)}" y2="${y(row.accuracy.high).toFixed(1)}" stroke="${colour}" stroke-opacity="0.3"/>`,
      `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="4" fill="${colour}"/>`,
      `<line x1="${(px + 5).toFixed(1)}" y1="${py.toFixed(1)}" x2="${width - margin.right + 8}" y2="${(at(labels, i) - 3).toFixed(1)}" stroke="${colour}" stroke-opacity="0.25"/>`,
      `<text x="${width - margin.right + 12}" y="${at(labels, i).toFixed(1)}" fill="${colour}">${escape(row.name)}</text>`,
    ].join("\n")
  })
  const marks = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i)
    .flatMap((decade) => [1, 2, 5].map((digit) => digit * 10 ** decade))
    .filter((value) => Math.log10(value) >= low && Math.log10(value) <= high)
  const ticks = [
    ...marks.map(
      (value) =>
        `<text x="${x(Math.log10(value)).toFixed(1)}" y="${height - margin.bottom + 18}" text-anchor="middle">${value / 1e6} M</text>`,
    ),
    ...Array.from({ length: 5 }, (_, i) => least + ((most - least) * i) / 4).map(
      (value) =>
        `<text x="${margin.left - 6}" y="${(y(value) + 3).toFixed(1)}" text-anchor="end">${(100 * value).toFixed(1)}</text>` +
        `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#ddd"/>`,
    ),
  ]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="10">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...ticks,
    `<text x="${(margin.left + width - margin.right) / 2}" y="${height - 12}" text-anchor="middle" font-size="12">operations per text</text>`,
    `<text x="16" y="${height / 2}" transform="rotate(-90 16 ${height / 2})" text-anchor="middle" font-size="12">accuracy on test texts, %</text>`,
    ...points,
    "</svg>",
    "",
  ].join("\n")
}
