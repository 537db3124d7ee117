import { defineConfig } from "vite";

// File names without hashes: the daemon knows them, and answers with an ETag.
export default defineConfig({
  base: "/console/",
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    outDir: process.env.CONSOLE_OUT ?? "../static",
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    target: "es2022",
    rollupOptions: {
      output: {
        entryFileNames: "console.js",
        assetFileNames: "console[extname]",
      },
    },
  },
});
