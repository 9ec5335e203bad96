/** The real worker, which dies when it is asked for its tenth run: more than a pass block by block, fewer than two. */
import { dieAtRun } from "./mortality.ts"

dieAtRun(10)
await import("../../src/runtime/Worker.ts")
