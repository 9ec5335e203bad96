/**
 * Messages between the main thread and a worker that owns ONNX Runtime sessions.
 *
 * Types only: both sides import them as types, so the worker loads nothing of the package. Every request has an id;
 * the worker answers each with exactly one reply, in the order of the requests.
 */

import type { FloatDtype } from "../checkpoint/Dtype.ts"

/** A tensor on its way: row-major data and its sizes. Its buffer is transferred, not copied. */
export type Tensor =
  | { readonly type: "float32"; readonly dims: ReadonlyArray<number>; readonly data: Float32Array }
  | { readonly type: "int32"; readonly dims: ReadonlyArray<number>; readonly data: Int32Array }
  | { readonly type: "int64"; readonly dims: ReadonlyArray<number>; readonly data: BigInt64Array }

export type Tensors = Readonly<Record<string, Tensor>>

/** How the worker gets at weight bytes: linked beside the graph and mapped, or read into memory. */
export type WeightAccess = "link" | "memory"

/** Everything a worker needs to make a session. */
export interface SessionSpec {
  readonly model: Uint8Array
  readonly weights: ReadonlyArray<{ readonly location: string; readonly path: string }>
  /** Threads one operator may use. */
  readonly threads: number
  /** `link` falls back to `memory` where the weights lie on another device. */
  readonly access: WeightAccess
  /** Whether memory is laid out ahead for every shape that is run: faster where shapes repeat, at the price of memory. */
  readonly planMemory: boolean
}

/** A weight, or rows of one, that is fed to a graph as f32: row-major, decoded from bytes of a file. */
export interface FedWeight {
  /** The input of the graph. */
  readonly input: string
  readonly dtype: FloatDtype
  readonly dims: ReadonlyArray<number>
  readonly file: string
  readonly offset: number
  readonly byteLength: number
}

/** Outputs that stay in the worker, fed to the next run of the same cache under other names. */
export interface CacheUse {
  readonly cache: number
  /** Output name → input name. */
  readonly keep: Readonly<Record<string, string>>
  /** Before running, keep only these rows of axis 0, in this order. */
  readonly select?: ReadonlyArray<number>
}

export type Request =
  | { readonly _tag: "Open"; readonly session: number; readonly spec: SessionSpec }
  | {
      readonly _tag: "Run"
      readonly session: number
      readonly feeds: Tensors
      readonly fetches: ReadonlyArray<string>
      readonly cache?: CacheUse
      /** The slab whose weights are inputs as well. */
      readonly slab?: number
    }
  /** Decodes weights into a slab of `capacity` bytes, in place of what was in it. */
  | {
      readonly _tag: "Load"
      readonly slab: number
      readonly capacity: number
      readonly weights: ReadonlyArray<FedWeight>
    }
  | { readonly _tag: "Forget"; readonly cache: number }
  | { readonly _tag: "Close"; readonly session: number }

export type Reply =
  | { readonly _tag: "Done"; readonly outputs: Tensors; readonly access?: WeightAccess }
  | { readonly _tag: "Failed"; readonly problem: string }

export interface Envelope<A> {
  readonly id: number
  readonly body: A
}
