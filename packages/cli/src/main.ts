/** The `hila` process: runs the command, prints what fails as one line, and sets the exit code. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { atOr } from "@hila/core/Lookup"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { createRequire } from "node:module"
import { hila } from "./Commands.ts"
import * as Failure from "./Failure.ts"
import * as Terminal from "./Terminal.ts"
import * as Warnings from "./Warnings.ts"

const { version }: { readonly version: string } = createRequire(import.meta.url)("../package.json")
const args = process.argv.slice(2)

Terminal.guardAll()
const debug = args.includes("--debug")

/** Help as it comes; a wrong invocation as one line, without the help. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.sync(() => {
          const problem = event.errors.map(({ message }) => Failure.ofInvocation(message)).join("; ")
          process.stderr.write(`hila: ${problem} (see ${event.commandPath.join(" ")} --help)\n`)
        })
      : // It prints at once; help is text of this program.
        Effect.suspend(() =>
          Terminal.trusted(() => Exit.asVoid(Effect.runSyncExit(CliOutput.defaultPresenter.present(event)))),
        ),
}

/** Prints a failure, unless the presenter has, and returns the exit code. */
const report = (cause: Cause.Cause<unknown>): number => {
  const error = Cause.squash(cause)
  if (typeof error === "object" && error !== null && "_tag" in error && error._tag === "ShowHelp") {
    return "errors" in error && Array.isArray(error.errors) && error.errors.length > 0 ? 2 : 0
  }
  const { exitCode, line } = Failure.of(cause, atOr(args, 0, ""))
  process.stderr.write(`hila: ${line}\n`)
  if (debug) process.stderr.write(`${Cause.pretty(cause)}\n`)
  return exitCode
}

// A reader that has seen enough, such as `head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1))
// A promise that a pipeline file started and nobody awaited.
process.on("uncaughtException", (error) => process.exit(report(Cause.die(error))))

const services = Layer.mergeAll(
  NodeServices.layer,
  Warnings.layer,
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] }),
  CliOutput.layerPresenter(presenter),
)

Command.runWith(hila, { version })(args).pipe(
  Effect.provide(services),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) ? 0 : report(exit.cause)),
  }),
)
