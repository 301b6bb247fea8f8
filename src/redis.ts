export { redisStore, type RedisStoreOptions } from './state/redis/redis-store.ts';
