import { afterEach, expect, test, vi } from 'vitest';
import { beforeExit } from '../../src/state/exit-flush.ts';
import { settle } from '../support/manual-clock.ts';

const forgets: (() => void)[] = [];

function hear(flush: () => void): () => void {
  const forget = beforeExit(flush);
  forgets.push(forget);
  return forget;
}

afterEach(() => {
  for (const forget of forgets.splice(0)) forget();
  vi.restoreAllMocks();
});

const listeners = (): number[] => ['exit', 'SIGTERM', 'SIGINT'].map(event => process.listenerCount(event));

test('all are flushed by one listener, which goes with the last of them', () => {
  const before = listeners();
  const flushed: string[] = [];
  const [one] = [hear(() => flushed.push('one')), hear(() => flushed.push('two'))];
  expect(listeners()).toEqual(before.map(count => count + 1));
  process.emit('exit', 0);
  expect(flushed).toEqual(['one', 'two']);
  one();
  one();
  process.emit('exit', 0);
  expect(flushed).toEqual(['one', 'two', 'two']);
  for (const forget of forgets.splice(0)) forget();
  expect(listeners()).toEqual(before);
});

test('a signal nobody else listens to is raised again, with nobody listening', () => {
  const kill = vi.spyOn(process, 'kill').mockImplementation(() => {
    order.push(`killed, ${process.listenerCount('SIGTERM')} listening`);
    return true;
  });
  const others = process.rawListeners('SIGTERM');
  process.removeAllListeners('SIGTERM');
  const order: string[] = [];
  hear(() => order.push('flushed'));
  process.emit('SIGTERM', 'SIGTERM');
  expect(order).toEqual(['flushed', 'killed, 0 listening']);
  expect(kill).toHaveBeenCalledWith(process.pid, 'SIGTERM');
  for (const other of others) process.on('SIGTERM', other as NodeJS.SignalsListener);
});

test('one that others listen to is theirs, who do not see that we listen, too', async () => {
  const kill = vi.spyOn(process, 'kill').mockImplementation(() => true);
  const before = process.listenerCount('SIGINT');
  let seen = -1;
  let flushed = 0;
  // One that counts listeners to know whether the signal is to end the process.
  const other = (): void => {
    seen = process.listenerCount('SIGINT') - before;
  };
  process.once('SIGINT', other);
  hear(() => flushed++);
  process.emit('SIGINT', 'SIGINT');
  // It listens once: it is gone already in its turn.
  expect([seen, flushed]).toEqual([0, 1]);
  expect(kill).not.toHaveBeenCalled();
  await settle();
  expect(process.listenerCount('SIGINT')).toBe(before + 1);
});

test('and where we are not needed any more after it, nobody comes back', async () => {
  const before = listeners();
  const other = (): void => forget();
  process.on('SIGINT', other);
  const forget = hear(() => undefined);
  process.emit('SIGINT', 'SIGINT');
  await settle();
  process.off('SIGINT', other);
  expect(listeners()).toEqual(before);
});
