import { assert, describe, it } from "@effect/vitest"
import { Content } from "@hila/core"
import * as Effect from "effect/Effect"
import { cp, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Checkpoint, CheckpointError, Safetensors, SafetensorsWriter } from "../src/index.ts"
import { architectures, copyOf, micro, microBase as base, temporary } from "./support/fixtures.ts"

/** A copy of the micro base model that a test may break. */
const copied = Effect.gen(function* () {
  const directory = join(yield* temporary, "model")
  yield* Effect.promise(() => cp(base, directory, { recursive: true }))
  return directory
})

const edit = (path: string, change: (text: string) => string) =>
  Effect.promise(async () => writeFile(path, change(await readFile(path, "utf8"))))

/** Splits the weights in two shards with an index. */
const sharded = Effect.gen(function* () {
  const directory = yield* copied
  const whole = join(directory, "model.safetensors")
  const { tensors } = yield* Safetensors.open(whole)
  const map: Record<string, string> = {}
  for (const [shard, part] of [
    [...tensors.values()].slice(0, 20),
    [...tensors.values()].slice(20),
  ].entries()) {
    const name = `model-0000${shard + 1}-of-00002.safetensors`
    yield* SafetensorsWriter.write(join(directory, name), { tensors: part, data: copyOf(tensors) })
    for (const tensor of part) map[tensor.name] = name
  }
  yield* Effect.promise(() => rm(whole))
  const index = join(directory, "model.safetensors.index.json")
  yield* Effect.promise(() =>
    writeFile(index, JSON.stringify({ metadata: { total_size: 1 }, weight_map: map })),
  )
  return { directory, index }
})

/** Rewrites a shard with other tensors, and other bytes for some. */
const rewritten = Effect.fnUntraced(function* (
  shard: string,
  change: (own: ReadonlyArray<SafetensorsWriter.TensorSpec>) => ReadonlyArray<SafetensorsWriter.TensorSpec>,
  bytes: Readonly<Record<string, Uint8Array>> = {},
) {
  const { tensors } = yield* Safetensors.open(shard)
  yield* SafetensorsWriter.write(`${shard}.new`, {
    tensors: change([...tensors.values()]),
    data: ({ name }, put) =>
      bytes[name] === undefined
        ? Effect.flatMap(Safetensors.read(tensors.get(name)!), put)
        : put(bytes[name]),
  })
  yield* Effect.promise(() => rename(`${shard}.new`, shard))
})

const refusal = (directory: string) =>
  Effect.map(Effect.flip(Checkpoint.open(directory)), ({ message }) => message)

const invalid = (directory: string) =>
  Effect.map(
    Effect.flatMap(Checkpoint.open(directory), (model) => Effect.flip(Checkpoint.validate(model))),
    ({ message }) => message,
  )

/** Writes the micro base model with its tensors' shapes changed and zeros as data. */
const reshaped = Effect.fnUntraced(function* (
  change: (spec: SafetensorsWriter.TensorSpec) => SafetensorsWriter.TensorSpec | undefined,
) {
  const like = yield* Checkpoint.open(base)
  const directory = join(yield* temporary, "reshaped")
  const tensors = [...like.tensors.values()].map(change).filter((spec) => spec !== undefined)
  yield* Checkpoint.write(directory, {
    like,
    tensors,
    data: ({ byteLength }, write) => write(new Uint8Array(byteLength)),
  })
  return directory
})

describe("Checkpoint", () => {
  it.effect("opens the micro family, valid and of the same size", () =>
    Effect.gen(function* () {
      for (const path of micro) {
        const model = yield* Checkpoint.open(path)
        const shape = yield* Checkpoint.validate(model)
        assert.strictEqual(shape.tensors.head, "model.embed_tokens.weight")
        assert.strictEqual(Checkpoint.artifact.summary(model), "llama, 38 tensors, 0.83 M parameters")
      }
    }),
  )

  describe("reference checkpoints", () => {
    for (const [name, path] of architectures) {
      it.effect(`${name} opens, whatever its architecture, and is copied with all its files`, () =>
        Effect.gen(function* () {
          const like = yield* Checkpoint.open(path)
          const directory = join(yield* temporary, "copy")
          const copy = yield* Checkpoint.write(directory, {
            like,
            tensors: [...like.tensors.values()],
            data: copyOf(like.tensors),
          })
          assert.strictEqual(Checkpoint.parameterCount(copy), Checkpoint.parameterCount(like))
          const kept = Object.keys(like.files).filter((file) => !file.endsWith(".safetensors"))
          assert.deepStrictEqual(
            Object.keys(copy.files).toSorted(),
            [...kept, "model.safetensors"].toSorted(),
          )
          for (const file of kept) {
            const [a, b] = yield* Effect.promise(() =>
              Promise.all([readFile(like.files[file] ?? ""), readFile(copy.files[file] ?? "")]),
            )
            assert.isTrue(a.equals(b), file)
          }
        }),
      )
    }
  })

  it.effect("reads a tensor as float32 by name", () =>
    Effect.gen(function* () {
      const model = yield* Checkpoint.open(base)
      const values = yield* Checkpoint.readFloat32(model, "model.norm.weight")
      const bytes = yield* Safetensors.read(model.tensors.get("model.norm.weight")!)
      const first = new DataView(Uint8Array.of(0, 0, ...bytes.subarray(0, 2)).buffer).getFloat32(0, true)
      assert.strictEqual(values.length, 128)
      assert.strictEqual(values[0], first)
      const error = yield* Effect.flip(Checkpoint.readFloat32(model, "model.norm.wait"))
      assert.match(error.message, /model\.safetensors: tensor "model\.norm\.wait": is missing/)
    }),
  )

  it.effect("does not convert integers to float32", () =>
    Effect.gen(function* () {
      const model = yield* Checkpoint.open(
        yield* reshaped((spec) => (spec.name === "model.norm.weight" ? { ...spec, dtype: "I64" } : spec)),
      )
      const error = yield* Effect.flip(Checkpoint.readFloat32(model, "model.norm.weight"))
      assert.match(error.message, /expected F64, F32, F16 or BF16, got I64/)
    }),
  )

  it.effect("reads shards by their index to the same tensors", () =>
    Effect.gen(function* () {
      const [whole, parts] = [
        yield* Checkpoint.open(base),
        yield* Checkpoint.open((yield* sharded).directory),
      ]
      assert.deepStrictEqual([...parts.tensors.keys()], [...whole.tensors.keys()])
      for (const [name, info] of parts.tensors) {
        const expected = yield* Safetensors.read(whole.tensors.get(name)!)
        assert.isTrue(Buffer.from(yield* Safetensors.read(info)).equals(expected), name)
      }
      yield* Checkpoint.validate(parts)
    }),
  )

  it.effect("passes over what an index promises and the model does not need (case 14-index-names-more)", () =>
    Effect.gen(function* () {
      const { directory, index } = yield* sharded
      const names = [
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "lm_head.weight",
        "model.layers.9.self_attn.q_proj.weight",
      ]
      for (const name of names) {
        yield* edit(index, (text) =>
          text.replace(/"weight_map":\{/, `$&${JSON.stringify(name)}:"model-00002-of-00002.safetensors",`),
        )
      }
      const { remarks, tensors } = yield* Checkpoint.open(directory)
      assert.deepStrictEqual(
        remarks,
        names
          .toReversed()
          .map(
            (name) => `the index names ${name}, which no shard has and the model does not need: passed over`,
          ),
      )
      assert.sameMembers([...tensors.keys()], [...(yield* Checkpoint.open(base)).tensors.keys()])
      // Nobody knows what a model without a record needs; a buffer of the config's is none of it.
      yield* edit(join(directory, "config.json"), (text) => text.replace('"llama"', '"unheard"'))
      assert.match(
        yield* refusal(directory),
        /tensor "model\.layers\.9\.self_attn\.q_proj\.weight": is not in its shard model-00002-of-00002\.safetensors, nor in another/,
      )
    }),
  )

  it.effect("reads every tensor of every shard, wherever the index says it is", () =>
    Effect.gen(function* () {
      const { directory, index } = yield* sharded
      yield* Effect.promise(() =>
        writeFile(join(directory, "consolidated.safetensors"), "none of the model's"),
      )
      const norm = '"model.norm.weight":"model-00002-of-00002.safetensors"'
      const text = yield* Effect.promise(() => readFile(index, "utf8"))
      assert.include(text, norm)
      for (const [changed, remark] of [
        [
          norm.replace("00002-of", "00001-of"),
          "model.norm.weight is in model-00002-of-00002.safetensors, and not in model-00001-of-00002.safetensors as the index says",
        ],
        [
          "",
          "model.norm.weight is in model-00002-of-00002.safetensors, and the index does not name it: read all the same",
        ],
      ] as const) {
        const other = text.replace(norm, changed).replace(",}", "}").replace(",,", ",")
        yield* Effect.promise(() => writeFile(index, other))
        const { remarks, tensors } = yield* Checkpoint.open(directory)
        assert.deepStrictEqual(remarks, [remark])
        assert.isTrue(tensors.has("model.norm.weight"))
      }
    }),
  )

  it.effect(
    "takes a tensor that stands in two shards once where it is the same, and refuses it where it differs",
    () =>
      Effect.gen(function* () {
        const { directory } = yield* sharded
        const { tensors } = yield* Checkpoint.open(directory)
        const norm = tensors.get("model.norm.weight")!
        const shard = join(directory, "model-00001-of-00002.safetensors")
        const bytes = yield* Safetensors.read(norm)
        yield* rewritten(shard, (own) => [...own, norm], { [norm.name]: bytes })
        const { remarks, tensors: read } = yield* Checkpoint.open(directory)
        assert.deepStrictEqual(remarks, [
          "model.norm.weight stands in more than one shard, each time the same",
        ])
        assert.strictEqual(read.size, tensors.size)
        yield* rewritten(shard, (own) => own, { [norm.name]: bytes.map((byte) => byte ^ 1) })
        assert.match(
          yield* refusal(directory),
          /"model\.norm\.weight": stands in two shards and differs \(.*00001.*00002/,
        )
      }),
  )

  it.effect("says what is wrong with an index: shard, tensor, text", () =>
    Effect.gen(function* () {
      const { directory, index } = yield* sharded
      const second = join(directory, "model-00002-of-00002.safetensors")
      yield* Effect.promise(() => rename(second, `${second}.away`))
      assert.match(
        yield* refusal(directory),
        /index\.json: tensor ".*": its shard "model-00002-of-00002\.safetensors" is missing/,
      )
      yield* Effect.promise(() => rename(`${second}.away`, second))
      const text = yield* Effect.promise(() => readFile(index, "utf8"))
      yield* Effect.promise(() =>
        writeFile(index, text.replace("model-00001-of-00002", "../model-00001-of-00002")),
      )
      assert.match(
        yield* refusal(directory),
        /its shard "\.\.\/model-00001-of-00002\.safetensors" is missing/,
      )
      yield* Effect.promise(() => writeFile(index, text))
      yield* rewritten(second, (own) => own.filter(({ name }) => name !== "model.norm.weight"))
      assert.match(
        yield* refusal(directory),
        /tensor "model\.norm\.weight": is not in its shard model-00002-of-00002\.safetensors, nor in another/,
      )
      yield* Effect.promise(() => writeFile(index, "{"))
      assert.match(yield* refusal(directory), /index\.json: /)
    }),
  )

  it.effect("says that config.json or the weights are missing, or that the directory is", () =>
    Effect.gen(function* () {
      const directory = yield* copied
      assert.match(yield* refusal(join(directory, "none")), /none: no such file or directory/)
      yield* Effect.promise(() => rm(join(directory, "model.safetensors")))
      assert.match(
        yield* refusal(directory),
        /no weights: neither model\.safetensors nor model\.safetensors\.index\.json is there/,
      )
      yield* Effect.promise(() => rm(join(directory, "config.json")))
      assert.match(yield* refusal(directory), /config\.json is missing/)
    }),
  )

  it.effect("says in one line that config.json is no JSON or names no model type", () =>
    Effect.gen(function* () {
      const directory = yield* copied
      const config = join(directory, "config.json")
      yield* edit(config, (text) => text.replace('"model_type"', '"model_kind"'))
      const message = yield* refusal(directory)
      assert.match(message, /config\.json: .*model_type/)
      assert.notInclude(message, "\n")
      yield* edit(config, (text) => text.slice(0, 20))
      assert.match(yield* refusal(directory), /config\.json: /)
    }),
  )

  it.effect("names file and tensor of a truncated weight file", () =>
    Effect.gen(function* () {
      const directory = yield* copied
      yield* Effect.promise(() => truncate(join(directory, "model.safetensors"), 100_000))
      assert.match(
        yield* refusal(directory),
        /model\.safetensors: tensor "model\..*": data end outside the file, is it truncated\?/,
      )
    }),
  )

  it.effect("names a missing tensor and a wrong shape with what was expected and got", () =>
    Effect.gen(function* () {
      const name = "model.layers.2.mlp.up_proj.weight"
      const without = yield* reshaped((spec) => (spec.name === name ? undefined : spec))
      assert.match(
        yield* invalid(without),
        /model\.safetensors: tensor "model\.layers\.2\.mlp\.up_proj\.weight": is missing: expected \[384, 128\]/,
      )
      const transposed = yield* reshaped((spec) =>
        spec.name === name ? { ...spec, shape: spec.shape.toReversed() } : spec,
      )
      assert.match(
        yield* invalid(transposed),
        /wrong shape: expected \[384, 128\] by config\.json, got \[128, 384\]/,
      )
      const flat = yield* reshaped((spec) => (spec.name === name ? { ...spec, shape: [384 * 128] } : spec))
      assert.match(yield* invalid(flat), /got \[49152\]/)
    }),
  )

  it.effect(
    "writes to no directory that has something in it, and leaves nothing behind when the data fail",
    () =>
      Effect.gen(function* () {
        const like = yield* Checkpoint.open(base)
        const directory = join(yield* temporary, "out")
        const tensors = [...like.tensors.values()]
        const failing = Checkpoint.write(directory, {
          like,
          tensors,
          data: () => Effect.fail("stop" as const),
        })
        assert.strictEqual(yield* Effect.flip(failing), "stop")
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(dirname(directory))), [])
        yield* Effect.promise(() => mkdir(directory))
        yield* Checkpoint.write(directory, { like, tensors, data: copyOf(like.tensors) })
        const again = yield* Effect.flip(
          Checkpoint.write(directory, { like, tensors, data: copyOf(like.tensors) }),
        )
        assert.instanceOf(again, CheckpointError)
        assert.match(again.message, /out: already exists: expected a new or empty directory/)
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(dirname(directory))), ["out"])
      }),
  )

  it.effect("takes along files in subdirectories, but no weights in other formats", () =>
    Effect.gen(function* () {
      const directory = yield* copied
      yield* Effect.promise(() => mkdir(join(directory, "templates")))
      for (const name of [
        "templates/chat.jinja",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "model.onnx",
      ]) {
        yield* Effect.promise(() => writeFile(join(directory, name), name))
      }
      const like = yield* Checkpoint.open(directory)
      const copy = yield* Checkpoint.write(join(yield* temporary, "copy"), {
        like,
        tensors: [...like.tensors.values()],
        data: copyOf(like.tensors),
      })
      const names = (yield* Effect.promise(() => readdir(base))).concat("templates/chat.jinja")
      assert.deepStrictEqual(Object.keys(copy.files).toSorted(), names.toSorted())
    }),
  )

  it.effect("as an artifact: written as a directory, decoded from files that lie anywhere", () =>
    Effect.gen(function* () {
      const model = yield* Checkpoint.open(base)
      const directory = join(yield* temporary, "artifact")
      yield* Checkpoint.artifact.encode(model, directory)
      const entries = Object.keys(model.files).map(
        (name) => [name, { _tag: "File", path: join(directory, name), size: 1, digest: name }] as const,
      )
      const decoded = yield* Checkpoint.artifact.decode(Content.directory(Object.fromEntries(entries)))
      assert.deepStrictEqual(decoded.config, model.config)
      assert.deepStrictEqual([...decoded.tensors.keys()], [...model.tensors.keys()])
      const error = yield* Effect.flip(Checkpoint.artifact.decode(Content.directory({})))
      assert.deepStrictEqual([error._tag, error.blame], ["ArtifactError", "input"])
      assert.match(error.message, /config\.json is missing/)
    }),
  )
})
