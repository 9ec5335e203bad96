// What a config.json does not say is what transformers' class of its model type says: fixture of
// tools/oracles/class_defaults.py.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Architecture, type ModelConfig } from "../src/index.ts"

type Json = Readonly<Record<string, unknown>>

/** Configs, and for each of their keys what the class has otherwise where it is absent or null. */
interface Entry {
  readonly config: Json
  readonly absent: Readonly<Record<string, Json>>
  readonly null: Readonly<Record<string, Json>>
}

const { types }: { readonly types: Readonly<Record<string, ReadonlyArray<Entry>>> } = JSON.parse(
  readFileSync(fileURLToPath(new URL("./fixtures/class-defaults.json", import.meta.url)), "utf8"),
)

/** What stands for parts of `rope_parameters` in older configs. */
const older = new Set([
  "rope_theta",
  "rope_scaling",
  "partial_rotary_factor",
  "rotary_pct",
  "rotary_emb_base",
  "rope_local_base_freq",
  "global_rope_theta",
  "local_rope_theta",
])

/** The config without a key, or with null for it. */
const changed = (config: Json, [key = "", ...inner]: ReadonlyArray<string>, isNull: boolean): Json =>
  Object.fromEntries(
    Object.entries(config).flatMap(([name, value]) => {
      if (name !== key) return [[name, value]]
      if (inner.length > 0) return [[name, changed(value as Json, inner, isNull)]]
      return isNull ? [[name, null]] : []
    }),
  )

/** The config with what the class has written out. */
const writtenOut = (config: Json, found: Json): Json => ({
  ...Object.fromEntries(
    Object.entries(config).filter(([key]) => !("rope_parameters" in found && older.has(key))),
  ),
  ...found,
})

const isEncoder = (type: string) => Architecture.kindOf(type) === "encoder"

/** The shape, or that there is none. */
const shapeOf = (type: string, config: Json) => {
  const whole: ModelConfig.ModelConfig = {
    ...config,
    model_type: type,
    architectures: ["ForSequenceClassification"],
  }
  return Effect.option<unknown, unknown, never>(
    isEncoder(type) ? Architecture.resolveEncoder(whole) : Architecture.resolve(whole),
  )
}

describe("Keys that a config.json lacks", () => {
  for (const [type, entries] of Object.entries(types)) {
    entries.forEach(({ absent, config, ...nulls }, generation) => {
      for (const [how, found] of [
        ["absent", absent],
        ["null", nulls.null],
      ] as const) {
        it.effect(
          `${type}, ${generation === 0 ? "newer" : "older"} config: ${how} keys are what the class has`,
          () =>
            Effect.gen(function* () {
              assert.strictEqual((yield* shapeOf(type, config))._tag, "Some")
              for (const [path, values] of Object.entries(found)) {
                const ours = yield* shapeOf(type, changed(config, path.split("."), how === "null"))
                const theirs = yield* shapeOf(
                  type,
                  writtenOut(changed(config, path.split("."), how === "null"), values),
                )
                assert.deepStrictEqual(ours, theirs, `${path} ${JSON.stringify(values)}`)
              }
            }),
        )
      }
    })

    it.effect(`${type}: every key that its record reads is among them, or required`, () =>
      Effect.gen(function* () {
        const tried = new Set(entries.flatMap(({ absent }) => Object.keys(absent)))
        const [{ config } = assert.fail("no config")] = entries
        for (const key of Architecture.keys.get(type) ?? assert.fail(`no record of ${type}`)) {
          // The head is named by `architectures`, and `id2label` goes before `num_labels`.
          if (tried.has(key) || ["model_type", "architectures", "id2label"].includes(key)) continue
          assert.strictEqual((yield* shapeOf(type, changed(config, [key], false)))._tag, "None", key)
        }
      }),
    )
  }

  it("are known of every model type with a record", () => {
    assert.sameMembers(Object.keys(types), [...Architecture.keys.keys()])
  })
})
