import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { SafeTensor } from "safetensors"
import { Dtype, Safetensors, SafetensorsWriter } from "../src/index.ts"
import { architectures, copyOf, micro, microBase, temporary } from "./support/fixtures.ts"

const rewrite = Effect.fnUntraced(function* (from: string, metadata?: Readonly<Record<string, string>>) {
  const original = yield* Safetensors.open(from)
  const to = join(yield* temporary, "model.safetensors")
  const tensors = [...original.tensors.values()]
  yield* SafetensorsWriter.write(to, {
    tensors,
    data: copyOf(original.tensors),
    ...(metadata ? { metadata } : {}),
  })
  return { original, copy: yield* Safetensors.open(to) }
})

const read = (path: string) => Effect.promise(() => readFile(path))

describe("SafetensorsWriter", () => {
  describe("reference checkpoints", () => {
    it("are all there", () => assert.strictEqual(architectures.length, 28))
    for (const [name, path] of architectures) {
      it.effect(`${name} is rewritten with byte-identical tensors`, () =>
        Effect.gen(function* () {
          const { copy, original } = yield* rewrite(join(path, "model.safetensors"), { format: "pt" })
          assert.isAbove(original.tensors.size, 0)
          assert.deepStrictEqual([...copy.tensors.keys()], [...original.tensors.keys()])
          for (const [tensor, info] of original.tensors) {
            const other = copy.tensors.get(tensor)!
            assert.deepStrictEqual([other.dtype, other.shape], [info.dtype, info.shape])
            assert.isTrue(
              Buffer.from(yield* Safetensors.read(info)).equals(yield* Safetensors.read(other)),
              tensor,
            )
          }
        }),
      )
    }
  })

  for (const path of micro) {
    it.effect(`the micro family's ${basename(path)} is rewritten to the same file, byte for byte`, () =>
      Effect.gen(function* () {
        const { copy, original } = yield* rewrite(join(path, "model.safetensors"), { format: "pt" })
        assert.isTrue((yield* read(copy.path)).equals(yield* read(original.path)))
      }),
    )
  }

  it.effect("the npm package safetensors decodes our file to equal tensors", () =>
    Effect.gen(function* () {
      const { copy, original } = yield* rewrite(join(microBase, "model.safetensors"))
      const decoded = new SafeTensor(new Uint8Array(yield* read(copy.path)))
      assert.deepStrictEqual([...decoded.metadata.keys()], [...original.tensors.keys()])
      for (const [name, info] of original.tensors) {
        assert.deepStrictEqual(decoded.metadata.get(name)?.shape, [...info.shape])
        assert.strictEqual(decoded.metadata.get(name)?.dtype, info.dtype)
        assert.isTrue(Buffer.from(yield* Safetensors.read(info)).equals(decoded.getTensor(name)), name)
      }
    }),
  )

  it.effect("keeps the given order in the header and aligns every tensor of any dtype to its element", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "mixed.safetensors")
      const tensors = [
        ...Dtype.all.map((dtype) => ({ name: dtype, dtype, shape: [4] })),
        { name: "7", dtype: "U8", shape: [0] } as const,
      ]
      yield* SafetensorsWriter.write(path, {
        metadata: { note: "é" },
        tensors,
        data: ({ byteLength, name }, write) => write(new Uint8Array(byteLength).fill(name.length)),
      })
      const file = yield* Safetensors.open(path)
      const bytes = yield* read(path)
      const length = Number(bytes.readBigUInt64LE())
      assert.strictEqual(length % 8, 0)
      const names = [...bytes.toString("utf8", 8, 8 + length).matchAll(/"([^"]*)":\{"dtype"/g)].map(
        ([, name]) => name,
      )
      assert.deepStrictEqual(
        names,
        tensors.map(({ name }) => name),
      )
      assert.deepStrictEqual({ ...file.metadata }, { note: "é" })
      for (const { byteLength, dtype, name, offset } of file.tensors.values()) {
        assert.strictEqual(offset % Math.max(1, Math.floor(Dtype.bytes(dtype))), 0, name)
        const expected = new Uint8Array(byteLength).fill(name.length)
        assert.deepStrictEqual(yield* Safetensors.read(file.tensors.get(name)!), expected)
      }
    }),
  )

  it.effect(
    "refuses too few bytes, too many, a repeated name and a broken shape, and leaves nothing behind",
    () =>
      Effect.gen(function* () {
        const path = join(yield* temporary, "bad.safetensors")
        const attempt = (tensors: ReadonlyArray<SafetensorsWriter.TensorSpec>, bytes: number) =>
          Effect.map(
            Effect.flip(
              SafetensorsWriter.write(path, { tensors, data: (_, write) => write(new Uint8Array(bytes)) }),
            ),
            ({ message }) => message,
          )
        const a = { name: "a", dtype: "U8", shape: [2] } as const
        assert.match(yield* attempt([a], 1), /tensor "a": wrong number of bytes written: expected 2, got 1/)
        assert.match(yield* attempt([a], 3), /expected 2, got 3/)
        assert.match(yield* attempt([a, a], 2), /name is taken/)
        assert.match(yield* attempt([{ ...a, shape: [0.5] }], 2), /no such shape/)
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(dirname(path))), [])
      }),
  )

  it.effect("keeps the old file when the data fail half-way", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "old.safetensors")
      yield* Effect.promise(() => writeFile(path, "old"))
      const tensors = [{ name: "a", dtype: "U8", shape: [2] }] as const
      const error = yield* Effect.flip(
        SafetensorsWriter.write(path, {
          tensors,
          data: (_, write) => Effect.andThen(write(new Uint8Array(1)), Effect.fail("stop" as const)),
        }),
      )
      assert.strictEqual(error, "stop")
      assert.strictEqual((yield* read(path)).toString(), "old")
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(dirname(path))), ["old.safetensors"])
    }),
  )
})
