import { writeFileSync } from 'node:fs';
import { generatedFiles } from './lib/generated-files.ts';

for (const { path, render } of generatedFiles) {
  writeFileSync(path, render());
  console.log(`wrote ${path.pathname}`);
}
