/**
 * Limits: what a generated program may use before it is stopped.
 */

/** Bounds on one program. */
export interface Limits {
  /** Wall-clock and processor seconds; processor seconds are per process. */
  readonly seconds: number
  /** Resident memory of all its processes together, MiB. */
  readonly memoryMiB: number
  /** Largest file, and all of its writable directory, MiB. */
  readonly fileMiB: number
  /** Processes and threads at once. */
  readonly processes: number
  /** Standard output and standard error kept, KiB each; what goes beyond is dropped. */
  readonly outputKiB: number
}

/** Three seconds, as the reference implementation of HumanEval (Chen et al. 2021) gives each program. */
export const standard: Limits = { seconds: 3, memoryMiB: 512, fileMiB: 16, processes: 48, outputKiB: 64 }
