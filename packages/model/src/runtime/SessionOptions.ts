/**
 * The options of every ONNX Runtime session, in one place: what decides results is set for all of them or for none.
 *
 * `Worker` alone opens sessions, each with what this module returns. Types only are imported: see `Worker`.
 */
import type { InferenceSession } from "onnxruntime-node"
import type { SessionSpec } from "./Protocol.ts"

/**
 * The options a session is opened with.
 *
 * `x64quantprecision` concerns products of unsigned by signed 8-bit integers. Processors without VNNI instructions (AMD
 * before Zen 4, Intel before Ice Lake) add pairs of them in 16 bits, where 2 · 255 · 127 saturates: the result is not
 * rounded but wrong. With the option, the runtime turns the signed weights into unsigned ones there, which is exact, and
 * leaves processors alone that need no help.
 */
export const of = ({ planMemory, threads }: SessionSpec): InferenceSession.SessionOptions => ({
  executionProviders: ["cpu"],
  executionMode: "sequential",
  enableMemPattern: planMemory,
  graphOptimizationLevel: "all",
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  logSeverityLevel: 3,
  extra: { session: { x64quantprecision: "1" } },
})
