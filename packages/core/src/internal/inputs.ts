/**
 * Inputs of a stage call: looked at while the pipeline is built.
 *
 * The compiler refuses what is refused here, but a pipeline file is run without being compiled. A refused input is
 * thrown, as parameters are: calling a stage is plain code that returns a node.
 */
import { ParamsError } from "../CoreError.ts"

/** Whether a value is what a source or a stage call returns. */
export const isNode = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  "kind" in value &&
  (value.kind === "source" || value.kind === "stage")

/** What kind of value was given, for people. */
export const what = (value: unknown): string =>
  typeof value === "string"
    ? `the text "${value}"`
    : value === null || value === undefined
      ? String(value)
      : Array.isArray(value)
        ? "a list"
        : typeof value === "function"
          ? "a function"
          : `a value of type ${typeof value}`

/** Throws a `ParamsError` unless every slot of a stage holds a node, or a list of nodes where it takes several. */
export const checkInputs = (
  stage: string,
  slots: Readonly<Record<string, object>>,
  given: Readonly<Record<string, unknown>>,
): void => {
  if (typeof given !== "object" || given === null) {
    const problem = `expected its inputs by name, {} where it takes none, got ${what(given)}`
    throw new ParamsError({ stage, problem })
  }
  for (const [slot, takes] of Object.entries(slots)) {
    const value = given[slot]
    const isEach = "each" in takes
    if (value === undefined) {
      const others = Object.keys(given).filter((name) => !Object.hasOwn(slots, name))
      const hint = others.length === 0 ? "" : `; the call has ${others.join(", ")}, which it does not take`
      throw new ParamsError({ stage, problem: `input "${slot}" is missing${hint}` })
    }
    const wrong = isEach && Array.isArray(value) ? value.findIndex((each) => !isNode(each)) : -1
    if (isEach ? Array.isArray(value) && wrong === -1 : isNode(value)) continue
    const place = wrong === -1 ? slot : `${slot}[${wrong}]`
    const got = Array.isArray(value) && wrong !== -1 ? value[wrong] : value
    const expected = isEach && wrong === -1 ? "a list of nodes" : "a node"
    const problem = `input "${place}": expected ${expected}, as a source or another stage returns it, got ${what(got)}`
    throw new ParamsError({ stage, problem })
  }
}
