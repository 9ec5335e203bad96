/** What computes: ONNX Runtime's version, its provider and the type of numbers. Another one rounds in other places. */
import { createRequire } from "node:module"

const { version }: { readonly version: string } = createRequire(import.meta.url)(
  "onnxruntime-node/package.json",
)

/** `onnxruntime-node 1.30.0, cpu, f32`; the package itself is not loaded. */
export const identity = `onnxruntime-node ${version}, cpu, f32`
