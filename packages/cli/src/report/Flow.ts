/**
 * The graph of a run as a picture: one box per kind of stage, with how many there were, how many were hits and what they
 * took. A pipeline of two hundred stages has twenty kinds; the stages themselves are in a table below.
 */
import { entry, entryOr } from "@hila/core/Lookup"
import { duration } from "../Tables.ts"
import type { Step } from "./Data.ts"
import { escape } from "./Markup.ts"

interface Box {
  readonly name: string
  readonly stages: number
  readonly hits: number
  /** Of the stages that ran. */
  readonly seconds: number
  /** Kinds of stages it takes results of. */
  readonly after: ReadonlySet<string>
}

const boxesOf = (steps: ReadonlyArray<Step>): ReadonlyArray<Box> =>
  [...Map.groupBy(steps, ({ action }) => action.ingredients.stage)].map(([name, group]) => ({
    name,
    stages: group.length,
    hits: group.filter(({ hit }) => hit).length,
    seconds: group.reduce((sum, { action, hit }) => sum + (hit ? 0 : action.seconds), 0),
    after: new Set(group.flatMap(({ after }) => [...after])),
  }))

/** The level of each box: one more than the last of those before it, kinds that feed each other apart. */
const levelsOf = (boxes: ReadonlyArray<Box>): ReadonlyMap<string, number> => {
  const byName = new Map(boxes.map((box) => [box.name, box]))
  const levels = new Map<string, number>()
  const visit = (name: string, below: ReadonlySet<string>): number => {
    const known = levels.get(name)
    if (known !== undefined) return known
    const before = [...(entryOr(byName, name, undefined)?.after ?? [])].filter((each) => !below.has(each))
    const inside = new Set([...below, name])
    const level = Math.max(-1, ...before.map((each) => visit(each, inside))) + 1
    levels.set(name, level)
    return level
  }
  for (const { name } of boxes) visit(name, new Set())
  return levels
}

const [width, height, gapX, gapY, margin] = [168, 46, 12, 40, 8] as const

/** The picture, SVG; empty for a run without stages. */
export const svg = (steps: ReadonlyArray<Step>): string => {
  const boxes = boxesOf(steps)
  const levels = levelsOf(boxes)
  const filled = new Map<number, number>()
  const places = new Map(
    boxes.map(({ name }) => {
      const level = entry(levels, name)
      const before = entryOr(filled, level, 0)
      filled.set(level, before + 1)
      return [name, { x: margin + before * (width + gapX), y: margin + level * (height + gapY) }]
    }),
  )
  const edges = boxes.flatMap(({ after, name }) =>
    [...after].flatMap((before) => {
      const [from, to] = [places.get(before), places.get(name)]
      if (from === undefined || to === undefined) return []
      const [x1, y1, x2, y2] = [from.x + width / 2, from.y + height, to.x + width / 2, to.y]
      const bend = Math.max(gapY / 2, (y2 - y1) / 2)
      return `<path d="M${x1} ${y1} C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}" class="edge"/>`
    }),
  )
  const drawn = boxes.map(({ hits, name, seconds, stages }) => {
    const { x, y } = entry(places, name)
    const ran = stages - hits
    const note = [
      stages === 1 ? "" : `${stages} stages`,
      ran === 0 ? "kept" : `${stages === 1 ? "" : `${ran} ran, `}${duration(seconds)}`,
    ]
    return [
      `<g class="${ran === 0 ? "kept" : "ran"}"><rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`,
      `<text x="${x + 10}" y="${y + 19}" class="name">${escape(name)}</text>`,
      `<text x="${x + 10}" y="${y + 36}" class="note">${escape(note.filter((part) => part !== "").join(" · "))}</text></g>`,
    ].join("")
  })
  const across = Math.max(0, ...filled.values())
  const down = Math.max(-1, ...levels.values()) + 1
  const [w, h] = [across * (width + gapX) - gapX + 2 * margin, down * (height + gapY) - gapY + 2 * margin]
  return `<svg xmlns="http://www.w3.org/2000/svg" class="flow" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}" role="img" aria-label="The graph of the run">\n${[...edges, ...drawn].join("\n")}\n</svg>`
}
