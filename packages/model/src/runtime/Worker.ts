/**
 * The worker thread: owns ONNX Runtime sessions, since `session.run` blocks the thread it is called on.
 *
 * The only module that imports onnxruntime-node, and the entry of a thread, so it imports little. Weight files are hard-linked into a private directory beside the graph,
 * because ONNX Runtime refuses external data whose resolved path leaves the graph's directory (symbolic links included).
 * The directory is removed as soon as the session exists: mapped files stay readable. A thread that is terminated inside
 * ONNX Runtime takes the process down with it, hence the `stop` message.
 */
import {
  closeSync,
  fstatSync,
  linkSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { parentPort, workerData } from "node:worker_threads"
import * as ort from "onnxruntime-node"
import type {
  CacheUse,
  Envelope,
  Reply,
  Request,
  SessionSpec,
  Tensor,
  Tensors,
  WeightAccess,
} from "./Protocol.ts"
import * as SessionOptions from "./SessionOptions.ts"
import * as Slabs from "./Slabs.ts"

const sessions = new Map<number, ort.InferenceSession>()
/** Kept outputs by cache, under the input names of the next run. */
const caches = new Map<number, Readonly<Record<string, ort.Tensor>>>()

/** Where linking is impossible: another device, no permission to link a file of someone else, no hard links at all. */
const unlinkable = new Set(["EXDEV", "EPERM", "EACCES", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"])

/** Private directories carry their machine and process: `hila-graph-<host>-<pid>-<random>`. */
const prefix = `hila-graph-${hostname()}-`

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // A process of someone else may not be signalled, but it is there.
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

/** Removes what processes of this machine left behind that were killed while they made a session. */
const sweep = (): void => {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN
    if (!(pid > 0) || isRunning(pid)) continue
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
    } catch {
      // What is somebody else's stays, and is no reason to do without links.
    }
  }
}

const createLinked = async (spec: SessionSpec) => {
  sweep()
  const directory = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`))
  try {
    for (const { location, path } of spec.weights) linkSync(realpathSync(path), join(directory, location))
    const graph = join(directory, "graph.onnx")
    writeFileSync(graph, spec.model)
    return await ort.InferenceSession.create(graph, SessionOptions.of(spec))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Bytes of one system call at most. */
const atOnce = 2 ** 30

/** The bytes of a file of any size; `readFileSync` refuses one of 2 GiB and more. */
const readWhole = (path: string): Uint8Array => {
  const handle = openSync(path, "r")
  try {
    const bytes = new Uint8Array(fstatSync(handle).size)
    for (let done = 0; done < bytes.length;) {
      const count = readSync(handle, bytes, done, Math.min(bytes.length - done, atOnce), done)
      if (count === 0) return bytes.subarray(0, done)
      done += count
    }
    return bytes
  } finally {
    closeSync(handle)
  }
}

const createInMemory = (spec: SessionSpec) =>
  ort.InferenceSession.create(spec.model, {
    ...SessionOptions.of(spec),
    externalData: spec.weights.map(({ location, path }) => ({ path: location, data: readWhole(path) })),
  })

const open = async (session: number, spec: SessionSpec): Promise<WeightAccess> => {
  const inMemory = async (): Promise<WeightAccess> => {
    sessions.set(session, await createInMemory(spec))
    return "memory"
  }
  if (spec.access === "memory") return inMemory()
  return createLinked(spec).then(
    (created): WeightAccess => {
      sessions.set(session, created)
      return "link"
    },
    (error: unknown) => {
      const code = error instanceof Error && "code" in error ? String(error.code) : ""
      return unlinkable.has(code) ? inMemory() : Promise.reject(error)
    },
  )
}

/** The rows `select` of axis 0. */
const selectRows = (tensor: ort.Tensor, select: ReadonlyArray<number>): ort.Tensor => {
  const data = tensor.data as Float32Array
  const [batch = 1, ...rest] = tensor.dims
  const width = data.length / Math.max(batch, 1)
  const out = new Float32Array(select.length * width)
  select.forEach((row, i) => out.set(data.subarray(row * width, (row + 1) * width), i * width))
  return new ort.Tensor("float32", out, [select.length, ...rest])
}

const cached = (use: CacheUse | undefined): Readonly<Record<string, ort.Tensor>> => {
  const kept = use === undefined ? undefined : caches.get(use.cache)
  if (kept === undefined) return {}
  const select = use?.select
  if (select === undefined) return kept
  return Object.fromEntries(Object.entries(kept).map(([name, tensor]) => [name, selectRows(tensor, select)]))
}

const run = async (request: Extract<Request, { _tag: "Run" }>): Promise<Tensors> => {
  const session = sessions.get(request.session)
  if (session === undefined) return Promise.reject(new Error(`session ${request.session} is not open`))
  const feeds: Record<string, ort.Tensor> = {}
  for (const [name, { data, dims, type }] of Object.entries(request.feeds)) {
    feeds[name] = new ort.Tensor(type, data, dims)
  }
  Object.assign(feeds, cached(request.cache))
  if (request.slab !== undefined) {
    for (const { data, dims, input } of Slabs.weights(request.slab)) {
      feeds[input] = new ort.Tensor("float32", data, dims)
    }
  }
  const keep = request.cache?.keep ?? {}
  const results = await session.run(feeds, [...request.fetches, ...Object.keys(keep)])
  const kept: Record<string, ort.Tensor> = {}
  for (const [output, input] of Object.entries(keep)) {
    const tensor = results[output]
    if (tensor !== undefined) kept[input] = tensor
  }
  if (request.cache !== undefined) caches.set(request.cache.cache, kept)
  const outputs: Record<string, Tensor> = {}
  for (const name of request.fetches) {
    const tensor = results[name]
    if (tensor === undefined) return Promise.reject(new Error(`the graph has no output "${name}"`))
    // The three element types graphs of this package return.
    outputs[name] = { type: tensor.type, dims: tensor.dims, data: tensor.data } as Tensor
  }
  return outputs
}

const handle = async (request: Request): Promise<Reply> => {
  switch (request._tag) {
    case "Open":
      return { _tag: "Done", outputs: {}, access: await open(request.session, request.spec) }
    case "Run":
      return { _tag: "Done", outputs: await run(request) }
    case "Load": {
      const problem = Slabs.load(request.slab, request.capacity, request.weights)
      return problem === undefined ? { _tag: "Done", outputs: {} } : { _tag: "Failed", problem }
    }
    case "Forget":
      caches.delete(request.cache)
      return { _tag: "Done", outputs: {} }
    case "Close":
      await sessions.get(request.session)?.release()
      sessions.delete(request.session)
      return { _tag: "Done", outputs: {} }
  }
}

/** Shared with the main thread: [inside ONNX Runtime, must not enter it any more]. */
const flags = workerData as Int32Array

/** Answers one request; none once the process is exiting. */
const serve = async ({ body, id }: Envelope<Request>): Promise<void> => {
  Atomics.store(flags, 0, 1)
  if (Atomics.load(flags, 1) === 0) {
    let reply: Reply
    try {
      reply = await handle(body)
    } catch (error) {
      reply = { _tag: "Failed", problem: error instanceof Error ? error.message : String(error) }
    }
    const buffers = reply._tag === "Done" ? Object.values(reply.outputs).map(({ data }) => data.buffer) : []
    parentPort?.postMessage({ id, body: reply } satisfies Envelope<Reply>, buffers as Array<ArrayBuffer>)
  }
  Atomics.store(flags, 0, 0)
  Atomics.notify(flags, 0)
}

// Requests are answered one after another: a run blocks the thread anyway, and caches rely on the order.
let stopping = false
let queue = Promise.resolve()
const release = async (): Promise<void> => {
  await Promise.all([...sessions.values()].map((session) => session.release()))
  // Nothing listens any more, so the thread ends by itself.
  parentPort?.close()
}
parentPort?.on("message", (message: Envelope<Request> | "stop") => {
  if (message === "stop") stopping = true
  queue = queue.then(() => (message === "stop" ? release() : stopping ? undefined : serve(message)))
})
