import optimizeLocales from '@react-aria/optimize-locales-plugin'
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [tailwindcss(), react(), { ...optimizeLocales.vite({ locales: ['ja-JP', 'en-US'] }), enforce: 'pre' }],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'baseline-widely-available',
    // The CSP allows no data: URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The budget is tools/check/size.js.
    chunkSizeWarningLimit: 1_000,
    rolldownOptions: {
      output: {
        // What every page needs is one file: it compresses better than the many that lazy pages' shares of it would make.
        codeSplitting: { groups: [{ name: 'initial', tags: ['$initial'] }] },
      },
    },
  },
  server: {
    port: 4100,
    proxy: Object.fromEntries(
      ['/api', '/auth', '/v1.0', '/subscriptions', '/providers', '/openapi.json'].map((path) => [
        path,
        { target: process.env.SEKISHO_URL ?? 'https://127.0.0.1:8443', changeOrigin: true },
      ]),
    ),
  },
  test: { include: ['src/**/*.test.{ts,tsx}'] },
})
