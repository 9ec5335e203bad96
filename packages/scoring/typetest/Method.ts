/** An importance method and its options that disagree must not compile. Checked by the type checker alone. */
import * as Method from "../src/importance/Method.ts"

const about = {
  name: "trial",
  version: 1,
  summary: "a trial",
  sources: [],
  cost: () => Method.passes(0),
  combine: () => [],
}

Method.make({ ...about, options: ["seed"], parts: ({ seed }) => (seed > 0 ? [] : []) })
Method.make({
  ...about,
  options: ["seed", "quadrature"],
  parts: ({ quadrature, seed }) => (quadrature > seed ? [] : []),
})

// @ts-expect-error an option that the method does not name
Method.make({ ...about, parts: ({ seed }) => (seed > 0 ? [] : []) })
// @ts-expect-error another option than it names
Method.make({ ...about, options: ["seed"], parts: ({ quadrature }) => (quadrature > 0 ? [] : []) })
Method.make({
  ...about,
  options: ["seed"],
  // @ts-expect-error a cost by an option that the method does not name
  cost: ({ quadrature }) => Method.passes(quadrature),
  parts: () => [],
})
// @ts-expect-error an option that there is not
Method.make({ ...about, options: ["sed"], parts: () => [] })
