import { defineConfig } from "vitest/config"

export default defineConfig({
  ssr: { resolve: { conditions: ["@hila/source", "module", "node", "development|production"] } },
  test: { include: ["test/**/*.test.ts"], pool: "threads", testTimeout: 180_000 },
})
