// Products of dense matrices with SIMD; src/dense/Dense.ts says what they are for.
//
// Pointers are bytes into a memory that the caller lays out, matrices are row-major with their row length in elements.
// Sums run over k in runs of KC, each in the order of k, so a result does not depend on anything but the sizes. There is
// no fused multiply-add: results are the same on every processor.

const KC: i32 = 256
const NC: i32 = 512

// `pack` holds KC × NC elements: the columns of B in panels as wide as two vectors, 0 behind the last column.
function packB<T>(pack: usize, b: usize, ldb: i32, k: i32, n: i32, width: i32): void {
  let to = pack
  for (let j = 0; j < n; j += width) {
    const w = min(width, n - j)
    for (let p = 0; p < k; p++) {
      const from = b + ((<usize>p * ldb + j) * sizeof<T>())
      for (let x = 0; x < w; x++) store<T>(to + x * sizeof<T>(), load<T>(from + x * sizeof<T>()))
      for (let x = w; x < width; x++) store<T>(to + x * sizeof<T>(), <T>0)
      to += width * sizeof<T>()
    }
  }
}

// C[m, n] += A[m, k] B[k, n]; `edge` holds 4 × 16 bytes × 2.
function multiplyAdd<T>(
  c: usize, ldc: i32, a: usize, lda: i32, b: usize, ldb: i32, m: i32, n: i32, k: i32, pack: usize, edge: usize
): void {
  const width: i32 = 32 / sizeof<T>()
  for (let k0 = 0; k0 < k; k0 += KC) {
    const kc = min(KC, k - k0)
    for (let n0 = 0; n0 < n; n0 += NC) {
      const nc = min(NC, n - n0)
      packB<T>(pack, b + ((<usize>k0 * ldb + n0) * sizeof<T>()), ldb, kc, nc, width)
      for (let i = 0; i < m; i += 4) {
        const rows = min(4, m - i)
        const a0 = a + ((<usize>i * lda + k0) * sizeof<T>())
        const a1 = rows > 1 ? a0 + (<usize>lda * sizeof<T>()) : a0
        const a2 = rows > 2 ? a1 + (<usize>lda * sizeof<T>()) : a0
        const a3 = rows > 3 ? a2 + (<usize>lda * sizeof<T>()) : a0
        for (let j = 0; j < nc; j += width) {
          let p = pack + (<usize>j * kc * sizeof<T>())
          let c00 = v128.splat<T>(<T>0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00
          const bytes = <usize>kc * sizeof<T>()
          for (let q: usize = 0; q < bytes; q += sizeof<T>()) {
            const b0 = v128.load(p)
            const b1 = v128.load(p, 16)
            p += 32
            let x = v128.load_splat<T>(a0 + q)
            c00 = v128.add<T>(c00, v128.mul<T>(x, b0)); c01 = v128.add<T>(c01, v128.mul<T>(x, b1))
            x = v128.load_splat<T>(a1 + q)
            c10 = v128.add<T>(c10, v128.mul<T>(x, b0)); c11 = v128.add<T>(c11, v128.mul<T>(x, b1))
            x = v128.load_splat<T>(a2 + q)
            c20 = v128.add<T>(c20, v128.mul<T>(x, b0)); c21 = v128.add<T>(c21, v128.mul<T>(x, b1))
            x = v128.load_splat<T>(a3 + q)
            c30 = v128.add<T>(c30, v128.mul<T>(x, b0)); c31 = v128.add<T>(c31, v128.mul<T>(x, b1))
          }
          const row = <usize>ldc * sizeof<T>()
          const at = c + ((<usize>i * ldc + n0 + j) * sizeof<T>())
          if (j + width <= nc) {
            v128.store(at, v128.add<T>(v128.load(at), c00)); v128.store(at, v128.add<T>(v128.load(at, 16), c01), 16)
            if (rows > 1) { const r = at + row; v128.store(r, v128.add<T>(v128.load(r), c10)); v128.store(r, v128.add<T>(v128.load(r, 16), c11), 16) }
            if (rows > 2) { const r = at + 2 * row; v128.store(r, v128.add<T>(v128.load(r), c20)); v128.store(r, v128.add<T>(v128.load(r, 16), c21), 16) }
            if (rows > 3) { const r = at + 3 * row; v128.store(r, v128.add<T>(v128.load(r), c30)); v128.store(r, v128.add<T>(v128.load(r, 16), c31), 16) }
          } else {
            v128.store(edge, c00); v128.store(edge, c01, 16); v128.store(edge, c10, 32); v128.store(edge, c11, 48)
            v128.store(edge, c20, 64); v128.store(edge, c21, 80); v128.store(edge, c30, 96); v128.store(edge, c31, 112)
            for (let y = 0; y < rows; y++) {
              for (let x = 0; x < nc - j; x++) {
                const to = at + y * row + x * sizeof<T>()
                store<T>(to, load<T>(to) + load<T>(edge + y * 32 + x * sizeof<T>()))
              }
            }
          }
        }
      }
    }
  }
}

export function multiplyAdd32(
  c: usize, ldc: i32, a: usize, lda: i32, b: usize, ldb: i32, m: i32, n: i32, k: i32, pack: usize, edge: usize
): void {
  multiplyAdd<f32>(c, ldc, a, lda, b, ldb, m, n, k, pack, edge)
}

export function multiplyAdd64(
  c: usize, ldc: i32, a: usize, lda: i32, b: usize, ldb: i32, m: i32, n: i32, k: i32, pack: usize, edge: usize
): void {
  multiplyAdd<f64>(c, ldc, a, lda, b, ldb, m, n, k, pack, edge)
}
