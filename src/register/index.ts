import { preload } from './preload.ts';

export { RegisterError } from './error.ts';
export { register, unregister } from './register.ts';
export type { EnvironmentAnswer, RegisterConfig, RegisterSection } from './section.ts';

preload();
