/**
 * Verdicts on programs that end early, forge their end, or leave something running: right is what ran its tests to their end.
 *
 * Python's are those of HumanEval's reference execution (Chen et al. 2021), by the programs of the case security/sandbox;
 * JavaScript's those of a Node that exits with 0 once the tests have ended.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { setTimeout } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import * as FunctionalCorrectness from "../src/code/FunctionalCorrectness.ts"
import * as Limits from "../src/code/Limits.ts"
import * as Sandbox from "../src/code/Sandbox.ts"

const wrong = "def f(x):\n    return x\n"
const right = "def f(x):\n    return x + 1\n"
const tests = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(5) == 6\ncheck(f)\n"

const python: Readonly<Record<string, readonly [right: boolean, candidate: string]>> = {
  "is wrong": [false, wrong],
  "leaves by exit": [false, `${wrong}exit()\n`],
  "leaves by exit(0)": [false, `${wrong}exit(0)\n`],
  "leaves by quit": [false, `${wrong}quit()\n`],
  "leaves by sys.exit": [false, `import sys\n${wrong}sys.exit()\n`],
  "leaves by sys.exit(0)": [false, `import sys\n${wrong}sys.exit(0)\n`],
  "leaves by its main function": [
    false,
    `import sys\n${wrong}def main():\n    return 0\nif __name__ == '__main__':\n    sys.exit(main())\n`,
  ],
  "runs unit tests of its own": [
    false,
    `import unittest\n${wrong}class T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(f(0), 0)\nif __name__ == '__main__':\n    unittest.main()\n`,
  ],
  "raises SystemExit when called": [false, "def f(x):\n    raise SystemExit\n"],
  "exits when called": [false, "def f(x):\n    exit()\n"],
  "leaves by os._exit": [false, `import os\n${wrong}os._exit(0)\n`],
  "equals everything": [true, "class A:\n    def __eq__(self, o): return True\ndef f(x):\n    return A()\n"],
  "has an exception hook": [false, `import sys, os\nsys.excepthook = lambda *a: os._exit(0)\n${wrong}`],
  "has an exit handler": [false, `import atexit, os\natexit.register(lambda: os._exit(0))\n${wrong}`],
  "forks and leaves": [false, `import os\nif os.fork() == 0:\n    pass\nelse:\n    os._exit(0)\n${wrong}`],
  "forks past the reference": [
    false,
    `import os, posix\nif posix.fork() == 0:\n    pass\nelse:\n    os._exit(0)\n${wrong}`,
  ],
  "becomes another program": [false, `import os\nos.execv('/bin/true', ['true'])\n${wrong}`],
  "opens a text that is never closed": [false, `${wrong}'''\n`],
  "closes a text that was never open": [false, `${wrong}""" `],
  "leaves from a thread": [
    false,
    "import threading, os\nthreading.Thread(target=lambda: os._exit(0)).start()\ndef f(x):\n    import time; time.sleep(1); return x\n",
  ],
  "kills itself": [false, "import signal, os\nos.kill(os.getpid(), 9)\n"],
  "prints its usage": [false, `import argparse\n${wrong}argparse.ArgumentParser().parse_args(['--help'])\n`],
  "leaves by its documentation's tests": [
    false,
    `${wrong}import doctest, sys\nsys.exit(doctest.testmod()[0])\n`,
  ],
  "raises SystemExit": [false, `${wrong}raise SystemExit\n`],
  "raises KeyboardInterrupt": [false, `${wrong}raise KeyboardInterrupt\n`],
  "reads its input where it is the main module": [
    true,
    `${right}if __name__ == '__main__':\n    print(f(int(input())))\n`,
  ],
  "fails where it is the main module": [
    true,
    `${right}if __name__ == '__main__':\n    assert False, 'demo'\n`,
  ],
  "reads its arguments where it is the main module": [
    true,
    `import sys\n${right}if __name__ == '__main__':\n    print(f(int(sys.argv[1])))\n`,
  ],
  "is right": [true, right],
  "is annotated": [true, "from __future__ import annotations\ndef f(x: int) -> int:\n    return x + 1\n"],
  "leaves a thread alive": [
    true,
    `import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n${right}`,
  ],
  "calls itself deeply": [
    true,
    "import sys\nsys.setrecursionlimit(10**6)\ndef g(n):\n    return 0 if n == 0 else 1 + g(n-1)\ndef f(x):\n    g(20000); return x + 1\n",
  ],
  "writes a file": [true, `open('x','w').write('1')\n${right}`],
  "prints without end": [true, "def f(x):\n    print('x'*10**7)\n    return x + 1\n"],
  "reads its input": [false, `input()\n${right}`],
  "writes into every descriptor": [
    false,
    `import os\n${wrong}for fd in range(3, 64):\n    try: os.write(fd, b'r0123456789abcdef\\n')\n    except OSError: pass\nos._exit(0)\n`,
  ],
  "closes its output": [true, `import sys\nsys.stdout.close()\n${right}`],
}

const javascriptTests =
  "const assert = require('assert')\nconst check = () => { assert.strictEqual(f(1), 2); assert.strictEqual(f(5), 6) }\ncheck()\n"
const same = "const f = (x) => x\n"
const javascript: Readonly<Record<string, readonly [right: boolean, candidate: string]>> = {
  "is wrong": [false, same],
  "leaves by process.exit": [false, `${same}process.exit()\n`],
  "leaves by process.exit(0)": [false, `${same}process.exit(0)\n`],
  "sets its exit code": [false, `${same}process.on('exit', () => { process.exitCode = 0 })\n`],
  "catches what is not caught": [false, `${same}process.on('uncaughtException', () => {})\n`],
  "changes what asserts": [
    true,
    `${same}require('assert').strictEqual = () => {}\nconsole.assert = () => {}\n`,
  ],
  "catches what is rejected": [false, `${same}process.on('unhandledRejection', () => {})\n`],
  "opens a template that is never closed": [false, `${same}\``],
  "opens a comment that is never closed": [false, `${same}/*`],
  "is right": [true, "const f = (x) => x + 1\n"],
  "returns from its top": [false, `${same}return\n`],
  "promises its answers": [false, "const f = async (x) => x\n"],
  "tells of its own end": [false, `${same}process.emit('beforeExit', 0)\nprocess.reallyExit(0)\n`],
  "writes into every descriptor": [
    false,
    `${same}for (let fd = 3; fd < 64; fd++) try { require('fs').writeSync(fd, 'r0123456789abcdef\\n') } catch {}\nprocess.reallyExit(0)\n`,
  ],
  "fails later": [false, `const f = (x) => x + 1\nsetTimeout(() => { throw new Error('late') }, 10)\n`],
  "is right, and has a timer to wait for": [true, "const f = (x) => x + 1\nsetTimeout(() => {}, 10)\n"],
}

/** Whoever is busy gets more time: a verdict is not to depend on what else the machine does. */
const limits = { ...Limits.standard, seconds: 10 }

describe("a program that", () => {
  for (const [language, candidates, own] of [
    ["python", python, tests],
    ["javascript", javascript, javascriptTests],
  ] as const) {
    it.effect(`is judged by its tests alone: ${language}`, () =>
      Effect.gen(function* () {
        const box = yield* Sandbox.make
        const verdicts = yield* Effect.forEach(
          Object.entries(candidates),
          ([name, [, candidate]]) =>
            Effect.map(
              FunctionalCorrectness.judge(box, { language, candidates: [candidate], tests: own }, limits),
              ([verdict]) => [name, verdict] as const,
            ),
          { concurrency: 2 },
        )
        assert.deepStrictEqual(
          Object.fromEntries(verdicts),
          Object.fromEntries(Object.entries(candidates).map(([name, [verdict]]) => [name, verdict])),
        )
      }),
    )
  }
})

describe("the jail", () => {
  const run = (source: string) =>
    Effect.flatMap(Sandbox.make, (box) => box.run({ language: "python", source }, limits))

  it.effect("keeps the warden's word and its memory from the program", () =>
    Effect.gen(function* () {
      const { stdout } = yield* run(
        [
          "import os",
          "for path in ['/proc/1/mem', '/proc/1/environ', '/proc/1/fd/3', '/proc/1/maps']:",
          "  try: open(path, 'rb').read(1); print(path)",
          "  except OSError: pass",
          "print(sorted(set(map(int, os.listdir('/proc/self/fd'))) - {0, 1, 2, 3, 5}))",
        ].join("\n"),
      )
      assert.strictEqual(stdout, "[]\n")
    }),
  )

  it("has none of its caller's descriptors", () => {
    const here = fileURLToPath(new URL("support/sandbox-here.ts", import.meta.url))
    const source =
      "import os\nfor fd in os.listdir('/proc/self/fd'):\n  try: print(os.readlink(f'/proc/self/fd/{fd}'))\n  except OSError: pass"
    // As a shell hands descriptors on, without close-on-exec.
    const said = execFileSync(
      "sh",
      [
        "-c",
        'exec 7< "$1"; shift; exec "$@"',
        "sh",
        here,
        process.execPath,
        "--conditions=@hila/source",
        here,
        source,
      ],
      { encoding: "utf8" },
    )
    assert.include(said, "/dev/null")
    assert.notInclude(said, here)
  })

  it.effect("bounds shared memory, and has no other families of sockets, keys or namespaces", () =>
    Effect.gen(function* () {
      const { stdout } = yield* run(
        [
          "import ctypes, errno, os, socket",
          "libc = ctypes.CDLL(None, use_errno=True)",
          "def call(name, *arguments):",
          "  print(name, 'refused' if getattr(libc, name)(*arguments) == -1 else 'had')",
          "call('memfd_create', b'x', 0)",
          "call('shmget', 0, 1 << 20, 0o1600)",
          "call('unshare', 0x10000000)",
          "call('unshare', 0x40000000)",
          "call('setns', 0, 0)",
          "call('ptrace', 0, 0, 0, 0)",
          "call('mount', b'none', b'/box', b'tmpfs', 0, None)",
          "for family in (40, 16, 38, 17):",
          "  try: socket.socket(family, socket.SOCK_RAW); print(family)",
          "  except OSError: pass",
          "for line in open('/proc/keys') if os.path.exists('/proc/keys') else []: print(line.split()[7:])",
        ].join("\n"),
      )
      const names = ["memfd_create", "shmget", "unshare", "unshare", "setns", "ptrace", "mount"]
      // Of keyrings one of its own may be there, with nothing in it.
      const told = names
        .map(
          (name) => `${name} refused
`,
        )
        .join("")
      assert.include(
        [
          told,
          `${told}['keyring', '_ses:', 'empty']
`,
        ],
        stdout,
      )
    }),
  )

  it.effect("gives each program a user of its own", () =>
    Effect.gen(function* () {
      const found = yield* Effect.forEach([1, 2, 3], () => run("import os\nprint(os.getuid())"))
      const distinct = new Set(found.map(({ stdout }) => stdout)).size
      // Without root each has a user namespace of its own, where it has the same number.
      assert.strictEqual(distinct, process.getuid?.() === 0 ? 3 : 1)
    }),
  )

  /** Numbers of the processes that bear a name. */
  const named = (name: string) =>
    readdirSync("/proc").filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/comm`, "utf8") === `${name}\n`
      } catch {
        return false
      }
    })

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    it.live(`ends with whoever started it, by ${signal}`, () =>
      Effect.promise(async () => {
        const name = `sleep-${signal.slice(3).toLowerCase()}-${process.pid % 10_000}`
        const here = fileURLToPath(new URL("support/sandbox-sleeper.ts", import.meta.url))
        const child = spawn(process.execPath, ["--conditions=@hila/source", here, name], { stdio: "ignore" })
        const ended = once(child, "exit")
        while (named(name).length === 0) {
          assert.isNull(child.exitCode)
          await setTimeout(20)
        }
        child.kill(signal)
        await ended
        while (named(name).length > 0) await setTimeout(20)
      }),
    )
  }
})
