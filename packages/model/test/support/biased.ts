/** A micro model with biases on the projections of attention, of which its config speaks. */
import * as Effect from "effect/Effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Checkpoint, Dtype, Safetensors } from "../../src/index.ts"

/** Writes the model of that name with biases in front of `directory` and opens it. */
export const biased = Effect.fnUntraced(function* (directory: string, name: string) {
  const from = yield* Checkpoint.open(
    fileURLToPath(new URL(`../../../../fixtures/micro/${name}`, import.meta.url)),
  )
  const config = join(directory, `${name}.config.json`)
  yield* Effect.promise(async () => {
    await mkdir(directory, { recursive: true })
    await writeFile(config, JSON.stringify({ ...from.config, attention_bias: true }))
  })
  const biases = [...from.tensors.values()].flatMap(({ name: weight, shape: [out = 0] }) =>
    /self_attn\..*\.weight$/.test(weight)
      ? [{ name: weight.replace(/weight$/, "bias"), dtype: "F32" as const, shape: [out] }]
      : [],
  )
  return yield* Checkpoint.write(join(directory, `${name}-biased`), {
    like: { ...from, files: { ...from.files, "config.json": config } },
    tensors: [...from.tensors.values(), ...biases],
    data: Effect.fnUntraced(function* ({ name: tensor, shape: [out = 0] }, put) {
      const stored = from.tensors.get(tensor)
      if (stored !== undefined) return yield* put(yield* Safetensors.read(stored))
      const values = Float32Array.from({ length: out }, (_, i) => Math.sin(i + tensor.length) / 8)
      yield* put(Dtype.fromFloat32(values, "F32"))
    }),
  })
})
