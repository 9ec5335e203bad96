/**
 * Explanations: a plan step in full, every reason on its own line, for `hila explain`.
 */
import * as Digest from "./Digest.ts"
import { nearest } from "./internal/suggestion.ts"
import * as Node from "./Node.ts"
import type * as Plan from "./Plan.ts"
import * as Reason from "./Reason.ts"

/** The steps of a plan whose title or stage name is `name`; where there are none, those whose title begins with it. */
export const find = (plan: Plan.Plan, name: string): Plan.Plan => {
  const named = plan.filter(({ node }) => Node.title(node) === name || node.stage.name === name)
  return named.length > 0 ? named : plan.filter(({ node }) => Node.title(node).startsWith(`${name} `))
}

/** What to say where no step has that title or name: the nearest one, else the names there are. */
export const unknown = (plan: Plan.Plan, name: string): string => {
  const names = [...new Set(plan.map(({ node }) => node.stage.name))]
  const meant = nearest(name, [...names, ...plan.map(({ node }) => Node.title(node))])
  const hint = meant === undefined ? `; the pipeline has ${names.join(", ")}` : `, did you mean "${meant}"?`
  return `there is no stage "${name}"${hint}`
}

/** Why a step is what it is. */
export const render = (step: Plan.Step): string => {
  const title = Node.title(step.node)
  switch (step._tag) {
    case "Hit":
      return [
        `${title} is a hit: ${step.action.summary}`,
        `  made ${step.action.started} in ${step.action.seconds.toFixed(1)} s · key ${Digest.short(step.action.key)} · digest ${Digest.short(step.action.digest)}`,
        ...(step.differs === undefined
          ? []
          : [
              "  made by other code than there is now; where it differs:",
              ...step.differs.map((file) => `    ${file}`),
            ]),
      ].join("\n")
    case "Run":
      return [
        `${title} has to run:`,
        ...step.reasons.map((reason) => `  ${Reason.render(reason)}`),
        ...(step.reasons.some(({ _tag }) => _tag !== "NeverRan")
          ? ["  (against the nearest earlier record of this stage)"]
          : []),
      ].join("\n")
    case "Wait":
      return [
        `${title} waits for ${step.on.map(Node.title).join(", ")}:`,
        "  it runs only if what they produce differs from what it has seen",
      ].join("\n")
  }
}
