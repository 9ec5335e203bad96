/** The real worker, which dies when it is asked for its third run. */
import { dieAtRun } from "./mortality.ts"

dieAtRun(3)
await import("../../src/runtime/Worker.ts")
