/**
 * The stacks of layers that a model is made of, and what belongs to each: text, vision, encoder, decoder.
 *
 * By tensor names alone. Layers that lie in one place are a stack; tensors below that place's own prefix, which no other
 * stack shares, belong to it, too. A model of one stack is one module, `default`, whatever else it has; of several, each
 * stack is a module that recipes name, and so are parts without layers. What joins pictures to the text is a module also
 * where it lies inside the tower.
 */
import { at, atOr, entry, entryOr } from "@hila/core/Lookup"
import * as TensorName from "../names/TensorName.ts"
import * as Role from "./Role.ts"

/** A part of a model. */
export interface Module {
  /** As recipes call it. */
  readonly name: string
  readonly role: Role.Role
  /** What its layers lie in, `model.layers`; undefined for a part without layers. */
  readonly container: string | undefined
  /** How many layers there are tensors of. */
  readonly stored: number
}

/** A model as its modules. */
export interface Stacks {
  /** In the order in which the tensors name them. */
  readonly modules: ReadonlyArray<Module>
  /** The module of one of the model's tensors. */
  readonly moduleOf: (tensor: string) => Module
  /** The layer of a tensor in its module's stack, if it has one. */
  readonly layerOf: (tensor: string) => TensorName.InLayer | undefined
}

/** What the first layer of a stack holds for all of them: T5's table of distances, the norm before RWKV's layers. */
const ofFirst = /\.0\.(?:.*\.)?(?:(?:global_)?relative_attention_bias|pre_ln|ln0)\.(?:weight|bias)$/

/** The layer of each tensor; one that the first layer alone has, for the whole stack, is in no layer. */
const layersIn = (names: ReadonlyArray<string>) => {
  const known = new Set(names)
  return (name: string): TensorName.InLayer | undefined => {
    const found = TensorName.layerOf(name)
    return found?.layer === 0 && ofFirst.test(name) && !known.has(`${found.before}.1.${found.after}`)
      ? undefined
      : found
  }
}

/** The stacks of a model with these tensors. */
export const of = (names: Iterable<string>): Stacks => {
  const all = [...names]
  const layerIn = layersIn(all)
  const depths = new Map<string, number>()
  for (const name of all) {
    const found = TensorName.layerOf(name)
    if (found === undefined) continue
    depths.set(found.before, Math.max(entryOr(depths, found.before, 0), found.layer + 1))
  }
  if (depths.size < 2) {
    const [[container, stored] = [undefined, 0]] = depths
    const only: Module = { name: "default", role: "text", container, stored }
    return { modules: [only], moduleOf: () => only, layerOf: layerIn }
  }
  const roles = rolesOf([...depths.keys()])
  const scopes = new Map([...depths.keys()].map((container) => [container, scopeOf(container, depths)]))
  const parts = new Map<string, Role.Role>()
  for (const name of all) {
    const key = keyOf(name, roles, scopes)
    if (!parts.has(key)) parts.set(key, roles.get(key) ?? Role.of([key]))
  }
  const isNamed = (key: string, role: Role.Role) => depths.has(key) || role === "projector"
  const called = (key: string, role: Role.Role) => {
    const alone = [...parts].filter(([other, its]) => its === role && isNamed(other, its)).length === 1
    return alone && isNamed(key, role) && role !== "draft"
      ? at(Role.names[role], 0)
      : (scopes.get(key) ?? key).replace(/\.$/, "")
  }
  const modules = new Map(
    [...parts].map(([key, role]) => {
      const stored = depths.get(key)
      const container = stored === undefined ? undefined : key
      return [key, { name: called(key, role), role, container, stored: stored ?? 0 } satisfies Module]
    }),
  )
  const moduleOf = (name: string) => entry(modules, keyOf(name, roles, scopes))
  return {
    modules: [...modules.values()],
    moduleOf,
    layerOf: (name) => {
      const found = layerIn(name)
      return found?.before === moduleOf(name).container ? found : undefined
    },
  }
}

/** The roles of several stacks by what they lie in; what is no picture and no sound is text, or a pair's half. */
const rolesOf = (containers: ReadonlyArray<string>): ReadonlyMap<string, Role.Role> => {
  const roles = new Map(containers.map((container) => [container, Role.of(container.split("."))]))
  const rest = containers.filter((container) => roles.get(container) === "text")
  const halves = rest.map((container) => Role.halfOf(container.split(".")))
  if (halves.includes("encoder") && halves.includes("decoder")) {
    for (const [index, container] of rest.entries()) roles.set(container, atOr(halves, index, "text"))
  }
  return roles
}

/** The longest way up from a stack's layers that no other stack lies in: `language_model.` of `language_model.model.layers`. */
const scopeOf = (container: string, depths: ReadonlyMap<string, number>): string => {
  const steps = container.split(".").slice(0, -1)
  let scope = steps.join(".")
  for (let length = steps.length - 1; length > 0; length--) {
    const wider = steps.slice(0, length).join(".")
    if ([...depths.keys()].some((other) => other !== container && `${other}.`.startsWith(`${wider}.`))) break
    scope = wider
  }
  return scope === "" ? "" : `${scope}.`
}

/** What a tensor's module is known by: the place of its stack's layers, or the first step of its name. */
const keyOf = (
  name: string,
  roles: ReadonlyMap<string, Role.Role>,
  scopes: ReadonlyMap<string, string>,
): string => {
  const before = TensorName.layerOf(name)?.before
  if (before !== undefined && scopes.has(before)) return before
  const inside = [...scopes].filter(([, scope]) => name.startsWith(scope))
  const nearest = inside.toSorted(([, a], [, b]) => b.length - a.length)[0]
  const rest = name.slice(nearest?.[1].length ?? 0).split(".")
  const joining = [...roles].find(([, role]) => role === "projector")?.[0] ?? "multi_modal_projector"
  if (Role.isConnector(at(rest, 0)) || (nearest === undefined && rest.some(Role.isConnector))) return joining
  if (nearest !== undefined && nearest[1] !== "") return nearest[0]
  const speaking = [...roles].find(([, role]) => role === "text" || role === "decoder")?.[0]
  if (TensorName.isHead(name) && speaking !== undefined) return speaking
  if (nearest !== undefined) return nearest[0]
  return at(rest, rest[0] === "model" && rest.length > 2 ? 1 : 0)
}

/** The module that a recipe means, by its name, another name for its role, or the place of its tensors. */
export const find = (modules: ReadonlyArray<Module>, name: string): Module | undefined => {
  const exact = modules.find((module) => module.name === name)
  if (exact !== undefined) return exact
  const alike = modules.filter(({ role }) => Role.names[role].includes(name))
  return alike.length === 1
    ? alike[0]
    : modules.find(({ container }) => container === name || container?.startsWith(`${name}.`) === true)
}

/** The one stack that ranges of layers are of where a recipe names none: the only one, or the text's. */
export const main = (modules: ReadonlyArray<Module>): Module | undefined => {
  const stacks = modules.filter(({ container }) => container !== undefined)
  const text = stacks.filter(({ role }) => role === "text")
  const [first] = text.length > 0 ? text : stacks
  return text.length > 1 || (text.length === 0 && stacks.length > 1) ? undefined : (first ?? modules[0])
}

/** The modules in words: `text_decoder (4 layers), multi_modal_projector`. */
export const listed = (modules: ReadonlyArray<Module>): string =>
  modules
    .map(({ container, name, stored }) => (container === undefined ? name : `${name} (${stored} layers)`))
    .join(", ")
