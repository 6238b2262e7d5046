import { defineConfig } from '@playwright/test'

/** One browser, one profile, one server: the tests follow each other as one person's day. */
export default defineConfig({
  testDir: 'e2e',
  testMatch: '*.e2e.ts',
  // Has a server of its own, with thousands of machines.
  testIgnore: 'fleet.e2e.ts',
  workers: 1,
  fullyParallel: false,
  // When nothing works, one report says as much as forty.
  maxFailures: 5,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  outputDir: 'test-results',
})
