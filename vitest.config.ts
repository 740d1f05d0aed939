import { defineConfig } from 'vitest/config';

// Tests run as compiled by `npm run build`: worker threads and child processes then load the very
// files that ship. `npm test` builds first; `npm run dev` keeps dist/ fresh while you edit.
export default defineConfig({
  test: {
    include: ['dist/test/**/*.test.js'],
    exclude: ['node_modules/**'],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    // Two cores: real servers run inside these tests, more forks only make them wait for each other.
    maxWorkers: 2,
  },
});
