// Where the files that are not compiled (SQL, web pages, the WASM binary) live: the folder of package.json.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

let cached: string | undefined;

/** Absolute path of the folder that holds Millrace's package.json. Throws when the installation is torn. */
export function projectRoot(): string {
  if (cached !== undefined) return cached;
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'asconfig.json'))) {
      cached = folder;
      return folder;
    }
    const parent = dirname(folder);
    if (parent === folder) {
      throw new Error('package.json of Millrace not found above its own files: reinstall the project');
    }
    folder = parent;
  }
}
