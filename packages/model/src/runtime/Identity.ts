/**
 * What computes: ONNX Runtime's version, its provider and the type of numbers, and the tokenizer library's. Another
 * runtime rounds in other places, and another tokenizer may read odd texts as other tokens.
 */
import { createRequire } from "node:module"

const versionOf = (name: string): string => {
  const { version }: { readonly version: string } = createRequire(import.meta.url)(`${name}/package.json`)
  return `${name} ${version}`
}

/** `onnxruntime-node 1.30.0, cpu, f32, tokenizers 0.23.2`; the packages themselves are not loaded. */
export const identity = `${versionOf("onnxruntime-node")}, cpu, f32, ${versionOf("tokenizers")}`

/**
 * What computes graphs with products of 8-bit integers too. "exact": on every processor the integers are what they are,
 * which has not always been so (see `SessionOptions`); numbers of f32 never depended on it, so their identity says nothing.
 */
export const withIntegers = `${identity}, int8 exact`
