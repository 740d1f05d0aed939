// The built-in page: read once at start, with a Content-Security-Policy that allows exactly the script and the style
// that stand in it (by their hashes) and connections to this server only. Text that came from miners can therefore
// not run, even if the page had a hole.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../storage/project-root.js';

export interface WebPage {
  readonly html: string;
  readonly etag: string;
  readonly contentSecurityPolicy: string;
}

/** Reads dashboards/web/index.html. Throws when it is missing: the installation is torn. */
export function loadWebPage(path = join(projectRoot(), 'dashboards', 'web', 'index.html')): WebPage {
  const html = readFileSync(path, 'utf8');
  const hashes = (element: 'script' | 'style') =>
    [...html.matchAll(new RegExp(`<${element}[^>]*>([\\s\\S]*?)</${element}>`, 'g'))]
      .map(([, content]) => `'sha256-${sha256(content ?? '')}'`)
      .join(' ');
  return {
    html,
    etag: `"${sha256(html).slice(0, 22)}"`,
    contentSecurityPolicy: [
      "default-src 'none'",
      `script-src ${hashes('script')}`,
      `style-src ${hashes('style')}`,
      "connect-src 'self'",
      'img-src data:',
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
  };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64');
