/**
 * Made-up checkpoints of the Llama shape with the statistics of fine-tuned ones, written as they are made.
 *
 * Base weights are normal with a deviation of 0.02; a fine-tuned weight is the base's plus a normal step whose size
 * differs from tensor to tensor, rounded to bf16, so that many weights do not change at all and the steps take few
 * values, as in real fine-tunes.
 */
import { mkdir, open, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Worker } from "node:worker_threads"

export interface Shape {
  readonly hidden: number
  readonly intermediate: number
  readonly layers: number
  readonly vocabulary: number
  readonly parameters: number
  readonly tensors: ReadonlyArray<readonly [name: string, shape: ReadonlyArray<number>]>
}

const VOCABULARY = 128256

/** The shape with about so many parameters (`"1.24B"`, `"0.1B"`), at `depth` times the layers. */
export const shapeOf = (parameters: string, depth = 1): Shape => {
  const wanted = Number(parameters.replace(/B$/i, "")) * 1e9
  // V h + 16 · (14.5 · h² + …) with the proportions of the 1.24 B model.
  const square = 16 * 14.5
  const exact = (-VOCABULARY + Math.sqrt(VOCABULARY ** 2 + 4 * square * wanted)) / (2 * square)
  const hidden = Math.max(64, Math.round(exact / 64) * 64)
  const [intermediate, layers] = [4 * hidden, 16 * depth]
  const tensors: Array<readonly [string, ReadonlyArray<number>]> = [
    ["model.embed_tokens.weight", [VOCABULARY, hidden]],
  ]
  for (let layer = 0; layer < layers; layer++) {
    const of = (name: string, ...shape: ReadonlyArray<number>) =>
      tensors.push([`model.layers.${layer}.${name}.weight`, shape])
    of("input_layernorm", hidden)
    of("self_attn.q_proj", hidden, hidden)
    of("self_attn.k_proj", hidden / 4, hidden)
    of("self_attn.v_proj", hidden / 4, hidden)
    of("self_attn.o_proj", hidden, hidden)
    of("post_attention_layernorm", hidden)
    of("mlp.gate_proj", intermediate, hidden)
    of("mlp.up_proj", intermediate, hidden)
    of("mlp.down_proj", hidden, intermediate)
  }
  tensors.push(["model.norm.weight", [hidden]])
  const count = tensors.reduce((sum, [, shape]) => sum + sizeOf(shape), 0)
  return { hidden, intermediate, layers, vocabulary: VOCABULARY, parameters: count, tensors }
}

const sizeOf = (shape: ReadonlyArray<number>) => shape.reduce((product, extent) => product * extent, 1)

/** Normal numbers; windows of it at random places stand for fresh ones, so it goes on past its end. */
const POOL = 1 << 24
const PIECE = 1 << 22

/** What every model is made of. */
interface Pool {
  readonly steps: Float32Array // [POOL + PIECE], normal
  readonly base: Float32Array // [POOL + PIECE], normal · 0.02, as bf16 has it
  readonly baseBits: Uint16Array // [POOL + PIECE], the same in bf16
}

/** Float to bf16, to nearest even, by bit patterns. */
const round = (bits: Uint32Array, out: Uint16Array): void => {
  for (let i = 0; i < bits.length; i++) out[i] = (bits[i]! + 0x7fff + ((bits[i]! >>> 16) & 1)) >>> 16
}

const makePool = (): Pool => {
  const shared = (bytes: number) => new SharedArrayBuffer(bytes * (POOL + PIECE))
  const steps = new Float32Array(shared(4))
  let state = 1
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state + 1) / 4294967297
  }
  for (let i = 0; i < POOL; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform()))
    const angle = 2 * Math.PI * uniform()
    steps[i] = radius * Math.cos(angle)
    steps[i + 1] = radius * Math.sin(angle)
  }
  steps.copyWithin(POOL, 0, PIECE)
  const base = new Float32Array(shared(4))
  for (let i = 0; i < base.length; i++) base[i] = 0.02 * steps[i]!
  const bits = new Uint32Array(base.buffer)
  const baseBits = new Uint16Array(shared(2))
  round(bits, baseBits)
  for (let i = 0; i < bits.length; i++) bits[i] = baseBits[i]! << 16
  return { steps, base, baseBits }
}

/** A repeatable number in [0, 1) for a place. */
const scatter = (...place: ReadonlyArray<number>): number => {
  let hash = 0x9e3779b9
  for (const part of place) {
    hash = Math.imul(hash ^ part, 0x85ebca6b)
    hash ^= hash >>> 13
    hash = Math.imul(hash, 0xc2b2ae35)
    hash ^= hash >>> 16
  }
  return (hash >>> 0) / 2 ** 32
}

/** The models, by the names of their directories. */
export const names = ["base", "a", "b", "c"]

/** One model to be written. */
export interface Making {
  readonly path: string
  readonly shape: Shape
  readonly model: number
  readonly pool: Pool
}

/** Writes the models below a directory, two at a time. */
export const writeModels = async (directory: string, shape: Shape): Promise<void> => {
  const pool = makePool()
  const makings = names.map((name, model): Making => ({ path: join(directory, name), shape, model, pool }))
  const take = async (): Promise<void> => {
    for (let making = makings.shift(); making !== undefined; making = makings.shift()) {
      const worker = new Worker(new URL("writer.ts", import.meta.url), { workerData: making })
      await new Promise<void>((resolve, reject) => {
        worker.once("error", reject)
        worker.once("exit", (code) =>
          code === 0 ? resolve() : reject(new Error(`a writer ended with ${code}`)),
        )
      })
    }
  }
  await Promise.all([take(), take()])
}

/** Writes one model. */
export const writeModel = async ({ model, path, pool, shape }: Making): Promise<void> => {
  await mkdir(path, { recursive: true })
  const config = {
    model_type: "llama",
    architectures: ["LlamaForCausalLM"],
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.hidden / 64,
    num_key_value_heads: Math.max(1, shape.hidden / 256),
    vocab_size: shape.vocabulary,
    tie_word_embeddings: true,
    torch_dtype: "bfloat16",
  }
  await writeFile(join(path, "config.json"), JSON.stringify(config))
  await writeWeights(join(path, "model.safetensors"), shape, model, pool)
}

const writeWeights = async (path: string, shape: Shape, model: number, pool: Pool) => {
  const entries: Record<string, unknown> = {}
  let end = 0
  for (const [name, extents] of shape.tensors) {
    const begin = end
    end += 2 * sizeOf(extents)
    entries[name] = { dtype: "BF16", shape: extents, data_offsets: [begin, end] }
  }
  const json = JSON.stringify(entries)
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ")
  header.writeBigUInt64LE(BigInt(header.length - 8))
  header.write(json, 8)
  const file = await open(path, "wx")
  await file.write(header)
  const values = new Float32Array(PIECE)
  const out = new Uint16Array(PIECE)
  for (const [tensor, [, extents]] of shape.tensors.entries()) {
    const size = sizeOf(extents)
    const step = model === 0 ? 0 : 0.0002 + 0.0012 * scatter(model, tensor)
    // The vectors are those of norms, around 1.
    const offset = extents.length === 1 ? 1 : 0
    for (let start = 0; start < size; start += PIECE) {
      const length = Math.min(PIECE, size - start)
      const from = Math.floor(scatter(7, tensor, start) * POOL)
      const to = Math.floor(scatter(11 + model, tensor, start) * POOL)
      fill(values.subarray(0, length), { pool, from, to, step, offset })
      round(new Uint32Array(values.buffer, 0, length), out)
      const bytes =
        model === 0 && offset === 0 ? pool.baseBits.subarray(from, from + length) : out.subarray(0, length)
      await file.write(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    }
  }
  await file.sync()
  await file.close()
}

interface Filling {
  readonly pool: Pool
  readonly from: number
  readonly to: number
  readonly step: number
  readonly offset: number
}

const fill = (values: Float32Array, { from, offset, pool: { base, steps }, step, to }: Filling): void => {
  for (let i = 0; i < values.length; i++) values[i] = offset + base[from + i]! + step * steps[to + i]!
}
