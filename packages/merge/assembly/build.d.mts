/** Compiles assembly/kernels.as. */
export declare const compile: () => Promise<Uint8Array>
