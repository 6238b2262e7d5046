import config from '../playwright.config.ts'

export default { ...config, testDir: '.', testMatch: 'screenshots.ts', outputDir: '../test-results' }
