import config from '../playwright.config.ts'

export default { ...config, testDir: '.', testMatch: 'fleet.e2e.ts', testIgnore: [], outputDir: '../test-results' }
