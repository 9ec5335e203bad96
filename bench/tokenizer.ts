/**
 * Tokenizing 10 MB: opening, encoding and decoding, beside Python's `tokenizers` in the same run.
 *
 * `npm run bench:tokenizer -- --tokenizer DIR --python PYTHON`: the text is made of the words of this project's own
 * documents, in pieces of some 2,000 characters. Without `--python`, an interpreter that has `tokenizers`, only ours is
 * measured.
 */
import { Checkpoint, Tokenizer } from "@hila/model"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"

const { values: args } = parseArgs({
  options: {
    tokenizer: { type: "string", default: "fixtures/micro/base" },
    python: { type: "string" },
    megabytes: { type: "string", default: "10" },
    rounds: { type: "string", default: "3" },
  },
})
const root = join(import.meta.dirname, "..")
const tokenizer = join(args.tokenizer.startsWith("/") ? "" : root, args.tokenizer)

/** Pieces of about 2,000 characters, so many bytes in all. */
const pieces = (): ReadonlyArray<string> => {
  const names = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"))
  const whole = ["README.md", ...names.map((name) => `docs/${name}`)]
    .map((name) => readFileSync(join(root, name), "utf8"))
    .join("\n")
  const made: Array<string> = []
  for (let bytes = 0, at = 0; bytes < Number(args.megabytes) * 1e6; at += 1999) {
    const piece = whole.slice(at % whole.length, (at % whole.length) + 2000)
    made.push(piece)
    bytes += Buffer.byteLength(piece)
  }
  return made
}

/** Seconds of each phase; the smallest of the rounds. */
interface Seconds {
  readonly open: number
  readonly encode: number
  readonly decode: number
}

const best = (rounds: ReadonlyArray<Seconds>): Seconds => ({
  open: Math.min(...rounds.map(({ open }) => open)),
  encode: Math.min(...rounds.map(({ encode }) => encode)),
  decode: Math.min(...rounds.map(({ decode }) => decode)),
})

const ours = (texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const files = Object.fromEntries(readdirSync(tokenizer).map((name) => [name, join(tokenizer, name)]))
    const rounds: Array<Seconds> = []
    let tokens = 0
    for (let round = 0; round < Number(args.rounds); round++) {
      const start = performance.now()
      const opened = yield* Tokenizer.open({ files } satisfies Pick<Checkpoint.Checkpoint, "files">)
      const ready = performance.now()
      const rows = yield* opened.encodeAll(texts)
      const encoded = performance.now()
      yield* opened.decodeAll(rows)
      const decoded = performance.now()
      tokens = rows.reduce((sum, row) => sum + row.length, 0)
      rounds.push({
        open: (ready - start) / 1000,
        encode: (encoded - ready) / 1000,
        decode: (decoded - encoded) / 1000,
      })
    }
    return { seconds: best(rounds), tokens }
  })

const program = `
import json, sys, time
from tokenizers import Tokenizer
texts = json.load(open(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    a = time.perf_counter()
    t = Tokenizer.from_file(sys.argv[1]); t.no_truncation(); t.no_padding()
    b = time.perf_counter()
    rows = [e.ids for e in t.encode_batch(texts)]
    c = time.perf_counter()
    t.decode_batch(rows, skip_special_tokens=False)
    d = time.perf_counter()
    print(json.dumps({"open": b - a, "encode": c - b, "decode": d - c}))
`

const theirs = (python: string, texts: ReadonlyArray<string>): Seconds => {
  const directory = mkdtempSync(join(tmpdir(), "hila-bench-"))
  try {
    const path = join(directory, "texts.json")
    writeFileSync(path, JSON.stringify(texts))
    const printed = execFileSync(
      python,
      ["-c", program, join(tokenizer, "tokenizer.json"), path, args.rounds],
      { encoding: "utf8" },
    )
    return best(
      printed
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Seconds),
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const row = (name: string, { decode, encode, open }: Seconds) =>
  console.log(
    `${name.padEnd(10)} open ${open.toFixed(3)} s, encode ${encode.toFixed(2)} s, decode ${decode.toFixed(2)} s`,
  )

const texts = pieces()
const { seconds, tokens } = await Effect.runPromise(ours(texts))
console.log(`${args.megabytes} MB in ${texts.length} pieces, ${tokens} tokens, ${args.tokenizer}`)
row("hila", seconds)
if (args.python !== undefined) {
  const reference = theirs(args.python, texts)
  row("python", reference)
  const ratio = (phase: keyof Seconds) => `${phase} ${(seconds[phase] / reference[phase]).toFixed(2)}`
  console.log(`ratio      ${ratio("open")}, ${ratio("encode")}, ${ratio("decode")} (hila / python)`)
}
