/**
 * Line plots as SVG, without scripts and readable on light and dark pages.
 */
import { known } from "@hila/core/Lookup"

/** A line through points, in the order of x. */
export interface Line {
  readonly name: string
  readonly points: ReadonlyArray<{ readonly x: number; readonly y: number }>
}

const [width, height, left, bottom, top, right] = [520, 300, 62, 42, 14, 130]
/** Colours that are told apart by people who see fewer of them (Okabe & Ito, 2008). */
const colours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8a00", "#888888"]

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const span = (values: ReadonlyArray<number>): readonly [number, number] => {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  return low < high ? [low, high] : [low - 0.5, high + 0.5]
}

const ticks = ([low, high]: readonly [number, number]): ReadonlyArray<number> =>
  Array.from({ length: 5 }, (_, i) => low + (i / 4) * (high - low))

/** Lines over x with a mark at the best point, at most the first eight named. */
export const lines = (
  axes: { readonly x: string; readonly y: string },
  all: ReadonlyArray<Line>,
  best: { readonly x: number; readonly y: number },
): string => {
  const points = all.flatMap((line) => line.points)
  const [xs, ys] = [span(points.map(({ x }) => x)), span(points.map(({ y }) => y))]
  const px = (x: number) => left + ((x - xs[0]) / (xs[1] - xs[0])) * (width - left - right)
  const py = (y: number) => height - bottom - ((y - ys[0]) / (ys[1] - ys[0])) * (height - bottom - top)
  const at = ({ x, y }: { readonly x: number; readonly y: number }) =>
    `${px(x).toFixed(1)},${py(y).toFixed(1)}`
  const drawn = all.map(({ name, points: own }, i) => {
    const colour = colours[i % colours.length]
    const ordered = own.toSorted((a, b) => a.x - b.x)
    const label =
      i < colours.length
        ? `<text x="${width - right + 10}" y="${top + 10 + 15 * i}" fill="${colour}">${escaped(name || "all")}</text>`
        : ""
    const dots = ordered.map(
      (point) => `<circle cx="${at(point).replace(",", '" cy="')}" r="2" fill="${colour}"/>`,
    )
    return `<polyline fill="none" stroke="${colour}" points="${ordered.map(at).join(" ")}"/>${dots.join("")}${label}`
  })
  const marks = [
    ...ticks(xs).map(
      (x) =>
        `<text x="${px(x).toFixed(1)}" y="${height - bottom + 15}" text-anchor="middle">${Number(x.toFixed(2))}</text>`,
    ),
    ...ticks(ys).map(
      (y) =>
        `<text x="${left - 6}" y="${(py(y) + 4).toFixed(1)}" text-anchor="end">${y.toPrecision(3)}</text>`,
    ),
  ]
  const plane = [width - left - right, height - bottom - top]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11" fill="#808080">`,
    `<rect x="${left}" y="${top}" width="${plane[0]}" height="${plane[1]}" fill="none" stroke="#808080" stroke-opacity="0.5"/>`,
    ...marks,
    `<text x="${left + known(plane[0]) / 2}" y="${height - 8}" text-anchor="middle">${escaped(axes.x)}</text>`,
    `<text x="14" y="${top + known(plane[1]) / 2}" text-anchor="middle" transform="rotate(-90 14 ${top + known(plane[1]) / 2})">${escaped(axes.y)}</text>`,
    ...drawn,
    `<circle cx="${at(best).replace(",", '" cy="')}" r="5" fill="none" stroke="currentColor" stroke-width="1.5"/>`,
    "</svg>",
  ].join("\n")
}

/** A line per row with a dot for each series' value and a bar at their mean. */
export const dots = (
  axis: string,
  series: ReadonlyArray<string>,
  rows: ReadonlyArray<{ readonly name: string; readonly values: ReadonlyArray<number> }>,
): string => {
  const names = 8 + 6.5 * Math.max(0, ...rows.map(({ name }) => name.length))
  const [wide, step, above] = [names + 420, 18, 30]
  const tall = above + step * rows.length + bottom
  const [low, high] = span([0, ...rows.flatMap(({ values }) => values)])
  const px = (x: number) => names + 10 + ((x - low) / (high - low)) * (wide - names - 30)
  const drawn = rows.map(({ name, values }, i) => {
    const y = above + step * i + step / 2
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const marks = values.map(
      (value, at) =>
        `<circle cx="${px(value).toFixed(1)}" cy="${y}" r="3.5" fill="${colours[at % colours.length]}"/>`,
    )
    const [from, to] = [px(Math.min(...values)).toFixed(1), px(Math.max(...values)).toFixed(1)]
    return [
      `<text x="${names}" y="${y + 4}" text-anchor="end">${escaped(name)}</text>`,
      `<line x1="${from}" x2="${to}" y1="${y}" y2="${y}" stroke="#808080" stroke-opacity="0.5"/>`,
      ...marks,
      `<line x1="${px(mean).toFixed(1)}" x2="${px(mean).toFixed(1)}" y1="${y - 7}" y2="${y + 7}" stroke="currentColor" stroke-width="2"/>`,
    ].join("")
  })
  const legend = series.map(
    (name, i) =>
      `<text x="${names + 10 + 90 * i}" y="16" fill="${colours[i % colours.length]}">● ${escaped(name)}</text>`,
  )
  const scale = ticks([low, high]).map(
    (x) =>
      `<text x="${px(x).toFixed(1)}" y="${tall - 24}" text-anchor="middle">${Number(x.toFixed(2))}</text>`,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide} ${tall}" width="${wide}" height="${tall}" font-family="sans-serif" font-size="11" fill="#808080">`,
    `<line x1="${px(0).toFixed(1)}" x2="${px(0).toFixed(1)}" y1="${above}" y2="${tall - bottom}" stroke="#808080" stroke-opacity="0.5"/>`,
    ...legend,
    ...drawn,
    ...scale,
    `<text x="${px((low + high) / 2).toFixed(1)}" y="${tall - 6}" text-anchor="middle">${escaped(axis)}</text>`,
    "</svg>",
    "",
  ].join("\n")
}
