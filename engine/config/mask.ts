// Hides credentials in anything that is printed or logged: passwords inside URLs become ***.

export const MASK = '***';

const SECRET_PARAMETER = /pass|secret|token|key/i;
/** `//user:password@` in running text; user and password end at white space, a slash or a quote. */
const CREDENTIALS_IN_TEXT = /(\/\/[^\s/:@"']*):[^\s/"']*@/g;

/** `url` with its password, and query parameters that look like one, as ***. What is not a URL becomes *** as a whole. */
export function maskUrl(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return MASK;
  }
  if (parsed.password !== '') parsed.password = MASK;
  for (const name of [...parsed.searchParams.keys()]) {
    if (SECRET_PARAMETER.test(name)) parsed.searchParams.set(name, MASK);
  }
  // A bare root path was not typed by the operator: `new URL` adds it.
  return parsed.pathname === '/' && !url.endsWith('/') && parsed.search === ''
    ? parsed.href.replace(/\/$/, '')
    : parsed.href;
}

/**
 * Returns a function that masks the secrets of `urls` wherever they stand in a text, and the credentials of any other
 * URL. A password alone is looked for only from 8 characters on: a short one is part of ordinary words.
 */
export function textMasker(urls: readonly string[]): (text: string) => string {
  const replacements: [string, string][] = [];
  for (const url of urls) {
    replacements.push([url, maskUrl(url)]);
    const password = passwordOf(url);
    const decoded = safeDecode(password);
    // The last form is how it stands inside a JSON log line.
    for (const form of new Set([password, decoded, JSON.stringify(decoded).slice(1, -1)])) {
      if (form.length >= 8) replacements.push([form, MASK]);
    }
  }
  return (text) => {
    let masked = text;
    for (const [secret, replacement] of replacements) {
      if (masked.includes(secret)) masked = masked.replaceAll(secret, () => replacement);
    }
    return masked.includes('@') ? masked.replace(CREDENTIALS_IN_TEXT, `$1:${MASK}@`) : masked;
  };
}

function passwordOf(url: string): string {
  try {
    return new URL(url).password;
  } catch {
    return '';
  }
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
