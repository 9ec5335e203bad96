/**
 * Every reference file of importance scores, for both families, method by method: all samples of the micro family, the
 * first of the other, whose models are larger. (The model package compares its gradients on every sample of both.)
 */
import { assert, describe, layer } from "@effect/vitest"
import { Checkpoint, Runtime, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as Importance from "../src/Importance.ts"
import { examples, hasShared, type Oracle, oracleOf, shared } from "./fixtures.ts"

const families = ["micro-math", "micro-code", "micro-lang", "realtext-code", "realtext-med", "realtext-zh"]

/** The task of a reference file, on the units of both schemes, each once. */
const taskOf = Effect.fn(function* (name: string, reference: Oracle, samples: number) {
  const [family, member] = name.split("-")
  const open = (which: string) => Checkpoint.open(fileURLToPath(new URL(`models/${family}/${which}`, shared)))
  const [base, expert] = [yield* open("base"), yield* open(member ?? "")]
  const groups = yield* Unit.partition(expert, "kvGroup")
  const heads = yield* Unit.partition(expert, "queryHead")
  const units = [...groups.units, ...heads.units.filter(({ kind }) => kind !== "mlp")]
  return {
    base,
    expert,
    golden: examples(reference).slice(0, samples),
    units,
    seed: 0,
    quadrature: reference.quadrature,
  }
})

const referenceOf = (reference: Oracle, unit: Unit.Unit) =>
  reference.units.find(
    ({ index, kind, layer: l }) => kind === unit.kind && l === unit.layer && index === unit.index,
  )

describe.skipIf(!hasShared)(
  "importance of both families against the reference scores (needs ../shared)",
  () => {
    layer(Runtime.layer)((it) => {
      it.effect.each(families)(
        "%s: revert, add and ablate within 1e-4, gradients within 1e-3 of the sample's largest",
        (name) =>
          Effect.gen(function* () {
            const reference = oracleOf(name)
            const samples = name.startsWith("micro") ? reference.samples.length : 3
            const task = yield* taskOf(name, reference, samples)
            const models = yield* Importance.models(task.base, task.expert, task.golden)
            const measure = Effect.fnUntraced(function* (method: Importance.Method) {
              const parts = yield* Importance.parts(task, models, method)
              const measured = yield* Effect.forEach(parts, (part) => part.measure, { concurrency: 2 })
              return Importance.combine(method, measured)
            })
            for (const method of ["revert", "add", "ablate"] as const) {
              const values = yield* measure(method)
              for (const [u, unit] of task.units.entries()) {
                // A key-value head has no output of its own to take away, and groups were compared before their MLPs.
                if (method === "ablate" && unit.kind === "kvHead") continue
                const expected = (referenceOf(reference, unit)?.[method] ?? []).slice(0, samples)
                assert.strictEqual(values[u]?.length, expected.length, unit.id)
                expected.forEach((value, k) =>
                  assert.closeTo(values[u]?.[k] ?? NaN, value, 1e-4, `${method} of ${unit.id}, sample ${k}`),
                )
              }
            }
            const gradients = {
              pathIntegrated: (value: number) => value,
              gateGradient: Math.abs,
            }
            for (const method of ["pathIntegrated", "gateGradient"] as const) {
              const values = yield* measure(method)
              const expected = task.units.map((unit) =>
                (referenceOf(reference, unit)?.[method] ?? []).map(gradients[method]),
              )
              for (const kind of new Set(task.units.map((unit) => unit.kind))) {
                const own = task.units.flatMap((unit, u) => (unit.kind === kind ? [u] : []))
                task.golden.forEach((_, k) => {
                  const largest = Math.max(...own.map((u) => Math.abs(expected[u]?.[k] ?? NaN)))
                  const error = Math.max(
                    ...own.map((u) => Math.abs((values[u]?.[k] ?? NaN) - (expected[u]?.[k] ?? NaN))),
                  )
                  assert.isAtMost(error / largest, 1e-3, `${method} of ${kind}, sample ${k}`)
                })
              }
            }
          }).pipe(Effect.scoped),
        120_000,
      )
    })
  },
)
