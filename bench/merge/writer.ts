/** A thread that writes one of the benchmark's models. */
import { workerData } from "node:worker_threads"
import { type Making, writeModel } from "./models.ts"

await writeModel(workerData as Making)
