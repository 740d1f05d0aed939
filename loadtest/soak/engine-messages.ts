// What the program engine-thread.ts and its parent tell each other.
import type { EngineFigures, EngineSettings } from './engine.js';
import type { Transport } from './habits.js';

export type ToEngine =
  | { readonly type: 'start'; readonly settings: EngineSettings }
  | { readonly type: 'drain' };

export type FromEngine =
  | { readonly type: 'listening'; readonly ports: Readonly<Record<Transport, number>> }
  | { readonly type: 'figures'; readonly figures: EngineFigures }
  | { readonly type: 'log'; readonly line: string }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'drained' };
