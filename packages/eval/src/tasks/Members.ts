/**
 * Members of groups: names and what is said of them, tasks and groups written out, down to the tasks.
 *
 * What a group says beside its own keys is said of all its tasks, as what stands beside a member's name is of that
 * member. What is written out within a group and has no file of its own is called `group::name`, as in the harness.
 */
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import { TaskError } from "../EvalError.ts"
import type { GroupEntry, Selection, TaskEntry } from "./Catalog.ts"
import * as TaskConfig from "./TaskConfig.ts"

/** What a file holds, or a group's member that is written out, unchecked. */
export interface Content {
  readonly _tag: "Task" | "Group"
  readonly name: string
  readonly file: string
  readonly raw: TaskConfig.Raw
}

/** What a name stands for: content, or the tasks of a tag. */
export type Resolve = (name: string, asker: string) => Effect.Effect<ReadonlyArray<Content>, TaskError>

/** Tasks and groups from names. */
export const select = Effect.fnUntraced(function* (
  names: ReadonlyArray<string>,
  resolve: Resolve,
): Effect.fn.Return<Selection, TaskError> {
  const tasks = new Map<string, TaskEntry>()
  const groups = new Map<string, GroupEntry>()

  const addTask = Effect.fnUntraced(function* ({ file, name, raw }: Content, overrides: TaskConfig.Raw) {
    const config = yield* TaskConfig.decodeTask({ ...raw, ...overrides, task: name }, file)
    const other = tasks.get(name)
    if (other !== undefined && !isDeepStrictEqual(other.config, config)) {
      const problem = `${name} is asked for twice with other settings; give one of the two a name of its own, or run them apart`
      return yield* new TaskError({ file, key: "task", problem })
    }
    tasks.set(name, { _tag: "Task", name, file, config })
    return name
  })

  const add = Effect.fnUntraced(function* (
    content: Content,
    overrides: TaskConfig.Raw,
    above: ReadonlyArray<string>,
  ): Effect.fn.Return<string, TaskError> {
    const { _tag, file, name, raw } = content
    if (_tag === "Task") return yield* addTask(content, overrides)
    if (above.includes(name)) {
      return yield* new TaskError({ file, key: "task", problem: `goes in a circle through ${name}` })
    }
    const group = yield* TaskConfig.decodeGroup(raw, file)
    const said = { ...group.overrides, ...overrides }
    const members: Array<string> = []
    for (const member of group.config.task) {
      for (const [found, own] of yield* memberOf(member, content, said)) {
        members.push(yield* add(found, own, [...above, name]))
      }
    }
    groups.set(name, { _tag, name, file, config: group.config, members })
    return name
  })

  /** What one member of a group stands for, with what is said of it. */
  const memberOf = Effect.fnUntraced(function* (
    member: string | TaskConfig.Raw,
    { file, name: above }: Content,
    said: TaskConfig.Raw,
  ): Effect.fn.Return<ReadonlyArray<readonly [Content, TaskConfig.Raw]>, TaskError> {
    const withAll = (found: ReadonlyArray<Content>, own: TaskConfig.Raw) =>
      found.map((content) => [content, own] as const)
    if (typeof member === "string") return withAll(yield* resolve(member, file), said)
    const { group, ...ofGroup } = member
    const { task, ...ofTask } = member
    const name = group ?? task
    if (typeof name !== "string") {
      return yield* new TaskError({
        file,
        key: "task",
        problem: "a member that is written out needs task: or group: with its name",
      })
    }
    // Written out in full it needs no file; with a name that there is, it says more of that.
    const whole =
      group === undefined ? "dataset_path" in member || "include" in member : Array.isArray(ofGroup["task"])
    const known = yield* whole ? Effect.orElseSucceed(resolve(name, file), () => []) : resolve(name, file)
    const [first] = known
    const own = Object.fromEntries(
      Object.entries(group === undefined ? ofTask : ofGroup).filter(
        ([key]) => first?._tag !== "Group" || !TaskConfig.groupKeys.includes(key),
      ),
    )
    if (first !== undefined) return withAll(known, { ...said, ...own })
    const inline = { name: `${above}::${name}`, file }
    return group === undefined
      ? [[{ ...inline, _tag: "Task", raw: ofTask }, said]]
      : [[{ ...inline, _tag: "Group", raw: { ...member, group: inline.name } }, said]]
  })

  for (const name of names) {
    for (const content of yield* resolve(name, "tasks")) yield* add(content, {}, [])
  }
  return { tasks: [...tasks.values()], groups: [...groups.values()] }
})
