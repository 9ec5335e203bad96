/**
 * The process in which the tokenizer library runs.
 *
 * The library is native code that aborts its whole process on some files (a pattern that backtracks too far), and a text
 * that it works on cannot be called back. So it has a process of its own: what kills it is an error of one request, and
 * whoever no longer wants an answer ends it.
 */
import { readFileSync, statSync } from "node:fs"
import { type Encoding, Tokenizer } from "tokenizers"
import type { Definition, Envelope, Reply, Request } from "./Protocol.ts"

/** The largest tokenizer.json in use has 35 MB; the library takes about ten times the file in memory. */
const largest = 2 ** 28

const textOf = (definition: Definition): string => {
  if ("text" in definition) return definition.text
  const found = statSync(definition.path)
  if (!found.isFile()) throw new Error("it is no regular file")
  if (found.size > largest)
    throw new Error(`it has ${found.size} bytes, more than the ${largest} that are read`)
  return readFileSync(definition.path, "utf8")
}

const tokenizers = new Map<number, Tokenizer>()

const opened = (key: number): Tokenizer => {
  const tokenizer = tokenizers.get(key)
  if (tokenizer === undefined) throw new Error("the tokenizer is not open")
  return tokenizer
}

const idsOf = (encoding: Encoding): Uint32Array => Uint32Array.from(encoding.getIds())

const answer = async (request: Request): Promise<Reply> => {
  switch (request._tag) {
    case "Open": {
      const tokenizer = Tokenizer.fromString(textOf(request.definition))
      // A file may say how a training run cut and padded its texts.
      tokenizer.disableTruncation()
      tokenizer.disablePadding()
      tokenizers.set(request.key, tokenizer)
      return { _tag: "Done" }
    }
    case "Close": {
      tokenizers.delete(request.key)
      return { _tag: "Done" }
    }
    case "Encode": {
      const options = { addSpecialTokens: request.addSpecial }
      const encodings = await opened(request.key).encodeBatch([...request.texts], options)
      return { _tag: "Encoded", rows: encodings.map(idsOf) }
    }
    case "Decode": {
      const rows = request.rows.map((row) => [...row])
      return { _tag: "Decoded", texts: await opened(request.key).decodeBatch(rows, request.skipSpecial) }
    }
  }
}

const failed = (cause: unknown): Reply => ({
  _tag: "Failed",
  problem: cause instanceof Error ? cause.message : String(cause),
})

process.on("message", ({ body, id }: Envelope<Request>) => {
  void answer(body)
    .catch(failed)
    .then((reply) => process.send?.({ id, body: reply } satisfies Envelope<Reply>))
})

// Ctrl-C reaches every process of a terminal; this one ends with the one that started it, also inside the library.
process.on("SIGINT", () => {})
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"))
