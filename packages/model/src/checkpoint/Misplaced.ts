/** What stands where a model's directory is expected, and what to give instead: one line for whoever named it. */
import { stat } from "node:fs/promises"
import { basename } from "node:path"

const files: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /\.(?:gguf|ggml|llamafile)$/i,
    "a GGUF file, which is for llama.cpp and has no safetensors: name the directory of the model it was made from",
  ],
  [/\.safetensors(?:\.index\.json)?$/, "one file of a model: name its directory, which has config.json too"],
  [
    /\.(?:bin|pt|pth|ckpt|pkl|pickle)$/,
    "a file of PyTorch's: save the model as safetensors, and name its directory",
  ],
  [/\.onnx$/, "an exported graph: name the directory of the model it was made from"],
  [/\.ya?ml$/, "a file of YAML, as recipes are: a model is a directory with config.json and safetensors"],
]

/** What a path is, where it is a file. */
export const ofFile = async (path: string): Promise<string | undefined> => {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true) return undefined
  const known = files.find(([pattern]) => pattern.test(basename(path)))?.[1]
  return `is ${known ?? "a file: name a directory with config.json and safetensors"}`
}

/** What a directory without config.json is, by the names of its files. */
export const ofDirectory = (names: ReadonlyArray<string>): string | undefined => {
  if (names.includes("adapter_config.json"))
    return "is an adapter, no model: a recipe adds it to its base, written base+adapter"
  const gguf = names.find((name) => /\.gguf$/i.test(name))
  return gguf === undefined
    ? undefined
    : `has ${gguf} and no config.json: GGUF is for llama.cpp, name the directory of the model it was made from`
}
