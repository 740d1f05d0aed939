// Errors as a ClickHouse server words and numbers them, so that every client's own error handling works:
// `Code: 62. DB::Exception: Syntax error: ... (SYNTAX_ERROR)`, with the HTTP status of
// src/Server/HTTPHandler.cpp and the number again in X-ClickHouse-Exception-Code.

/** Numbers of src/Common/ErrorCodes.cpp that the front itself raises. */
export const ErrorCode = {
  NOT_IMPLEMENTED: 48,
  SYNTAX_ERROR: 62,
  READONLY: 164,
  QUERY_IS_TOO_LARGE: 186,
  TOO_MANY_SIMULTANEOUS_QUERIES: 202,
  ABORTED: 236,
  SESSION_IS_LOCKED: 373,
  QUERY_WAS_CANCELLED: 394,
  TOO_MANY_BYTES: 307,
  INVALID_SESSION_TIMEOUT: 374,
  BAD_REQUEST_PARAMETER: 36,
  AUTHENTICATION_FAILED: 516,
} as const;

export type ErrorName = keyof typeof ErrorCode;

const STATUS_OF_CODE: Record<number, number> = {
  // BAD_ARGUMENTS and what a text cannot be parsed as
  36: 400,
  6: 400,
  27: 400,
  38: 400,
  41: 400,
  53: 400,
  62: 400,
  72: 400,
  117: 400,
  130: 400,
  374: 400,
  // unknown function, identifier, type, table, database, setting, format ...
  46: 404,
  47: 404,
  50: 404,
  56: 404,
  60: 404,
  63: 404,
  73: 404,
  81: 404,
  115: 404,
  48: 501,
  159: 408,
  164: 403,
  497: 403,
  186: 413,
  307: 413,
  192: 403,
  193: 403,
  194: 401,
  516: 403,
  202: 503,
  209: 503,
};

/** What is answered instead of a result. */
export class ClickHouseException extends Error {
  readonly code: number;

  /** `text` is the whole body: `Code: N. DB::Exception: ... (NAME)`. */
  constructor(code: number, text: string) {
    super(text);
    this.name = 'ClickHouseException';
    this.code = code;
  }

  get httpStatus(): number {
    return STATUS_OF_CODE[this.code] ?? 500;
  }
}

/** An error that the front raises itself. */
export function exception(name: ErrorName, message: string): ClickHouseException {
  const code = ErrorCode[name];
  return new ClickHouseException(code, `Code: ${code}. DB::Exception: ${message}. (${name})`);
}

/** Whatever was thrown, in ClickHouse's shape: the engine's errors keep their number and words. */
export function toException(error: unknown): ClickHouseException {
  if (error instanceof ClickHouseException) return error;
  // The engine's blocking calls put a word of their own in front.
  const message = (error instanceof Error ? error.message : String(error)).replace(/^Query failed: /, '');
  const code = /^Code: (\d+)\b/.exec(message)?.[1];
  if (code !== undefined) return new ClickHouseException(Number(code), message);
  // 1002 is ClickHouse's own number for "something else".
  return new ClickHouseException(1002, `Code: 1002. DB::Exception: ${message}. (UNKNOWN_EXCEPTION)`);
}
