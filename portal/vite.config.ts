import optimizeLocales from '@react-aria/optimize-locales-plugin'
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { join } from 'node:path'
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

type Info = { importedIds: readonly string[]; dynamicallyImportedIds: readonly string[] }
type Modules = { getModuleInfo(id: string): Info | null }

function reachable(file: string, modules: Modules, next: (info: Info) => readonly string[]) {
  const seen = new Set<string>()
  const walk = (id: string) => {
    if (seen.has(id)) return
    seen.add(id)
    const info = modules.getModuleInfo(id)
    if (info) next(info).forEach(walk)
  }
  walk(join(import.meta.dirname, file))
  return seen
}

let starts: { portal: Set<string>; session: Set<string> } | undefined

function startsWith(id: string, modules: Modules) {
  starts ??= {
    portal: reachable('src/main.tsx', modules, (info) => info.importedIds),
    session: reachable('src/session/main.tsx', modules, (info) => [
      ...info.importedIds,
      ...info.dynamicallyImportedIds,
    ]),
  }
  return { portal: starts.portal.has(id), session: starts.session.has(id) }
}

/**
 * What every page needs is one file: it compresses better than the many that lazy pages' shares of it would make. What a
 * session needs of it, now or later, is another: it finds that where the portal left it, and nothing else of the portal
 * ever runs in its document.
 */
const groups = [
  { name: 'shared', takes: (of: { portal: boolean; session: boolean }) => of.portal && of.session, priority: 2 },
  { name: 'initial', takes: (of: { portal: boolean; session: boolean }) => of.portal, priority: 1 },
].map(({ name, takes, priority }) => ({
  name: (id: string, modules: Modules) => (takes(startsWith(id, modules)) ? name : null),
  tags: ['$initial' as const],
  priority,
  debugName: name,
}))

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
        codeSplitting: { groups },
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
