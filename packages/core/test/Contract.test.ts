import { Store } from "@hila/core"
import { executorContract, storeContract } from "@hila/core/testing"
import { describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { temporaryDirectory } from "./temporary.ts"

const file = Layer.unwrap(Effect.map(temporaryDirectory, Store.layer))

describe.each([
  ["on disk", file],
  ["in memory", Store.layerMemory],
] as const)("A store %s", (_name, layer) => {
  for (const { check, name } of storeContract) it.live(name, () => Effect.provide(check, Layer.fresh(layer)))
})

describe("The executor of this process", () => {
  for (const { check, name } of executorContract)
    it.live(name, () => Effect.provide(check, Layer.fresh(Store.layerMemory)))
})
