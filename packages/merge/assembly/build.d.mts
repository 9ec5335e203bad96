/** Compiles assembly/kernels.as, or another of the modules there. */
export declare const compile: (module?: "kernels" | "dense") => Promise<Uint8Array>
