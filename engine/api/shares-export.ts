// GET /api/v1/shares/export?from&to&account&worker&verdict&columns&format: submits of a time range as a file. The only
// route that asks a database; few at once, each as fast as its client reads.
import type { Readable } from 'node:stream';
import { type ClickHouseOptions, explainClickHouseError } from '../../storage/clickhouse/client.js';
import {
  EXPORT_COLUMNS,
  EXPORT_FORMATS,
  EXPORT_MEDIA,
  type ExportFormat,
  requireExportable,
  type ShareExport,
} from '../../storage/clickhouse/export-query.js';
import { ShareExporter } from '../../storage/clickhouse/export-stream.js';
import type { ApiRequest, Handler, ProblemReply } from './http-front.js';
import type { StreamReply } from './stream-reply.js';

const EXPORTS_AT_ONCE = 2;
const RETRY_AFTER_S = 30;
const RANGE_DAYS_MAX = 31;
const DAY_MS = 86_400_000;
const PARAMETERS = ['from', 'to', 'account', 'worker', 'verdict', 'columns', 'format'] as const;
const VALUE_CHARACTERS_MAX = 1024;
/** Everything but where miners live: this page needs no login. */
const PUBLIC_COLUMNS = EXPORT_COLUMNS.filter((name) => name !== 'remote');
/** RFC 3339, or a day in UTC. */
const TIME = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d))?$/;

/** A request that cannot be followed. */
class Refusal extends Error {
  readonly problem: ProblemReply['problem'];

  constructor(problem: ProblemReply['problem'], message: string) {
    super(message);
    this.problem = problem;
  }
}

export class SharesExport {
  readonly #exporter: ShareExporter | null;
  #running = 0;

  /** @param clickhouse null: there are no shares to export */
  constructor(clickhouse: ClickHouseOptions | null) {
    this.#exporter = clickhouse === null ? null : new ShareExporter(clickhouse);
  }

  readonly handler: Handler = async (request) => {
    let wanted: ShareExport;
    try {
      wanted = readExport(request);
    } catch (error) {
      if (error instanceof Refusal) return { problem: error.problem, detail: error.message };
      throw error;
    }
    const exporter = this.#exporter;
    if (exporter === null) {
      return { problem: 'shares_unavailable', detail: 'This pool keeps no shares that can be exported.' };
    }
    const headers = { 'Content-Disposition': `attachment; filename="${fileName(wanted)}"`, Vary: 'Accept' };
    const { type } = EXPORT_MEDIA[wanted.format];
    const contentType = wanted.format === 'csv' ? `${type}; charset=utf-8; header=present` : type;
    if (request.method === 'head') {
      return { status: 200, contentType, cacheControl: 'no-store', body: '', headers };
    }
    if (this.#running >= EXPORTS_AT_ONCE) {
      return {
        problem: 'too_many_exports',
        detail: `${EXPORTS_AT_ONCE} exports run already. Ask again when one has ended.`,
        headers: { 'Retry-After': String(RETRY_AFTER_S) },
      };
    }
    this.#running++;
    let stream: Readable;
    try {
      stream = await exporter.open(wanted, request.signal);
    } catch (error) {
      this.#running--;
      return { problem: 'shares_unavailable', detail: `${explainClickHouseError(error)}.` };
    }
    stream.once('close', () => this.#running--);
    return { status: 200, contentType, cacheControl: 'no-store', headers, stream } satisfies StreamReply;
  };

  async close(): Promise<void> {
    await this.#exporter?.close();
  }
}

function readExport({ query, accept }: ApiRequest): ShareExport {
  const given = new URLSearchParams(query);
  for (const name of new Set(given.keys())) {
    if (!(PARAMETERS as readonly string[]).includes(name)) {
      throw invalid(
        `There is no parameter ${JSON.stringify(name.slice(0, 64))}. Known: ${PARAMETERS.join(', ')}`,
      );
    }
    if (given.getAll(name).length > 1) throw invalid(`${name} is given more than once`);
    if ((given.get(name) ?? '').length > VALUE_CHARACTERS_MAX) {
      throw invalid(`${name} is longer than ${VALUE_CHARACTERS_MAX} characters`);
    }
  }
  const format = chooseFormat(given.get('format'), accept);
  const [account, worker, verdict] = ['account', 'worker', 'verdict'].map((name) => given.get(name));
  const request: ShareExport = {
    format,
    fromMs: time('from', given.get('from')),
    toMs: time('to', given.get('to')),
    ...(account == null ? {} : { account }),
    ...(worker == null ? {} : { worker }),
    ...(verdict == null ? {} : { verdict }),
    columns: given.get('columns')?.split(',') ?? PUBLIC_COLUMNS,
  };
  const hidden = request.columns.find(
    (name) => EXPORT_COLUMNS.includes(name) && !PUBLIC_COLUMNS.includes(name),
  );
  if (hidden !== undefined) throw invalid(`columns: ${hidden} is not public; millrace export has it`);
  try {
    requireExportable(request);
  } catch (error) {
    throw invalid((error as Error).message);
  }
  if (request.toMs - request.fromMs > RANGE_DAYS_MAX * DAY_MS) {
    throw new Refusal(
      'range_too_long',
      `from and to are more than ${RANGE_DAYS_MAX} days apart. Ask for less at once, or use millrace export.`,
    );
  }
  return request;
}

/** `format` wins over Accept (RFC 9110 section 12.5.1); with neither it is CSV. */
function chooseFormat(format: string | null, accept: string): ExportFormat {
  if (format !== null) {
    const known = EXPORT_FORMATS.find((name) => name === format);
    if (known === undefined) throw invalid(`format is one of ${EXPORT_FORMATS.join(', ')}`);
    return known;
  }
  const ranges = accept
    .split(',')
    .map((range) => {
      const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
      const quality = Number(parameters.find((part) => part.startsWith('q='))?.slice(2) ?? 1);
      return { type, quality };
    })
    .filter(({ type, quality }) => type !== '' && quality > 0)
    .sort((a, b) => b.quality - a.quality);
  if (ranges.length === 0) return 'csv';
  for (const { type } of ranges) {
    if (type === '*/*' || type === 'text/*') return 'csv';
    const known = EXPORT_FORMATS.find((name) => EXPORT_MEDIA[name].type === type);
    if (known !== undefined) return known;
    if (type === 'application/*') return 'parquet';
  }
  const types = EXPORT_FORMATS.map((name) => EXPORT_MEDIA[name].type);
  throw new Refusal(
    'not_acceptable',
    `Exports come as ${types.join(', ')}. Name one in Accept or as format=.`,
  );
}

function time(name: string, text: string | null): number {
  if (text === null) throw invalid(`${name} is missing: from and to say which submits are meant`);
  const ms = TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw invalid(`${name} is no time; write it as 2026-11-21T08:00:00Z`);
  return ms;
}

function fileName({ format, fromMs, toMs }: ShareExport): string {
  const [from, to] = [fromMs, toMs].map((ms) => new Date(ms).toISOString().replaceAll(/[-:]|\.\d+/g, ''));
  return `shares-${from}-${to}.${EXPORT_MEDIA[format].extension}`;
}

const invalid = (message: string): Refusal => new Refusal('invalid_parameter', `${message}.`);
