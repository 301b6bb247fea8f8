export { systemClock, type Clock, type Random, type TimerHandle } from './clock.ts';
export type {
  AddressLimitSource,
  AddressRefusal,
  Evidence,
  Fault,
  FaultAction,
  FaultCertainty,
  FaultMatch,
  FaultProfile,
  FaultRule,
  FaultScope,
  LimitHeaders,
} from './faults/fault.ts';
export type * from './guard/config/types.ts';
export type { KeyValidation, KeyValidator } from './guard/config/validator.ts';
export {
  AbortedError,
  AttemptTimeoutError,
  CircuitOpenError,
  ClosedError,
  ConfigError,
  DeadlineError,
  FallbackError,
  GuardError,
  NoKeyError,
  PoolExhaustedError,
  QueueFullError,
  RateLimitError,
  StoreError,
  type AttemptRecord,
  type ConfigIssue,
  type GuardErrorCode,
  type KeyObstacle,
  type LeftProvider,
} from './guard/errors.ts';
export type {
  AttemptEvent,
  BreakerEvent,
  CallEvent,
  ChoiceEvent,
  FailoverEvent,
  FallbackEvent,
  GuardEventName,
  GuardEvents,
  KeyEvent,
  Listener,
  QueueEvent,
  RotationEvent,
} from './guard/events.ts';
export { ExecutionGuard, type GuardEnvironment, type RateLimitCheck } from './guard/execution-guard.ts';
export type { ExplainOptions, Explanation, KeyExplanation } from './guard/explain.ts';
export type { KeyManager, ReplaceOptions } from './guard/key-manager.ts';
export type { KeyReport, ModelAway, PoolReport } from './guard/key-report.ts';
export type { Affinity, AffinityFunction } from './keys/affinity.ts';
export type { LimitUse } from './keys/learned-quota.ts';
export type { CallContext, ExecuteOptions, GuardedFunction, Usage } from './guard/options.ts';
export { canMakeRequest, executionGuard, guardedExecute, isProviderHealthy } from './guard/singleton.ts';
export type { ExecutionStats, ProviderStatus, RuleUsage } from './guard/stats.ts';
export { loadKeysFromEnv, type LoadedKey } from './keys/environment.ts';
export type { StateStore } from './state/store.ts';
export type { ReadyKeys, SelectionRequest, SelectionStrategy, StrategyFactory, KeyView } from './strategies/strategy.ts';
