/** The npm package `safetensors` has no types; this is the part of it that reads a file's bytes. */
declare module "safetensors" {
  export class SafeTensor {
    constructor(bytes: Uint8Array)
    readonly metadata: Map<string, { dtype: string; shape: Array<number>; data_offsets: [number, number] }>
    getTensor(name: string): Uint8Array
  }
}
