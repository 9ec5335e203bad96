import { assert, describe, it } from "@effect/vitest"
import type { Dtype } from "../src/index.ts"
import { Quantisation } from "../src/index.ts"

type Stored = Readonly<Record<string, readonly [dtype: Dtype.Dtype, ...shape: ReadonlyArray<number>]>>

/** The quantisation of a checkpoint with these tensors; nothing of it is on a disk. */
const of = (stored: Stored, config: object = {}) =>
  Quantisation.of({
    config: { model_type: "llama", ...config },
    tensors: new Map(
      Object.entries(stored).map(([name, [dtype, ...shape]]) => [
        name,
        { name, dtype, shape, file: "/m/model.safetensors", offset: 0, byteLength: 0 },
      ]),
    ),
  })

const q = "model.layers.0.self_attn.q_proj"
const plain: Stored = {
  "model.embed_tokens.weight": ["BF16", 8, 4],
  [`${q}.weight`]: ["BF16", 4, 4],
  [`${q}.bias`]: ["BF16", 4],
}

describe("a quantised checkpoint is known by its tensors", () => {
  const cases: ReadonlyArray<readonly [format: string, stored: Stored, left: ReadonlyArray<string>]> = [
    [
      "AWQ or GPTQ",
      { [`${q}.qweight`]: ["I32", 4, 1], [`${q}.qzeros`]: ["I32", 1, 1], [`${q}.scales`]: ["F16", 1, 4] },
      [],
    ],
    [
      "GPTQ",
      { [`${q}.g_idx`]: ["I32", 4], [`${q}.qweight`]: ["I32", 4, 1], [`${q}.scales`]: ["F16", 1, 4] },
      [],
    ],
    ["bitsandbytes int8", { [`${q}.SCB`]: ["F32", 4], [`${q}.weight`]: ["I8", 4, 4] }, []],
    // Codes in a float dtype, as FSDP wants them.
    ["bitsandbytes 4 bits", { [`${q}.weight`]: ["BF16", 8, 1], [`${q}.weight.absmax`]: ["F32", 1] }, []],
    ["HQQ", { [`${q}.W_q`]: ["F16", 8, 4], [`${q}.scale`]: ["F16", 4] }, []],
    ["FP8 with scales", { [`${q}.weight`]: ["F8_E4M3", 4, 4], [`${q}.weight_scale_inv`]: ["F32", 1, 1] }, []],
    ["weights with scales", { [`${q}.weight`]: ["I8", 4, 4], [`${q}.weight_scale`]: ["BF16", 4, 1] }, []],
    ["weights with scales", { [`${q}.weight`]: ["I8", 4, 4], [`${q}.weight_scales`]: ["F16", 4] }, []],
    [
      "weights with scales",
      {
        [`${q}.weight`]: ["U8", 4, 2],
        [`${q}.weight_scale`]: ["F8_E4M3", 4, 1],
        [`${q}.weight_scale_2`]: ["F32"],
        [`${q}.input_scale`]: ["F32"],
      },
      [],
    ],
    [
      "MXFP4",
      {
        "model.layers.0.mlp.experts.gate_up_proj_blocks": ["U8", 2, 4, 1, 16],
        "model.layers.0.mlp.experts.gate_up_proj_scales": ["U8", 2, 4, 1],
        "model.layers.0.mlp.experts.gate_up_proj_bias": ["BF16", 2, 4],
      },
      ["model.layers.0.mlp.experts.gate_up_proj_bias"],
    ],
    ["quanto", { [`${q}.weight._data`]: ["I8", 4, 4], [`${q}.weight._scale`]: ["BF16", 4, 1] }, []],
    ["torchao", { [`${q}._weight_qdata`]: ["I8", 4, 4], [`${q}._weight_scale`]: ["BF16", 4] }, []],
    [
      "AQLM",
      {
        [`${q}.codebooks`]: ["F16", 1, 256, 1, 8],
        [`${q}.codes`]: ["I8", 4, 1, 1],
        [`${q}.scales`]: ["F16", 4],
      },
      [],
    ],
    ["compressed-tensors", { [`${q}.weight_packed`]: ["I32", 4, 1], [`${q}.weight_shape`]: ["I64", 2] }, []],
    ["F8_E5M2", { [`${q}.weight`]: ["F8_E5M2", 4, 4] }, []],
  ]
  for (const [format, stored, left] of cases) {
    it(`${format}: ${Object.values(stored)
      .map(([dtype]) => dtype)
      .join(", ")}`, () => {
      const found = of({ "model.norm.weight": ["BF16", 4], [`${q}.bias`]: ["BF16", 4], ...stored })
      assert.strictEqual(found?.format, format)
      assert.sameMembers(
        [...(found?.tensors ?? [])],
        Object.keys(stored).filter((name) => !left.includes(name)),
      )
    })
  }

  it("by the name that config.json gives it, wherever it stands there", () => {
    const codes: Stored = { ...plain, [`${q}.odd`]: ["I16", 4, 4] }
    assert.strictEqual(of(codes), undefined)
    for (const [config, format, key] of [
      [{ quantization_config: { quant_method: "vptq" } }, "vptq", "quantization_config"],
      [
        { compression_config: { quant_method: "compressed-tensors" } },
        "compressed-tensors",
        "compression_config",
      ],
      [
        { text_config: { quantization_config: { load_in_8bit: true } } },
        "bitsandbytes, 8 bits",
        "text_config.quantization_config",
      ],
      [{ quantization_config: {} }, "an unknown format", "quantization_config"],
    ] as const) {
      const found = of(codes, config)
      assert.deepStrictEqual([found?.format, found?.key], [format, key])
      assert.deepStrictEqual(found?.example.name, `${q}.odd`)
    }
  })
})

describe("what is no quantised checkpoint", () => {
  it("plain weights beside a quantization_config that was left behind", () => {
    const config = { quantization_config: { quant_method: "gptq", bits: 4 } }
    assert.strictEqual(of(plain, config), undefined)
    assert.deepStrictEqual(Quantisation.declared({ model_type: "llama", ...config }), [
      { path: ["quantization_config"], method: "gptq, 4 bits" },
    ])
  })

  it("integers and masks that sound models hold, and float scales of float weights", () => {
    const buffers: Stored = {
      "embeddings.position_ids": ["I64", 1, 8],
      "h.0.attn.bias": ["BOOL", 1, 1, 8, 8],
      "norm.num_batches_tracked": ["I64"],
      "swin.relative_position_index": ["I64", 49, 49],
      [`${q}.weight_scale`]: ["BF16", 4],
      [`${q}.scales`]: ["BF16", 4],
    }
    for (const config of [{}, { quantization_config: { quant_method: "fp8" } }])
      assert.strictEqual(of({ ...plain, ...buffers }, config), undefined)
  })
})
