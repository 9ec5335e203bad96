// A lint rule: a lookup does not fall back to a value that is made up.
//
// `places.get(to) ?? 0` answers a mistake of ours with a wrong result. What cannot fail is looked up by `at`, `entry`
// or `known` of @hila/core/Lookup; where absence is an ordinary answer, `atOr` and `entryOr` say so. Properties by name
// (`config.bias ?? "none"`), and what may be absent as a whole (`range?.[0] ?? 0`) are defaults and no business of it.

/** An expression without the wrappers that only change its type. */
const bare = (node) =>
  ["ChainExpression", "ParenthesizedExpression", "TSAsExpression", "TSNonNullExpression"].includes(node.type)
    ? bare(node.expression)
    : node

/** Whether an expression looks something up: `values[i]`, `values.at(i)`, `map.get(key)`, or a property of that. */
const isLookup = (expression) => {
  const node = bare(expression)
  if (node.type === "MemberExpression") {
    const isByIndex = node.computed && typeof node.property.value !== "string"
    return (isByIndex && !node.optional) || isLookup(node.object)
  }
  if (node.type !== "CallExpression" || node.callee.type !== "MemberExpression") return false
  const { object, optional, property } = node.callee
  const looks = node.arguments.length === 1 && ["at", "get"].includes(property.name)
  return looks ? !optional || isLookup(object) : isLookup(object)
}

/** Whether a value is made up: a literal, `NaN`, a list or record of such, a new array (a new map is about to be kept). */
const isMadeUp = (node) => {
  switch (node.type) {
    case "Literal":
      return true
    case "NewExpression":
      return !["Map", "Set"].includes(node.callee.name)
    case "TemplateLiteral":
      return node.expressions.length === 0
    case "UnaryExpression":
      return isMadeUp(node.argument)
    case "Identifier":
      return ["NaN", "Infinity"].includes(node.name)
    case "MemberExpression":
      return node.object.name === "Number"
    case "ArrayExpression":
      return node.elements.every(isMadeUp)
    case "ObjectExpression":
      return node.properties.every(({ value }) => value !== undefined && isMadeUp(value))
    default:
      return false
  }
}

const noFallBack = {
  create: (context) => ({
    LogicalExpression: (node) => {
      if (node.operator !== "??" || !isLookup(node.left) || !isMadeUp(node.right)) return
      context.report({
        node,
        message:
          "a lookup with a made-up value to fall back to: `at`, `entry` or `known` if it cannot fail, an error if the user's input may lack it, `atOr` or `entryOr` if absence is an ordinary answer",
      })
    },
  }),
}

export default { meta: { name: "lookup" }, rules: { "no-fall-back": noFallBack } }
