import { assert, describe, it } from "@effect/vitest"
import * as PythonRandom from "../src/tasks/PythonRandom.ts"

const range = (n: number) => Array.from({ length: n }, (_, i) => i)

// python3 -c "import random; r = random.Random(seed); print(r.random(), r.random(), r.getrandbits(7),
//   r.sample(range(10), 4), r.sample(range(1000), 8), r.sample(range(60), 6), r.sample(range(21), 5))"
const recorded = [
  {
    seed: 0,
    numbers: [0.8444218515250481, 0.7579544029403025, 53],
    samples: [
      [10, [0, 4, 7, 3]],
      [40, [19, 30, 22]],
      [1000, [597, 913, 929, 223, 516, 142, 288, 143]],
      [60, [48, 6, 39, 51, 16, 34]],
      [21, [19, 4, 9, 3, 2]],
    ],
  },
  {
    seed: 1234,
    numbers: [0.9664535356921388, 0.4407325991753527, 0],
    samples: [
      [10, [1, 0, 9, 8]],
      [40, [22, 15, 1]],
      [1000, [31, 807, 16, 354, 663, 638, 495, 630]],
      [60, [29, 9, 5, 11, 45, 7]],
      [21, [0, 16, 15, 7, 2]],
    ],
  },
  {
    seed: 2 ** 40 + 5,
    numbers: [0.5043802970418443, 0.2686044399723282, 118],
    samples: [
      [10, [0, 8, 9, 1]],
      [40, [5, 8, 15]],
      [1000, [951, 669, 703, 140, 253, 671, 829, 389]],
      [60, [46, 7, 50, 35, 14, 29]],
      [21, [1, 3, 13, 20, 10]],
    ],
  },
] as const

describe("PythonRandom", () => {
  it.each(recorded)("draws what Python's random.Random($seed) draws", ({ numbers, samples, seed }) => {
    const random = PythonRandom.make(seed)
    assert.deepStrictEqual([random.random(), random.random(), random.bits(7)], [...numbers])
    for (const [n, drawn] of samples) {
      assert.deepStrictEqual(random.sample(range(n), drawn.length), [...drawn])
    }
  })
})
