// The program of the ClickHouse child process: engine and HTTP front on one port of 127.0.0.1. A process of
// its own because the engine blocks threads, can only be left by ending the process, and must not take the
// pool along when it falls. Started by ../clickhouse.ts with the path of a settings file.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { Engine } from './engine.js';
import { createHttpFront } from './http-front.js';
import { READER } from './users.js';

/** What the parent writes into the settings file (mode 0600: it holds the writer's password). */
export interface FrontSettings {
  engineDir: string;
  spoolDir: string;
  database: string;
  port: number;
  writer: { user: string; password: string };
  /** A random word, answered with /ping. */
  instance: string;
}

const EXIT_ENGINE_BROKEN = 70;
const DRAIN_MS = 5000;

if (process.argv[2] === '--front' && process.argv[3] !== undefined) {
  serve(JSON.parse(readFileSync(process.argv[3], 'utf8')) as FrontSettings);
}

function serve(settings: FrontSettings): void {
  // Rows of inserts that a killed predecessor did not finish; nobody was answered for them.
  rmSync(settings.spoolDir, { recursive: true, force: true });
  mkdirSync(settings.spoolDir, { recursive: true, mode: 0o700 });
  const engine = new Engine(settings.engineDir, settings.database, (reason) => {
    console.error(`The engine gave up: ${reason}`);
    process.exit(EXIT_ENGINE_BROKEN);
  });
  const stopping = new AbortController();
  const server = createHttpFront({
    engine,
    users: [READER, { name: settings.writer.user, password: settings.writer.password, readOnly: false }],
    database: settings.database,
    spoolDir: settings.spoolDir,
    instance: settings.instance,
    stopping: stopping.signal,
  });
  server.on('error', (error) => {
    console.error(`Port ${settings.port} of 127.0.0.1: ${error.message}`);
    process.exit(1);
  });
  server.listen(settings.port, '127.0.0.1', () => {
    console.log(`ClickHouse ${engine.version} serves ${settings.engineDir} on 127.0.0.1:${settings.port}`);
  });
  process.on('SIGINT', () => {});
  process.once('SIGTERM', () => {
    server.close();
    server.closeIdleConnections();
    stopping.abort();
    void engine.drain(DRAIN_MS).then(() => process.exit(0));
  });
}
