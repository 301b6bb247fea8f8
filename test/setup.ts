import fc from 'fast-check';

// One seed for everybody: a run that fails here fails everywhere. FC_SEED=<n> searches elsewhere.
const seed = Number(process.env.FC_SEED ?? 1);
if (!Number.isInteger(seed)) throw new Error(`FC_SEED must be a whole number, found ${JSON.stringify(process.env.FC_SEED)}`);
fc.configureGlobal({ seed });
