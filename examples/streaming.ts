// Run: npx tsx examples/streaming.ts
import { ExecutionGuard } from 'execution-guard';

const guard = new ExecutionGuard({
  keyManagement: {
    providers: { openai: { keys: [{ id: 'ann', key: 'secret-1', limits: { concurrency: 1 } }] } },
  },
});

/** Stands for an SDK that streams. */
async function* words(text: string): AsyncGenerator<string> {
  for (const word of text.split(' ')) yield `${await Promise.resolve(word)} `;
}

const ask = (text: string): Promise<AsyncGenerator<string>> => guard.execute(() => words(text), 'openai');
const inFlight = (): number => guard.keys.get('openai', 'ann').inFlight;

const first = await ask('the key is taken while this is read');
// The key takes one call at a time, so this one waits until the first stream has ended.
const second = ask('now it is my turn');

console.log('attempts on the key:', inFlight());
for await (const word of first) process.stdout.write(word);
console.log();

for await (const word of await second) {
  process.stdout.write(word);
  // Leaving the loop cancels the stream, and gives the key back.
  if (word === 'is ') break;
}
console.log('...\nattempts on the key:', inFlight());
guard.close();
