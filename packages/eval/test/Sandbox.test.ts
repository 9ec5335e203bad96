import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { execFileSync } from "node:child_process"
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import * as Limits from "../src/code/Limits.ts"
import * as Sandbox from "../src/code/Sandbox.ts"

class Box extends Context.Service<Box, Sandbox.Sandbox>()("test/Box") {
  static readonly layer = Layer.effect(Box, Sandbox.make)
}

const run = (language: "python" | "javascript", source: string, limits: Partial<Limits.Limits> = {}) =>
  Effect.flatMap(Box, (box) => box.run({ language, source }, { ...Limits.standard, ...limits }))

const processes = () => execFileSync("ps", ["-eo", "comm"], { encoding: "utf8" })

layer(Box.layer)("Sandbox", (it) => {
  it.effect("runs a program and keeps what it prints", () =>
    Effect.gen(function* () {
      const python = yield* run("python", "print('héllo'); import sys; print('err', file=sys.stderr)")
      assert.deepStrictEqual(
        [python.end, python.code, python.stdout, python.stderr],
        ["exit", 0, "héllo\n", "err\n"],
      )
      const script = yield* run("javascript", "console.log(require('node:os').tmpdir().length > 0)")
      assert.deepStrictEqual([script.end, script.code, script.stdout], ["exit", 0, "true\n"])
    }),
  )

  it.effect("tells an error of the program's own from its success", () =>
    Effect.gen(function* () {
      const outcome = yield* run("python", "assert 1 == 2")
      assert.deepStrictEqual([Sandbox.passed(outcome), outcome.code], [false, 1])
      assert.include(outcome.stderr, "AssertionError")
    }),
  )

  for (const [what, language, source] of [
    ["an endless loop", "python", "print('on', flush=True)\nwhile True: pass"],
    ["an endless loop", "javascript", "require('node:fs').writeSync(1, 'on\\n')\nfor (;;) {}"],
    ["endless waiting", "python", "import time\nprint('on', flush=True)\ntime.sleep(3600)"],
    [
      "endless waiting",
      "javascript",
      "require('node:fs').writeSync(1, 'on\\n')\nsetInterval(() => {}, 1000)",
    ],
  ] as const) {
    it.effect(`stops ${what} in ${language}`, () =>
      Effect.gen(function* () {
        // On a busy machine its time may go by before the program begins: it is given more until it has.
        for (let seconds = 0.25; ; seconds *= 2) {
          const outcome = yield* run(language, source, { seconds })
          assert.isFalse(Sandbox.passed(outcome))
          assert.isTrue(outcome.end !== "exit" || outcome.code !== 0)
          if (outcome.stdout === "on\n") break
        }
      }),
    )
  }

  it.effect("contains a fork bomb, and leaves none of its processes", () =>
    Effect.gen(function* () {
      // Its processes bear a name of their own: others run programs at the same time.
      const name = `bomb-${process.pid % 100_000}`
      const rename = `open('/proc/self/comm', 'w').write('${name}')`
      assert.strictEqual(
        (yield* run("python", `${rename}\nprint(open('/proc/self/comm').read())`)).stdout,
        `${name}\n\n`,
      )
      const source = `import posix\n${rename}\nwhile True:\n  try: posix.fork()\n  except OSError: pass`
      const outcome = yield* run("python", source, { seconds: 0.25 })
      assert.isFalse(Sandbox.passed(outcome))
      // The last of them may still be on their way out.
      while (processes().includes(name)) yield* Effect.promise(() => setTimeout(20))
    }),
  )

  it.effect("refuses two gigabytes to Python, and to Node on its heap and outside of it", () =>
    Effect.gen(function* () {
      const python = yield* run("python", "x = bytearray(2 * 1024**3)")
      assert.include(python.stderr, "MemoryError")
      const heap = yield* run("javascript", "const a = []; for (;;) a.push(new Array(1e5).fill(1.5))", {
        seconds: 20,
      })
      assert.isFalse(Sandbox.passed(heap))
      const buffers = yield* run(
        "javascript",
        // It keeps what it has, so that the watchdog sees it however late it looks.
        "const a = []; setInterval(() => { if (a.length < 32) a.push(Buffer.alloc(64 << 20, 1)) }, 1)",
        { seconds: 30 },
      )
      assert.strictEqual(buffers.end, "memory")
    }),
  )

  it.effect("counts the memory of children with their parent's", () =>
    Effect.gen(function* () {
      const source = [
        "import os, posix, time",
        "for i in range(6):",
        "  if posix.fork() == 0:",
        "    x = bytearray(b'1') * (128 * 1024**2); time.sleep(3600); os._exit(0)",
        "time.sleep(3600)",
      ].join("\n")
      assert.strictEqual((yield* run("python", source, { seconds: 30 })).end, "memory")
    }),
  )

  it.effect("has no network, not even a loopback that is up", () =>
    Effect.gen(function* () {
      const out = yield* run(
        "python",
        "import socket\ntry:\n  socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError as e: print(e.errno)",
      )
      assert.strictEqual(out.stdout, "101\n") // ENETUNREACH
      const local = yield* run(
        "javascript",
        "require('node:net').connect(80, '127.0.0.1').on('error', (e) => console.log(e.code))",
      )
      assert.include(["ENETUNREACH\n", "ECONNREFUSED\n", "EADDRNOTAVAIL\n"], local.stdout)
    }),
  )

  it.effect("cannot write a large file, nor fill its directory with small ones", () =>
    Effect.gen(function* () {
      const one = yield* run("python", "f = open('big', 'wb')\nfor _ in range(1024): f.write(b'0' * 2**20)")
      assert.isFalse(Sandbox.passed(one))
      const many = yield* run(
        "python",
        "for i in range(64):\n  with open(f'f{i}', 'wb') as f: f.write(b'0' * 2**20)",
      )
      assert.include(many.stderr, "No space left on device")
    }),
  )

  it.effect("sees no file of the host's but programs and libraries, and can write none of those", () =>
    Effect.gen(function* () {
      const secret = mkdtempSync(join(tmpdir(), "hila-secret-"))
      writeFileSync(join(secret, "key"), "secret", { mode: 0o644 })
      const source = [
        "import os",
        `for p in ['/etc/passwd', '/home', '/var', '/sys', '/box/../etc', '${secret}/key']:`,
        "  if os.path.exists(p): print(p, 'visible')",
        "for p in ['/usr/x', '/x', '/proc/sys/kernel/hostname', '/dev/x']:",
        "  try: open(p, 'w'); print(p, 'written')",
        "  except OSError: pass",
        "print(os.listdir('/old'), end=' ')",
        "print(sum(name.isdigit() for name in os.listdir('/proc')), 'processes')",
      ].join("\n")
      const { stdout } = yield* run("python", source)
      rmSync(secret, { recursive: true })
      assert.match(stdout, /^\[\] [123] processes\n$/)
    }),
  )

  it.effect("keeps the first part of endless output and goes on", () =>
    Effect.gen(function* () {
      const outcome = yield* run("python", "for _ in range(200000): print('x' * 79)", {
        outputKiB: 4,
        seconds: 10,
      })
      assert.strictEqual(outcome.end, "exit")
      assert.strictEqual(outcome.stdout.length, 4096)
    }),
  )

  it.effect("leaves nothing in the host's temporary directory", () =>
    Effect.gen(function* () {
      // A directory of this test's own: others run programs at the same time.
      const [own, before] = [mkdtempSync(join(tmpdir(), "hila-tmp-")), process.env["TMPDIR"]]
      process.env["TMPDIR"] = own
      try {
        assert.strictEqual(tmpdir(), own)
        chmodSync(own, 0o755)
        assert.isTrue(Sandbox.passed(yield* run("python", "pass")))
        assert.deepStrictEqual(readdirSync(own), [])
      } finally {
        if (before === undefined) delete process.env["TMPDIR"]
        else process.env["TMPDIR"] = before
        rmSync(own, { recursive: true })
      }
    }),
  )

  it("is refused in one line where a namespace cannot be had", () => {
    const here = fileURLToPath(new URL("support/sandbox-here.ts", import.meta.url))
    const node = [process.execPath, "--conditions=@hila/source", here]
    const limit = 'echo 0 > /proc/sys/user/max_mnt_namespaces && exec "$@"'
    const said = execFileSync("unshare", ["--user", "--map-root-user", "sh", "-c", limit, "sh", ...node], {
      encoding: "utf8",
    })
    assert.match(
      said,
      /^input: code execution: the sandbox cannot be had on this system: unshare: .*; nothing was run\n$/,
    )
  })
})
