/** PCB and consensus task arithmetic against slow and obvious versions of the papers' forms. */
import { assert, describe, it } from "@effect/vitest"
import { definitions } from "../src/methods/registry.ts"
import { drive, withDefaults } from "./drive.ts"
import { random } from "./support.ts"

const size = 400
const next = random(21)
const base = Float32Array.from({ length: size }, () => next() - 0.5)
const deltas = [0, 1, 2].map(() =>
  Float32Array.from({ length: size }, () => (next() < 0.2 ? 0 : 4 * (next() - 0.5))),
)
const models = deltas.map((delta) => delta.map((value, i) => value + base[i]!))
/** As the methods see them: differences of what is stored. */
const seen = models.map((model) => Array.from(model, (value, i) => Math.fround(value - base[i]!)))

const halves = [
  {
    name: "first",
    shape: [10, 20],
    base: base.slice(0, 200),
    models: models.map((model) => model.slice(0, 200)),
  },
  { name: "second", shape: [200], base: base.slice(200), models: models.map((model) => model.slice(200)) },
]

const furthest = (got: ReadonlyArray<number>, wanted: ReadonlyArray<number>) =>
  got.length === wanted.length
    ? got.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0)
    : Infinity

type Row = ReadonlyArray<number>

const cut = (row: Row, low: number, high: number): Row => {
  const sorted = row.toSorted((a, b) => a - b)
  const [least, greatest] = [
    sorted[Math.floor(row.length * low)]!,
    sorted[Math.floor(row.length * high) - 1]!,
  ]
  return row.map((value) => Math.min(Math.max(value, least), greatest))
}
const stretch = (row: Row): Row => {
  const [least, greatest] = [Math.min(...row), Math.max(...row)]
  return row.map((value) => (value - least) / (greatest - least))
}

const pcbByTheBook = (variant: "v1" | "v2" | "v3", r: number, q: number, lambda: number): Row => {
  const a = seen.map((delta) => cut(delta.map(Math.abs), q, 1 - q))
  const n = seen.map((delta, t) => stretch(a[t]!).map((value, i) => Math.sign(delta[i]!) * value))
  const scores = seen.map((delta, t) => {
    const b = delta.map((value, i) => {
      const intra = Math.exp(3 * n[t]![i]! ** 2)
      const sum = (of: ReadonlyArray<Row>) => of.reduce((total, row) => total + row[i]!, 0)
      if (variant === "v1") return intra * Math.tanh(value * sum(seen))
      if (variant === "v2") return intra * Math.tanh(value * sum(n))
      return intra * n.reduce((total, row) => total + Math.tanh(n[t]![i]! * row[i]!), 0)
    })
    return stretch(cut(b, 1 - r, 1))
  })
  return [...base].map((value, i) => {
    const total = scores.reduce((sum, score) => sum + score[i]!, 0)
    const merged = scores.reduce((sum, score, t) => sum + score[i]! * Math.sign(seen[t]![i]!) * a[t]![i]!, 0)
    return value + (lambda * merged) / Math.max(total, 1e-12)
  })
}

describe("pcb", () => {
  for (const variant of ["v1", "v2", "v3"] as const) {
    it(`${variant} is the authors' form over the whole model`, () => {
      for (const r of [0.1, 0.6, 0.95]) {
        const values = withDefaults(definitions.pcb, "tool", 3, { variant, r, q: 0.01, lambda: 1.2 })
        const got = drive(definitions.pcb, values, halves, 90).flatMap((result) => [...result])
        assert.isBelow(furthest(got, pcbByTheBook(variant, r, 0.01, 1.2)), 1e-4, `r ${r}`)
      }
    })
  }

  it("gives the base where no task vector has anything", () => {
    const values = withDefaults(definitions.pcb, "tool", 2, {})
    const [got] = drive(definitions.pcb, values, [{ name: "x", shape: [size], base, models: [base, base] }])
    assert.deepStrictEqual(got, base)
  })
})

describe("consensus_ta", () => {
  it("keeps the sum where two tasks rely on it", () => {
    const values = withDefaults(definitions.consensus_ta, "tool", 3, { lambda: 0.5 })
    const [got] = drive(definitions.consensus_ta, values, [{ name: "x", shape: [size], base, models }])
    const wanted = [...base].map((value, i) => {
      const sum = seen.reduce((total, delta) => total + delta[i]!, 0)
      const relying = seen.filter((delta) => Math.abs(delta[i]!) > 0.4 * Math.abs(sum - delta[i]!)).length
      return relying >= 2 ? value + 0.5 * sum : value
    })
    assert.isBelow(furthest([...got!], wanted), 1e-5)
  })

  it("with k 0 is task arithmetic, and with more than there are tasks the base", () => {
    const tensor = { name: "x", shape: [size], base, models }
    const values = (k: number) => withDefaults(definitions.consensus_ta, "tool", 3, { k })
    const arithmetic = withDefaults(definitions.task_arithmetic, "tool", 3, { weight: [1, 1, 1] })
    assert.deepStrictEqual(
      drive(definitions.consensus_ta, values(0), [tensor]),
      drive(definitions.task_arithmetic, arithmetic, [tensor]),
    )
    assert.deepStrictEqual(drive(definitions.consensus_ta, values(4), [tensor])[0], base)
  })
})
