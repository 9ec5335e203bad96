/**
 * Parameters of a stage call: checked and encoded while the pipeline is built.
 *
 * A refused parameter is thrown, since calling a stage is plain code that returns a node; `Pipeline.build` catches it.
 */
import * as Schema from "effect/Schema"
import { ParamsError } from "../CoreError.ts"
import { promise, type AnyFields } from "./erased.ts"
import { nearest } from "./suggestion.ts"

/** A function from given parameters to the body's parameters and their JSON form. */
export const paramsOf = (stage: string, fields: AnyFields) => {
  const struct = Schema.Struct(fields)
  const encode = Schema.encodeUnknownSync(Schema.toCodecJson(struct))
  return (given: object) => {
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(fields, name))
    if (unknown !== undefined) {
      const known = Object.keys(fields)
      const meant = nearest(unknown, known)
      const hint = meant === undefined ? `it takes ${known.join(", ") || "none"}` : `did you mean "${meant}"?`
      throw new ParamsError({ stage, problem: `unknown parameter "${unknown}", ${hint}` })
    }
    try {
      const params: unknown = struct.make(promise(given))
      return { params, encodedParams: promise<Readonly<Record<string, Schema.Json>>>(encode(params)) }
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message.replaceAll(/\s*\n\s*/g, " ") : String(cause)
      throw new ParamsError({ stage, problem })
    }
  }
}
