/**
 * Checkpoints in the quantised formats people publish, made small: the tensors each format stores for a linear layer, by
 * the names of the libraries that write them, with the config.json section of each.
 */
import { Checkpoint, Dtype, type SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { micro, random } from "./support.ts"

type Spec = Omit<SafetensorsWriter.TensorSpec, "name">

/** A format: what a config says, and what stands for the weight `[out, in]` of a linear layer. */
export interface Format {
  readonly config: object | undefined
  readonly stored: (out: number, columns: number) => Readonly<Record<string, Spec>>
}

const spec = (dtype: Dtype.Dtype, ...shape: ReadonlyArray<number>): Spec => ({ dtype, shape })

export const formats: Readonly<Record<string, Format>> = {
  "gptq, 4 bits": {
    config: { quant_method: "gptq", bits: 4, group_size: 32, desc_act: false, sym: true },
    stored: (out, columns) => ({
      qweight: spec("I32", columns / 8, out),
      qzeros: spec("I32", columns / 32, out / 8),
      scales: spec("F16", columns / 32, out),
      g_idx: spec("I32", columns),
    }),
  },
  "awq, 4 bits": {
    config: { quant_method: "awq", bits: 4, group_size: 32, version: "gemm", zero_point: true },
    stored: (out, columns) => ({
      qweight: spec("I32", columns, out / 8),
      qzeros: spec("I32", columns / 32, out / 8),
      scales: spec("F16", columns / 32, out),
    }),
  },
  "bitsandbytes, 8 bits": {
    config: { quant_method: "bitsandbytes", load_in_8bit: true, llm_int8_threshold: 6 },
    stored: (out, columns) => ({
      weight: spec("I8", out, columns),
      SCB: spec("F32", out),
      weight_format: spec("U8"),
    }),
  },
  "bitsandbytes, 4 bits": {
    config: { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" },
    stored: (out, columns) => ({
      weight: spec("U8", (out * columns) / 2, 1),
      "weight.absmax": spec("U8", (out * columns) / 64),
      "weight.nested_absmax": spec("F32", Math.ceil((out * columns) / 16384)),
      "weight.nested_quant_map": spec("F32", 256),
      "weight.quant_map": spec("F32", 16),
      "weight.quant_state.bitsandbytes__nf4": spec("U8", 80),
    }),
  },
  "compressed-tensors": {
    config: {
      quant_method: "compressed-tensors",
      format: "pack-quantized",
      quantization_status: "compressed",
    },
    stored: (out, columns) => ({
      weight_packed: spec("I32", out, columns / 8),
      weight_scale: spec("BF16", out, columns / 32),
      weight_shape: spec("I64", 2),
    }),
  },
  fp8: {
    config: { quant_method: "fp8", activation_scheme: "dynamic", weight_block_size: [128, 128] },
    stored: (out, columns) => ({
      weight: spec("F8_E4M3", out, columns),
      weight_scale_inv: spec("F32", Math.ceil(out / 128), Math.ceil(columns / 128)),
    }),
  },
  mxfp4: {
    config: { quant_method: "mxfp4", modules_to_not_convert: ["lm_head"] },
    stored: (out, columns) => ({
      weight_blocks: spec("U8", out, columns / 32, 16),
      weight_scales: spec("U8", out, columns / 32),
    }),
  },
  hqq: {
    config: { quant_method: "hqq", quant_config: { weight_quant_params: { nbits: 4 } } },
    stored: (out, columns) => ({
      W_q: spec("U8", out, columns / 2),
      scale: spec("BF16", out, columns / 32),
      zero: spec("BF16", out, columns / 32),
    }),
  },
  F8_E4M3: { config: undefined, stored: (out, columns) => ({ weight: spec("F8_E4M3", out, columns) }) },
}

const isLinear = (name: string) => name.endsWith("_proj.weight")

/** The micro base in a format, in a new directory; `seed` draws its codes, none of which an odd and an even seed share, and nothing else differs. */
export const write = Effect.fnUntraced(function* (
  directory: string,
  format: Format,
  seed: number,
  change: (config: object) => object = (config) =>
    format.config === undefined ? config : { ...config, quantization_config: format.config },
) {
  const base = yield* micro("base")
  const next = random(seed)
  const tensors = [...base.tensors.values()].flatMap(({ dtype, name, shape }) =>
    isLinear(name)
      ? Object.entries(format.stored(shape[0] ?? 0, shape[1] ?? 0)).map(([part, own]) => ({
          ...own,
          name: name.replace(/weight$/, part),
        }))
      : [{ name, dtype, shape }],
  )
  const made = yield* Checkpoint.write(directory, {
    like: base,
    tensors,
    data: ({ byteLength, name }, put) =>
      base.tensors.has(name) && !isLinear(name)
        ? Effect.flatMap(Checkpoint.readFloat32(base, name), (values) =>
            put(Dtype.fromFloat32(values, "BF16")),
          )
        : put(Uint8Array.from({ length: byteLength }, () => 2 * Math.floor(next() * 60) + (seed % 2))),
  })
  const config = change(made.config)
  yield* Effect.promise(() => writeFile(join(directory, "config.json"), JSON.stringify(config)))
  return yield* Checkpoint.open(directory)
})
