/**
 * How a JavaScript program is run: as a script in Node with CommonJS's names, told of by its token once it has ended.
 *
 * It has ended when its text ran to the end, nothing is left to wait for, and Node would exit with 0. A script, unlike a
 * CommonJS module, cannot return from its top level before the tests behind it. What the program may change of Node
 * (process.exit, listeners, fs) has no part in it: functions are taken before it begins.
 */
import { descriptors } from "./Warden.ts"

export const source = `
"use strict"
const fs = require("node:fs")
const vm = require("node:vm")
const { createRequire } = require("node:module")
const { readFileSync, writeSync } = fs
const leave = process.reallyExit.bind(process)
const token = readFileSync(${descriptors.token}, "utf8")
fs.closeSync(${descriptors.token})
const [, , path] = process.argv
process.argv.splice(1, 2, path)
const text = readFileSync(path, "utf8")
let ended = false
let failed = false
const fail = () => { failed = true }
process.on("uncaughtExceptionMonitor", fail)
process.on("beforeExit", (code) => {
  if (ended && !failed && code === 0) writeSync(${descriptors.report}, token)
})
const fault = (error) => {
  failed = true
  try {
    writeSync(2, String((error && error.stack) || error) + "\\n")
  } catch {}
  leave(1)
}
const names = { require: createRequire(path), module: { exports: {} }, __filename: path, __dirname: "/box" }
for (const [name, value] of Object.entries({ ...names, exports: names.module.exports }))
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true })
try {
  new vm.Script(text, { filename: path, importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER }).runInThisContext()
  ended = true
} catch (error) {
  fault(error)
}
`
