export { checkScenario } from './simulate/check.ts';
export { compare, type Comparison, type ComparedPolicy } from './simulate/comparison.ts';
export { defaultsPolicy, explainingPolicy, guardPolicy } from './simulate/guard-policy.ts';
export { mostServable } from './simulate/oracle.ts';
export {
  Refused,
  SimulatedFailure,
  type Policy,
  type RunningPolicy,
  type SimulatedAnswer,
  type Surroundings,
} from './simulate/policy.ts';
export type {
  QuotaScope,
  Scenario,
  ScenarioGuard,
  SimulatedKey,
  SimulatedProvider,
  SimulatedQuota,
  TraceCall,
  Traffic,
  TrafficShape,
  Trouble,
} from './simulate/scenario.ts';
export { simulate, type RunResult } from './simulate/simulate.ts';
export { toTable } from './simulate/table.ts';
export type { Figures } from './simulate/tally.ts';
export { callsOf, parseTrace, type AskedCall } from './simulate/traffic.ts';
