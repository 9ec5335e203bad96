/** A worker that opens no session without exact products of 8-bit integers: the options are seen where they arrive. */
import { InferenceSession } from "onnxruntime-node"

type Create = (source: Uint8Array, options: InferenceSession.SessionOptions) => Promise<InferenceSession>

// Bound: the class reads its backend from `this`.
const create = InferenceSession.create.bind(InferenceSession) as Create
Object.assign(InferenceSession, {
  create: (source: Uint8Array, options: InferenceSession.SessionOptions = {}) => {
    const session = options.extra?.["session"] as Record<string, unknown> | undefined
    return session?.["x64quantprecision"] === "1"
      ? create(source, options)
      : Promise.reject(new Error("a session without exact 8-bit products"))
  },
})

await import("../../src/runtime/Worker.ts")
