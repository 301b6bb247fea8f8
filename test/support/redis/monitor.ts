import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/** A command the server has run, for a client or for a script. */
export interface Watched {
  readonly args: readonly string[];
  readonly byScript: boolean;
}

const LINE = /^\+\d+\.\d+ \[\d+ (\S+)\] (.*)$/;
const ARGUMENT = /"((?:[^"\\]|\\.)*)"/g;
const ESCAPED = /\\(?:x([0-9a-f]{2})|(.))/g;
const CONTROL: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' };

/** Hears all that a server does, in its order, from now on. Returns the way to stop. */
export async function watchServer(port: number, hear: (watched: Watched) => void): Promise<() => void> {
  const socket = connect(port, '127.0.0.1');
  const lines = createInterface({ input: socket });
  const begun = new Promise<void>(resolve => lines.once('line', () => resolve()));
  lines.on('line', line => {
    const [, source, rest = ''] = LINE.exec(line) ?? [];
    if (source === undefined) return;
    const args = [...rest.matchAll(ARGUMENT)].map(([, text = '']) =>
      text.replaceAll(ESCAPED, (_, hex: string | undefined, letter: string) =>
        hex === undefined ? (CONTROL[letter] ?? letter) : String.fromCharCode(parseInt(hex, 16)),
      ),
    );
    hear({ args, byScript: source === 'lua' });
  });
  socket.write('MONITOR\r\n');
  await begun;
  return () => void socket.destroy();
}
