export { ExecutionGuardTransformer as default } from './transformer.ts';
