/**
 * Limits: what a generated program may use before it is stopped.
 */

/** Bounds on one program. */
export interface Limits {
  /**
   * Processor seconds of each process. By the clock on the wall a program has `patience` times as long, so that a verdict
   * depends on the program and not on what else the machine does.
   */
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

/** Wall-clock seconds for one processor second: a program that waits is stopped too. */
export const patience = 4

/** Three seconds, as the reference implementation of HumanEval (Chen et al. 2021) gives each program on the wall. */
export const standard: Limits = { seconds: 3, memoryMiB: 512, fileMiB: 16, processes: 48, outputKiB: 64 }
