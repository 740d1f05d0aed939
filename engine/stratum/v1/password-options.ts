// The password of mining.authorize carries no secret in mining but, on rented machines, the only wishes their tenant
// can state: `d=` start difficulty, `md=` lowest difficulty, as btcpool and the hashrate markets have it. `x` and
// anything else means nothing.

const LOOKED_AT_CHARACTERS = 256;
const OPTION = /^(d|md)=(\d{1,15}(?:\.\d{1,15})?)$/i;

export interface PasswordOptions {
  /** null: not stated. */
  readonly start: number | null;
  /** null: not stated; 0 takes a minimum back. */
  readonly minimum: number | null;
}

/** Options are separated by commas, semicolons or spaces; the last one of a kind counts. */
export function parsePassword(password: unknown): PasswordOptions {
  let start: number | null = null;
  let minimum: number | null = null;
  if (typeof password === 'string') {
    for (const part of password.slice(0, LOOKED_AT_CHARACTERS).split(/[,;\s]+/)) {
      const [, option, digits] = OPTION.exec(part) ?? [];
      const difficulty = Number(digits);
      if (option?.toLowerCase() === 'md') minimum = difficulty;
      else if (option !== undefined && difficulty > 0) start = difficulty;
    }
  }
  return { start, minimum };
}
