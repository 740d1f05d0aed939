// Figures as a table for people.
import { type Figure, meetsGoal } from './figures.js';

const HEADINGS = ['figure', 'value', 'unit', 'goal', '', 'least .. greatest', 'ratio'];
/** Columns of numbers, set flush right. */
const RIGHT = new Set([1]);

/** One line per figure; columns as wide as they must be, no trailing blanks. */
export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, goal, spread, ratio }) => [
    name,
    shortNumber(value),
    unit,
    goal === undefined ? '' : 'most' in goal ? `<= ${goal.most}` : `>= ${goal.least}`,
    goal === undefined ? '' : meetsGoal(value, goal) ? 'met' : 'missed',
    `${shortNumber(spread[0])} .. ${shortNumber(spread[1])}`,
    ratio ?? '',
  ]);
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return RIGHT.has(column) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width));
  return [HEADINGS, rule, ...rows].map(line).join('\n');
}

/** Three significant digits, whole numbers in full. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || value === 0) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
