import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFile, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Dtype, Safetensors, SafetensorsError } from "../src/index.ts"
import * as SafetensorsHeader from "../src/checkpoint/SafetensorsHeader.ts"
import { fileOf, temporary } from "./support/fixtures.ts"

const entry = (dtype: string, shape: string, offsets: string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`
const one = (dtype: string, shape: string, offsets: string) => `{"a":${entry(dtype, shape, offsets)}}`

/** Header, data bytes, and what the error must say; the tensor it must name. */
const lies: ReadonlyArray<
  readonly [what: string, header: string, bytes: number, says: RegExp, tensor?: string]
> = [
  ["is an array", "[]", 0, /no JSON object/],
  ["begins with a space", " {}", 0, /expected \{ as its first byte/],
  ["is cut off", '{"a":', 0, /not valid JSON/],
  [
    "has two tensors of one name",
    `{"a":${entry("U8", "[1]", "[0,1]")},"\\u0061":${entry("U8", "[1]", "[1,2]")}}`,
    2,
    /stands twice/,
    "a",
  ],
  [
    "has a key twice inside a tensor",
    '{"a":{"dtype":"U8","shape":[1],"dtype":"I8","data_offsets":[0,1]}}',
    1,
    /"dtype" stands twice/,
    "a",
  ],
  ["has metadata that is a list", '{"__metadata__":[]}', 0, /__metadata__ is no object/],
  [
    "has metadata that is no string",
    '{"__metadata__":{"k":1}}',
    0,
    /__metadata__ "k": expected a string, got 1/,
  ],
  ["has a tensor that is no object", '{"a":1}', 0, /expected an object, got 1/, "a"],
  ["has an unknown dtype", one("F99", "[1]", "[0,1]"), 1, /unknown dtype.*got "F99"/, "a"],
  ["has a dtype named like a method", one("toString", "[1]", "[0,1]"), 1, /unknown dtype/, "a"],
  ["has no dtype", '{"a":{"shape":[1],"data_offsets":[0,1]}}', 1, /unknown dtype.*got nothing/, "a"],
  [
    "has a negative size",
    one("U8", "[-1]", "[0,1]"),
    1,
    /shape: expected a list of integers ≥ 0, got \[-1\]/,
    "a",
  ],
  ["has a fractional size", one("U8", "[1.5]", "[0,1]"), 1, /shape/, "a"],
  ["has a size that is text", one("U8", '["1"]', "[0,1]"), 1, /shape/, "a"],
  [
    "has a shape that overflows",
    one("U8", "[9007199254740991,9007199254740991]", "[0,1]"),
    1,
    /2\^53 elements/,
    "a",
  ],
  ["has three offsets", one("U8", "[1]", "[0,1,2]"), 2, /two integers/, "a"],
  ["has negative offsets", one("U8", "[1]", "[-1,0]"), 1, /two integers/, "a"],
  ["has swapped offsets", one("U8", "[1]", "[1,0]"), 1, /expected 1 bytes for U8 \[1\], got \[1, 0\]/, "a"],
  [
    "has a length other than shape × dtype",
    one("F32", "[2]", "[0,7]"),
    7,
    /expected 8 bytes for F32 \[2\], got \[0, 7\], 7 bytes/,
    "a",
  ],
  ["has packed elements that fill no whole bytes", one("F4", "[3]", "[0,2]"), 2, /whole bytes/, "a"],
  ["points outside the file", one("U8", "[9]", "[0,9]"), 8, /outside the file.*truncated/, "a"],
  [
    "leaves a gap before the first tensor",
    one("U8", "[1]", "[1,2]"),
    2,
    /gap.*the header: expected data from byte 0, got 1/,
    "a",
  ],
  [
    "leaves a gap between tensors",
    `{"a":${entry("U8", "[1]", "[0,1]")},"b":${entry("U8", "[1]", "[2,3]")}}`,
    3,
    /gap lies between its data and tensor "a"/,
    "b",
  ],
  [
    "has overlapping tensors",
    `{"a":${entry("U8", "[2]", "[0,2]")},"b":${entry("U8", "[2]", "[1,3]")}}`,
    3,
    /data overlap tensor "a"/,
    "b",
  ],
  [
    "has an empty tensor inside another",
    `{"a":${entry("U8", "[2]", "[0,2]")},"b":${entry("U8", "[0]", "[1,1]")}}`,
    2,
    /overlap/,
    "b",
  ],
  ["leaves bytes at the end", one("U8", "[1]", "[0,1]"), 2, /bytes after the end of tensor "a"/],
  ["leaves bytes after no tensor at all", "{}", 1, /bytes after the end of the header/],
]

describe("Safetensors", () => {
  for (const [what, header, bytes, says, tensor] of lies) {
    it.effect(`refuses a header that ${what}`, () =>
      Effect.gen(function* () {
        const path = yield* fileOf(header, bytes)
        const error = yield* Effect.flip(Safetensors.open(path))
        assert.instanceOf(error, SafetensorsError)
        assert.match(error.message, says)
        assert.deepStrictEqual([error.blame, error.file, error.tensor], ["input", path, tensor])
        assert.notInclude(error.message, "\n")
      }),
    )
  }

  it.effect(
    "refuses lengths of a header beyond the file, beyond the limit, and files too short for one",
    () =>
      Effect.gen(function* () {
        const refusal = (length: bigint) =>
          Effect.flatMap(fileOf("{}", 0, length), (path) => Effect.flip(Safetensors.open(path)))
        assert.match(
          (yield* refusal(3n)).message,
          /header ends outside the file: expected 11 bytes or more, got a file of 10/,
        )
        assert.match(
          (yield* refusal(2n ** 64n - 1n)).message,
          /header too long: expected at most 100000000 bytes/,
        )
        const short = join(yield* temporary, "short.safetensors")
        yield* Effect.promise(() => writeFile(short, "1234567"))
        assert.match((yield* Effect.flip(Safetensors.open(short))).message, /at least 8 bytes, got 7/)
      }),
  )

  it.effect("refuses text that is not UTF-8", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(Uint8Array.of(0x7b, 0xff, 0x7d), 0)
      assert.match((yield* Effect.flip(Safetensors.open(path))).message, /not valid UTF-8/)
    }),
  )

  it.effect("says that a file is missing, or that it is a directory, as the user's mistake", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const missing = yield* Effect.flip(Safetensors.open(join(directory, "none")))
      assert.deepStrictEqual([missing.problem, missing.blame], ["no such file or directory", "input"])
      assert.strictEqual((yield* Effect.flip(Safetensors.open(directory))).blame, "input")
    }),
  )

  it.effect(
    "reads scalars, empty tensors, names that look like numbers or methods, escapes and padding",
    () =>
      Effect.gen(function* () {
        const header = [
          `"10":${entry("U8", "[]", "[0,1]")}`,
          `"9":${entry("I8", "[2,0]", "[1,1]")}`,
          `"__proto__":${entry("BOOL", "[1]", "[1,2]")}`,
          `"\\"é{":${entry("F8_E8M0", "[2]", "[2,4]")}`,
          `"__metadata__":{"10":"ten","__proto__":"p"}`,
        ]
        const file = yield* Safetensors.open(yield* fileOf(`{${header.join(",")}}   `, 4))
        assert.deepStrictEqual([...file.tensors.keys()], ["10", "9", "__proto__", '"é{'])
        assert.deepStrictEqual(file.tensors.get("9")?.shape, [2, 0])
        assert.deepStrictEqual(Object.entries(file.metadata), [
          ["10", "ten"],
          ["__proto__", "p"],
        ])
        assert.strictEqual((yield* Safetensors.read(file.tensors.get("9")!)).length, 0)
      }),
  )

  it.effect("takes an empty tensor that begins where another does, in either order of the header", () =>
    Effect.gen(function* () {
      const [full, empty] = [`"a":${entry("U8", "[2]", "[0,2]")}`, `"b":${entry("U8", "[0]", "[0,0]")}`]
      for (const header of [`{${full},${empty}}`, `{${empty},${full}}`]) {
        const file = yield* Safetensors.open(yield* fileOf(header, 2))
        assert.deepStrictEqual([...file.tensors.keys()], ["b", "a"])
      }
    }),
  )

  it.effect("knows every dtype of the format by its width", () =>
    Effect.gen(function* () {
      for (const dtype of Dtype.all) {
        const bytes = Dtype.bits(dtype)
        const file = yield* Safetensors.open(yield* fileOf(one(dtype, "[4,2]", `[0,${bytes}]`), bytes))
        assert.strictEqual(file.tensors.get("a")?.byteLength, bytes)
      }
    }),
  )

  it.effect("reads a tensor, a range of it, and refuses a range outside of it", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(`{"a":${entry("U8", "[2]", "[0,2]")},"b":${entry("U8", "[3]", "[2,5]")}}`, 5)
      const whole = yield* Effect.promise(() => readFile(path))
      whole.set([1, 2, 3, 4, 5], whole.length - 5)
      yield* Effect.promise(() => writeFile(path, whole))
      const b = (yield* Safetensors.open(path)).tensors.get("b")!
      assert.deepStrictEqual([...(yield* Safetensors.read(b))], [3, 4, 5])
      assert.deepStrictEqual([...(yield* Safetensors.read(b, { start: 1, length: 1 }))], [4])
      assert.match(
        (yield* Effect.flip(Safetensors.read(b, { start: 2, length: 2 }))).message,
        /within \[0, 3\], got 2 from 2/,
      )
    }),
  )

  it.effect("says that a file has become shorter since it was opened", () =>
    Effect.gen(function* () {
      const path = yield* fileOf(one("U8", "[4]", "[0,4]"), 4)
      const info = (yield* Safetensors.open(path)).tensors.get("a")!
      yield* Effect.promise(() => truncate(path, info.offset + 2))
      assert.match(
        (yield* Effect.flip(Safetensors.read(info))).message,
        /tensor "a": the file has become shorter/,
      )
    }),
  )

  it.effect("refuses a header beyond the limit before reading it", () =>
    Effect.gen(function* () {
      const prefix = new Uint8Array(8)
      new DataView(prefix.buffer).setBigUint64(0, BigInt(SafetensorsHeader.maxLength) + 1n, true)
      const error = yield* Effect.flip(SafetensorsHeader.parseLength(prefix, "f", 2 ** 40))
      assert.match(error.message, /^f: header too long/)
    }),
  )
})
