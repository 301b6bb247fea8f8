import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'tsup';
import * as z from 'zod';
import config from '../tsup.config.ts';

const root = path.resolve(import.meta.dirname, '..');

export const noticesFile = path.join(root, 'THIRD-PARTY-NOTICES.md');

const metafile = z.object({
  outputs: z.record(z.string(), z.object({
    inputs: z.record(z.string(), z.object({ bytesInOutput: z.number() })),
  })),
});

const manifest = z.object({
  name: z.string(),
  version: z.string(),
  license: z.string(),
  repository: z.union([z.string(), z.object({ url: z.string() })]),
});

/** The text of THIRD-PARTY-NOTICES.md: the licence of every package whose code is in the bundle. */
export async function notices(): Promise<string> {
  const directories = await bundledPackages();
  const sections = await Promise.all(directories.map(directory => section(path.join(root, directory))));
  return [
    '# Third-party notices',
    'The files in `dist` contain code of the packages below, each under its own licence.',
    ...sections.sort(),
  ].join('\n\n') + '\n';
}

/** What the bundler really took, rather than a list somebody has to keep. */
async function bundledPackages(): Promise<string[]> {
  const outDir = await mkdtemp(path.join(tmpdir(), 'execution-guard-notices-'));
  try {
    await build({ ...config, config: false, format: 'esm', dts: false, metafile: true, silent: true, outDir });
    const { outputs } = metafile.parse(JSON.parse(await readFile(path.join(outDir, 'metafile-esm.json'), 'utf8')));
    const packages = Object.values(outputs)
      .flatMap(({ inputs }) => Object.entries(inputs))
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([file]) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]);
    return [...new Set(packages)].filter(directory => directory !== undefined);
  } finally {
    await rm(outDir, { recursive: true });
  }
}

async function section(directory: string): Promise<string> {
  const { name, version, license, repository } = manifest.parse(
    JSON.parse(await readFile(path.join(directory, 'package.json'), 'utf8')),
  );
  const file = (await readdir(directory)).find(entry => /^licen[cs]e(\.md|\.txt)?$/i.test(entry));
  if (file === undefined) throw new Error(`${name} ships no licence text`);
  const text = (await readFile(path.join(directory, file), 'utf8')).replaceAll('\r\n', '\n').trim();
  return `## ${name} ${version}\n\n${license}, ${homeOf(repository)}\n\n\`\`\`text\n${text}\n\`\`\``;
}

function homeOf(repository: z.infer<typeof manifest>['repository']): string {
  const url = typeof repository === 'string' ? repository : repository.url;
  const github = /github(?:\.com[/:]|:)([\w.-]+\/[\w.-]+?)(?:\.git)?$/.exec(url)?.[1] ?? /^[\w.-]+\/[\w.-]+$/.exec(url)?.[0];
  return github === undefined ? url : `https://github.com/${github}`;
}

if (process.argv[1] === import.meta.filename) await writeFile(noticesFile, await notices());
