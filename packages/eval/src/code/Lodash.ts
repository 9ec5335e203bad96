/**
 * The one function of lodash that HumanEval-XL's JavaScript tests call, so that they run without the package.
 *
 * `isEqual` as lodash 4 defines it for what JSON can hold (SameValueZero for numbers: 0 equals -0, NaN equals NaN;
 * arrays by index, objects by own keys and constructor); other objects as Node's deep strict equality has them. A program
 * that asks for any other function of lodash gets an error that says so.
 */

/** Source that stands before a program and answers its `require("lodash")`. */
export const prelude = `{
  const Module = require("module")
  const { isDeepStrictEqual } = require("util")
  const isEqual = (a, b) => {
    if (a === b || (a !== a && b !== b)) return true
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
    if (Array.isArray(a) || Array.isArray(b)) {
      if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false
      for (let i = 0; i < a.length; i++) if (!isEqual(a[i], b[i])) return false
      return true
    }
    if (a.constructor !== b.constructor) return false
    if (a.constructor !== Object && a.constructor !== undefined) return isDeepStrictEqual(a, b)
    const keys = Object.keys(a)
    return (
      keys.length === Object.keys(b).length &&
      keys.every((key) => Object.prototype.hasOwnProperty.call(b, key) && isEqual(a[key], b[key]))
    )
  }
  const lodash = new Proxy({ isEqual }, {
    get: (own, name) => {
      if (name in own || typeof name === "symbol") return own[name]
      throw new Error("lodash." + name + " is not provided here, only lodash.isEqual is")
    },
  })
  const load = Module._load
  Module._load = (name, ...rest) => (name === "lodash" ? lodash : load(name, ...rest))
}
`
