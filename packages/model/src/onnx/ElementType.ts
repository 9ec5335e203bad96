/**
 * The element types a graph value may have, with their ONNX codes and how safetensors names them.
 *
 * Only what language models need: the stored weight types, f32 as the compute type, i32 for tokens and positions,
 * i64 where ONNX demands it (shapes, argmax), bool for masks, and 8-bit integers for quantised products.
 */

export type ElementType = "f32" | "f16" | "bf16" | "i8" | "u8" | "i32" | "i64" | "bool"

/** Element types of weights in a checkpoint that a graph can read; each is cast to f32 on use. */
export type StoredType = "f32" | "f16" | "bf16"
/** The same, and quantised weights, which go with a scale. */
export type WeightType = StoredType | "i8"

/** `TensorProto.DataType` of the ONNX format. */
export const onnxCode: Readonly<Record<ElementType, number>> = {
  f32: 1,
  f16: 10,
  bf16: 16,
  i8: 3,
  u8: 2,
  i32: 6,
  i64: 7,
  bool: 9,
}

/** The stored type for a safetensors dtype, or undefined where a graph cannot read it. */
export const fromDtype = (dtype: string): StoredType | undefined =>
  dtype === "F32" ? "f32" : dtype === "F16" ? "f16" : dtype === "BF16" ? "bf16" : undefined
