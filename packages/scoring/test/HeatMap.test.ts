import { assert, describe, it } from "@effect/vitest"
import type { UnitTable } from "@hila/model"
import * as HeatMap from "../src/HeatMap.ts"

const row = (layer: number, kind: UnitTable.Row["kind"], index: number, score: number): UnitTable.Row => ({
  unit: `layers.${layer}.${kind}.${index}`,
  kind,
  layer,
  index,
  size: 1,
  score,
  standardError: 0.01,
  relative: 1,
})

const table: UnitTable.UnitTable = {
  scheme: "kvGroup",
  method: "revert",
  rows: [
    row(0, "kvGroup", 0, 0.2),
    row(0, "kvGroup", 1, -0.1),
    row(0, "mlp", 0, 4),
    row(1, "kvGroup", 0, 0),
    row(1, "kvGroup", 1, 0.05),
    row(1, "mlp", 0, -1),
  ],
}

describe("HeatMap", () => {
  it("scales heads and MLPs by their own largest score", () => {
    assert.strictEqual(
      HeatMap.text(table, { plain: true }),
      ["layer   g0   g1  mlp", "    0  100  -50  100", "    1    0   25  -25"].join("\n"),
    )
  })

  it("colours what helps blue and what harms red, in the terminal and as SVG", () => {
    assert.include(HeatMap.text(table), "\u001B[48;2;33;102;172;97m  100\u001B[0m")
    const svg = HeatMap.svg(table)
    assert.strictEqual(svg.match(/<rect/g)?.length, 6)
    assert.include(svg, 'fill="rgb(33,102,172)"><title>layers.0.kvGroup.0: 0.200 ± 0.010</title>')
    assert.include(svg, 'fill="rgb(255,255,255)"')
    assert.match(svg, /fill="rgb\(217,140,149\)"><title>layers\.0\.kvGroup\.1/)
  })

  it("draws whole layers as one column", () => {
    const rows = [row(0, "layer", 0, 2), row(1, "layer", 0, -1)]
    assert.strictEqual(
      HeatMap.text({ ...table, scheme: "layer", rows }, { plain: true }),
      ["layer  all", "    0  100", "    1  -50"].join("\n"),
    )
  })

  it("draws an empty table as an empty map", () => {
    assert.strictEqual(HeatMap.text({ ...table, rows: [] }, { plain: true }), "layer")
  })
})
