import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Checkpoint } from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"

const files: ReadonlyArray<readonly [name: string, line: RegExp]> = [
  [
    "model-Q4_K_M.gguf",
    /: is a GGUF file, which is for llama\.cpp and has no safetensors: name the directory/,
  ],
  ["model.safetensors", /: is one file of a model: name its directory, which has config\.json too$/],
  ["pytorch_model.bin", /: is a file of PyTorch's: save the model as safetensors, and name its directory$/],
  ["model.onnx", /: is an exported graph: name the directory of the model it was made from$/],
  ["recipe.yml", /: is a file of YAML, as recipes are: a model is a directory/],
  ["notes.txt", /: is a file: name a directory with config\.json and safetensors$/],
]
const directories: ReadonlyArray<readonly [name: string, line: RegExp]> = [
  ["adapter_config.json", /: is an adapter, no model: a recipe adds it to its base, written base\+adapter$/],
  ["tiny.gguf", /: has tiny\.gguf and no config\.json: GGUF is for llama\.cpp/],
  ["notes.txt", /: not a checkpoint: config\.json is missing$/],
]

describe("Where a model's directory is expected", () => {
  for (const [name, line] of files) {
    it.effect(`a file ${name} is told for what it is`, () =>
      Effect.gen(function* () {
        const path = join(yield* temporary, name)
        writeFileSync(path, "x")
        const error = yield* Effect.flip(Checkpoint.open(path))
        assert.match(error.message, line)
        assert.strictEqual(error.blame, "input")
      }),
    )
  }
  for (const [name, line] of directories) {
    it.effect(`a directory with ${name} alone is told for what it is`, () =>
      Effect.gen(function* () {
        const path = join(yield* temporary, "model")
        mkdirSync(path)
        writeFileSync(join(path, name), "{}")
        const error = yield* Effect.flip(Checkpoint.open(path))
        assert.match(error.message, line)
        assert.strictEqual(error.blame, "input")
      }),
    )
  }
})
