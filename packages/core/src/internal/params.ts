/**
 * Parameters of a stage call: checked and encoded while the pipeline is built.
 *
 * A refused parameter is thrown, since calling a stage is plain code that returns a node; `Pipeline.build` catches it.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ParamsError } from "../CoreError.ts"
import { promise, type AnyFields } from "./erased.ts"
import { nearest } from "./suggestion.ts"

/** A function from given parameters to the body's parameters and their JSON form. */
export const paramsOf = (stage: string, fields: AnyFields) => {
  const struct = Schema.Struct(fields)
  // Field schemas need no services: stages declare them with plain schemas.
  const codec = promise<Schema.Codec<unknown>>(Schema.toCodecJson(struct))
  // Numbers, texts and the like are their own JSON; a pipeline of a thousand stages need not encode them again.
  const encode =
    codec.ast === Schema.toType(struct).ast ? (value: unknown) => value : Schema.encodeUnknownSync(codec)
  const check = Schema.decodeUnknownResult(Schema.toType(promise<Schema.Codec<unknown>>(struct)))
  return (given: object) => {
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(fields, name))
    if (unknown !== undefined) {
      const known = Object.keys(fields)
      const meant = nearest(unknown, known)
      const hint = meant === undefined ? `it takes ${known.join(", ") || "none"}` : `did you mean "${meant}"?`
      throw new ParamsError({ stage, problem: `unknown parameter "${unknown}", ${hint}` })
    }
    // Constructor defaults first; the checks are the decoder's, whose messages name field, expectation and value.
    const made = Result.try(() => struct.make(promise(given), { disableChecks: true }))
    const params: unknown = Result.getOrElse(made, () => given)
    const checked = check(params)
    if (Result.isFailure(checked)) {
      throw new ParamsError({ stage, problem: checked.failure.message.replaceAll(/\s*\n\s*/g, " ") })
    }
    return { params, encodedParams: promise<Readonly<Record<string, Schema.Json>>>(encode(params)) }
  }
}
