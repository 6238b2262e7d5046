import optimizeLocales from '@react-aria/optimize-locales-plugin'
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** What the server does in crates/server/src/portal.rs: sessions on machines are a document of their own. */
const sessionDocument: Plugin = {
  name: 'session-document',
  configureServer: ({ middlewares }) => {
    middlewares.use((request, _, next) => {
      if (request.url?.startsWith('/session/')) request.url = '/session.html'
      next()
    })
  },
}

export default defineConfig({
  plugins: [
    tailwindcss(),
    react(),
    sessionDocument,
    { ...optimizeLocales.vite({ locales: ['ja-JP', 'en-US'] }), enforce: 'pre' },
  ],
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
      input: ['index.html', 'session.html'],
      output: {
        // What every page needs is one file: it compresses better than the many that lazy pages' shares of it would make.
        // What both documents need is another, so that a terminal finds it where the portal left it.
        codeSplitting: { groups: [{ name: 'initial', tags: ['$initial'], entriesAware: true }] },
      },
    },
  },
  server: {
    port: 4100,
    proxy: Object.fromEntries(
      ['/api', '/auth', '/v1.0', '/subscriptions', '/providers', '/bastions', '/openapi.json'].map((path) => [
        path,
        { target: process.env.SEKISHO_URL ?? 'https://127.0.0.1:8443', changeOrigin: true, ws: path === '/bastions' },
      ]),
    ),
  },
  test: { include: ['src/**/*.test.{ts,tsx}'] },
})
