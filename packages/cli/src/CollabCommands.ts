/**
 * `hila collab pack` and `hila serve collab`: their arguments, flags and help.
 *
 * What they do lies in `CollabRuns`, which is loaded when one of them is called.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, json } from "./Arguments.ts"

const runs = Effect.promise(() => import("./CollabRuns.ts"))

const pack = Command.make(
  "pack",
  {
    contents: Argument.String("contents.json").pipe(
      Argument.withDescription("What belongs to the bundle; paths in it are relative to it"),
    ),
    directory: Argument.String("directory").pipe(
      Argument.withDescription("A new or empty directory for the bundle"),
    ),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ pack: run }) => run(given)),
).pipe(
  Command.withDescription(
    "Packs experts, gate, fusion head, tokenizers and thresholds into one directory with a manifest and digests, if they belong together",
  ),
  Command.withExamples([
    {
      command: "hila collab pack contents.json news-bundle",
      description:
        'contents.json says what; "cascade": "cascade.json" in place of "topK" asks one expert after another: {"classes": […], "head": "head.safetensors", "topK": 2, "experts": [{"path": "start", "name": "start", "view": {"from": "start", "tokens": 40}, "pooling": "mean"}]}',
    },
    {
      command: "hila run pipelines/collab.ts bundle",
      description: "Trains, compares and packs; `hila checkout` writes the bundle to a directory",
    },
  ]),
)

const serveCollab = Command.make(
  "collab",
  {
    directory: Argument.String("directory").pipe(
      Argument.withDescription("A bundle that `hila collab pack` wrote"),
    ),
    host: Flag.String("host").pipe(
      Flag.withMetavar("address"),
      Flag.withDescription("Where to listen; this machine alone by default"),
      Flag.withDefault("127.0.0.1"),
    ),
    port: Flag.Int("port").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("8789 by default; 0 takes any that is free"),
      Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
      Flag.withDefault(8789),
    ),
    debug,
  },
  (given) => Effect.flatMap(runs, ({ serve: run }) => run(given)),
).pipe(
  Command.withDescription(
    "Answers over HTTP with the class, the gate's weights and which experts ran; OpenAPI at /openapi.json. Bodies of 256 KiB, 64 texts each and 512 requests at once at most",
  ),
  Command.withExamples([
    { command: "hila serve collab news-bundle", description: "On this machine, at port 8789" },
    {
      command: `curl -s localhost:8789/answer -H 'content-type: application/json' -d '{"texts": ["…"]}'`,
      description: "Ask it, in another terminal",
    },
  ]),
)

/** `hila collab`. */
export const collab = Command.make("collab").pipe(
  Command.withDescription("Small models that answer together"),
  Command.withSubcommands([pack]),
  Command.withExamples([
    {
      command: "hila run pipelines/collab.ts bundle",
      description: "Trains experts, gate and head, and packs them",
    },
    { command: "hila checkout collab/bundle news-bundle", description: "Writes the bundle to a directory" },
  ]),
)

/** `hila serve`. */
export const serve = Command.make("serve").pipe(
  Command.withDescription("Answers over HTTP"),
  Command.withSubcommands([serveCollab]),
  Command.withExamples([
    { command: "hila serve collab news-bundle", description: "Small models that answer together" },
  ]),
)
