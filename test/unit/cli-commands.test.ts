// The table of commands: what --help lists, what a mistyped name gets.
import { describe, expect, it } from 'vitest';
import { COMMANDS, nearest } from '../../engine/cli/commands.js';
import { helpText } from '../../engine/cli/help.js';

describe('commands', () => {
  it('are each listed in --help, and can be loaded', async () => {
    const help = helpText();
    for (const { name, help: line, load } of COMMANDS) {
      expect(help).toContain(`  ${name.padEnd(16)} ${line}\n`);
      expect(typeof (await load())).toBe('function');
    }
  });

  it.each([
    ['exprt', 'export'],
    ['recconcile', 'reconcile'],
    ['jurnal', 'journal'],
    ['sinner', 'signer'],
    ['xyzzy', null],
    ['x'.repeat(100_000), null],
  ])('take %s for %s', (given, meant) => {
    expect(nearest(given)).toBe(meant);
  });
});
