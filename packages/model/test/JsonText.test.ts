/** JSON files of the user's: read as Python reads them, changed without another byte. */
import { describe, expect, it } from "@effect/vitest"
import { JsonText } from "@hila/model"
import * as Result from "effect/Result"

const config = `{
  "architectures": ["Gemma2ForCausalLM"],
  "attn_logit_softcapping": 50.0,
  "hidden_size": 16,
  "initializer_range": 2e-02,
  "layer_types": [
    "full_attention",
    "sliding_attention"
  ],
  "name": "caf\\u00e9 \\"quoted\\" \\\\",
  "rms_norm_eps": 1e-05,
  "rope_parameters": {
    "10": 1.0,
    "2": 9007199254740993
  },
  "time_step_limit": [
    0.0,
    Infinity
  ],
  "vocab_size": 256,
  "worst": -Infinity,
  "nothing": NaN
}
`

const valueOf = (text: string) => Result.getOrThrow(JsonText.read(text))

describe("a JSON text is read as Python reads it", () => {
  it("with numbers that are not finite, wherever they stand (15-infinity-in-config)", () => {
    expect(valueOf(config)).toMatchObject({
      time_step_limit: [0, Infinity],
      worst: -Infinity,
      nothing: Number.NaN,
      name: 'café "quoted" \\',
    })
    expect(valueOf(" NaN ")).toBeNaN()
    expect(valueOf('["NaN", "say \\"Infinity\\"", [-Infinity]]')).toEqual([
      "NaN",
      'say "Infinity"',
      [-Infinity],
    ])
  })

  it("with the last of repeated keys, and __proto__ as a key like others", () => {
    expect(valueOf('{"a": NaN, "b": 1, "a": 2}')).toEqual({ a: 2, b: 1 })
    for (const text of ['{"__proto__": {"a": 1}}', '{"__proto__": {"a": 1}, "b": NaN}']) {
      const value = valueOf(text)
      expect(Object.keys(Object(value))).toContain("__proto__")
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    }
  })

  it.each([
    ['{"a": 1,}', 'line 1, column 9: expected a key in quotes, got "}"'],
    ['{"a": nan}', "line 1, column 7: expected a value, got nan"],
    ['{\n  "a": NaN,\n  "b" 2}', 'line 3, column 7: expected a colon, got "2"'],
    ['{"a": [NaN, 1}', 'line 1, column 14: expected a comma or ], got "}"'],
    ['{"a": NaN', "line 1, column 10: expected a comma or }, got the end of the text"],
    ['{"a": +Infinity}', "line 1, column 7: expected a value, got +Infinity"],
    ['{"a": 01}', "line 1, column 7: expected a value, got 01"],
    ['{"a": NaN} {}', "line 1, column 12: expected nothing more"],
    ['{"a": "cut off', 'line 1, column 7: expected a value, got "cut off'],
    ["", "line 1, column 1: expected a value, got the end of the text"],
    ["<html>", "line 1, column 1: expected a value, got <html>"],
  ])("and what is no JSON is told with its place: %s", (text, problem) => {
    expect(JsonText.read(text)).toEqual(Result.fail(problem))
  })

  it("to a bounded depth", () => {
    const nested = (depth: number, leaf: string) => "[".repeat(depth) + leaf + "]".repeat(depth)
    expect(Result.isSuccess(JsonText.read(nested(500, "NaN")))).toBe(true)
    for (const leaf of ["1", "NaN"])
      expect(JsonText.read(nested(1e5, leaf))).toEqual(
        Result.fail("100000 levels deep, at most 500 are read"),
      )
    expect(Result.isFailure(JsonText.read("[".repeat(400)))).toBe(true)
  })
})

describe("a change of a JSON text keeps every other byte", () => {
  it("of a value that is there", () => {
    expect(JsonText.set(config, ["vocab_size"], 320)).toBe(config.replace("256", "320"))
    expect(JsonText.set(config, ["worst"], Number.NaN)).toBe(config.replace("-Infinity", "NaN"))
    expect(JsonText.set(config, ["rope_parameters", "10"], -0.5)).toBe(config.replace("1.0", "-0.5"))
    expect(JsonText.set(config, ["time_step_limit", 1], Number.NEGATIVE_INFINITY)).toBe(
      config.replace(" Infinity", " -Infinity"),
    )
  })

  it("of a list, on as many lines as it had", () => {
    expect(JsonText.set(config, ["architectures"], ["A", "B"])).toBe(
      config.replace('["Gemma2ForCausalLM"]', '["A", "B"]'),
    )
    expect(JsonText.set(config, ["layer_types"], ["full_attention"])).toBe(
      config.replace(/,\n\s+"sliding_attention"/, ""),
    )
    expect(JsonText.set(config, ["layer_types"], [])).toBe(config.replace(/\[\n {4}"full[^\]]+\]/, "[]"))
  })

  it("by a new key at the end of its object, laid out as the others", () => {
    expect(JsonText.set(config, ["torch_dtype"], "float16")).toBe(
      config.replace("NaN\n", 'NaN,\n  "torch_dtype": "float16"\n'),
    )
    expect(JsonText.set(config, ["rope_parameters", "x"], { a: [1], b: {} })).toBe(
      config.replace(
        "740993\n",
        '740993,\n    "x": {\n      "a": [\n        1\n      ],\n      "b": {}\n    }\n',
      ),
    )
    expect(JsonText.set("{}", ["a"], 1)).toBe('{\n  "a": 1\n}')
    expect(JsonText.set('{"a":{}}', ["a", "b"], [1, 2])).toBe('{"a":{"b":[1,2]}}')
    expect(JsonText.set('{"a": 1}', ["b"], { c: 2 })).toBe('{"a": 1, "b": {"c": 2}}')
    expect(JsonText.set('{\r\n\t"a" : {}\r\n}', ["a", "b"], 1)).toBe(
      '{\r\n\t"a" : {\r\n\t\t"b" : 1\r\n\t}\r\n}',
    )
  })

  it("of the key that counts where it stands twice", () => {
    const text = '{"a": 1.0, "b": 2, "a": 3}'
    expect(JsonText.set(text, ["a"], 4)).toBe('{"a": 1.0, "b": 2, "a": 4}')
    expect(JsonText.remove(text, ["a"])).toBe('{"b": 2}')
    expect(JsonText.set('{"\\u0061": 1}', ["a"], 2)).toBe('{"\\u0061": 2}')
  })

  it("by removing a key or an element, first, last or only one", () => {
    expect(JsonText.remove(config, ["architectures"])).toBe(config.replace(/ {2}"arch.*\n/, ""))
    expect(JsonText.remove(config, ["nothing"])).toBe(config.replace(',\n  "nothing": NaN', ""))
    expect(JsonText.remove(config, ["time_step_limit", 0])).toBe(config.replace(/ {4}0\.0,\n/, ""))
    expect(JsonText.remove('{"a": [1]}', ["a", 0])).toBe('{"a": []}')
    expect(JsonText.remove(config, ["absent"])).toBe(config)
  })

  it("by elements and members at the end", () => {
    expect(JsonText.append(config, ["layer_types"], ["a", "b"])).toBe(
      config.replace('"sliding_attention"', '"sliding_attention",\n    "a",\n    "b"'),
    )
    const merges = '{\n  "merges": [\n    ["a", "b"]\n  ],\n  "vocab": {\n    "a": 0\n  }\n}'
    expect(JsonText.append(merges, ["merges"], [["c", "d"]])).toBe(
      merges.replace('["a", "b"]', '["a", "b"],\n    ["c", "d"]'),
    )
    expect(
      JsonText.extend(
        merges,
        ["vocab"],
        [
          ["__proto__", 1],
          ['"', 2],
        ],
      ),
    ).toBe(merges.replace("0\n", '0,\n    "__proto__": 1,\n    "\\"": 2\n'))
    expect(JsonText.append('{"a":[]}', ["a"], [1, "x"])).toBe('{"a":[1,"x"]}')
    expect(JsonText.append(merges, ["merges"], [])).toBe(merges)
  })

  it("and a path that does not fit the text is a defect", () => {
    expect(() => JsonText.set(config, ["vocab_size", "x"], 1)).toThrow("no x in the JSON value at vocab_size")
    expect(() => JsonText.set(config, ["layer_types", 2], 1)).toThrow("no JSON value at layer_types.2")
    expect(() => JsonText.set(config, ["text_config", "x"], 1)).toThrow("no JSON value at text_config")
  })
})

/** Repeatable choices below a bound. */
const choices = (seed: number) => {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** A value as a text of Python's in some layout, and the paths to everything in it. */
const made = (
  choose: (below: number) => number,
  path: JsonText.Path = [],
): [string, Array<JsonText.Path>] => {
  const kind = path.length === 0 ? 4 : choose(path.length > 3 ? 4 : 6)
  if (kind < 4) return [["NaN", "-Infinity", "30.0", '"a\\"b{[,"'][choose(4)] ?? "", [path]]
  const space = ["", " ", "\n    ", "\r\n\t"][choose(4)] ?? ""
  const paths: Array<JsonText.Path> = [path]
  const items = Array.from({ length: choose(4) }, (_, index) => {
    const step = kind === 4 ? `k${index}` : index
    const [text, inner] = made(choose, [...path, step])
    paths.push(...inner)
    return `${space}${kind === 4 ? `"${step}"${space}: ` : ""}${text}`
  })
  const [open, close] = kind === 4 ? ["{", "}"] : ["[", "]"]
  return [`${open}${items.join(",")}${space}${close}`, paths]
}

/** What `set` does, on values. */
const setValue = (value: unknown, [step, ...rest]: JsonText.Path, to: unknown): unknown => {
  if (step === undefined) return to
  if (Array.isArray(value)) return value.map((each, i) => (i === step ? setValue(each, rest, to) : each))
  const object = new Map<string, unknown>(Object.entries(Object(value)))
  return Object.fromEntries(object.set(String(step), setValue(object.get(String(step)), rest, to)))
}

describe("on texts of every layout", () => {
  it("a changed value is read back, and what is before and after it is as it was", () => {
    let changes = 0
    for (let seed = 0; seed < 200; seed++) {
      const [text, paths] = made(choices(seed))
      for (const path of paths) {
        for (const to of [7, { a: [1, {}], b: "x" }]) {
          const changed = JsonText.set(text, path, to)
          expect(valueOf(changed)).toEqual(setValue(valueOf(text), path, to))
          // Putting the old bytes back in place of the new ones gives the old text.
          const back = JsonText.set(changed, path, 0)
          expect(back).toBe(JsonText.set(text, path, 0))
          changes++
        }
      }
    }
    expect(changes).toBeGreaterThan(1000)
  })

  it("a key that is added and removed leaves no trace", () => {
    for (let seed = 0; seed < 200; seed++) {
      const [text, paths] = made(choices(seed))
      for (const path of paths) {
        const parent = path.reduce((value: unknown, step) => Object(value)[step], valueOf(text))
        if (typeof parent !== "object" || parent === null) continue
        const added = { a: 1 }
        const step = Array.isArray(parent) ? parent.length : "added"
        const longer = Array.isArray(parent)
          ? JsonText.append(text, path, [added])
          : JsonText.set(text, [...path, step], added)
        const grown = Array.isArray(parent) ? [...parent, added] : { ...parent, added }
        expect(valueOf(longer)).toEqual(setValue(valueOf(text), path, grown))
        // In what was empty, the layout of nothing is lost.
        const shorter = JsonText.remove(longer, [...path, step])
        const wanted = Object.keys(parent).length > 0 ? text : JsonText.set(text, path, parent)
        expect(shorter).toBe(wanted)
      }
    }
  })
})
